"""The executable under what systemd/alloyd.service takes away, as far as a test can do that without systemd."""

from __future__ import annotations

import ctypes
import sys

import pytest

PR_SET_MDWE = 65
PR_GET_MDWE = 66
# MemoryDenyWriteExecute=yes as the kernel has it: no memory becomes executable that was writable.
CONFINE = f"""
import ctypes, os, sys
if ctypes.CDLL(None).prctl({PR_SET_MDWE}, 1, 0, 0, 0):
    sys.exit("refused by the kernel")
os.umask(0o077)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def _kernel_can():
    if ctypes.CDLL(None).prctl(PR_GET_MDWE, 0, 0, 0, 0) < 0:
        pytest.skip("this kernel is older than Linux 6.3 and has no PR_SET_MDWE")


def test_no_memory_is_writable_and_executable(start, executable):
    daemon = start([sys.executable, "-c", CONFINE, executable])
    assert daemon.upload("a.txt", b"x")[0] == 200
    assert daemon.stop() == 0
