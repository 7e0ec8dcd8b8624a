"""A process that is done ends, whatever still blocks."""

from __future__ import annotations

import subprocess
import sys

STUCK = """
import threading
from alloyd.process.leaving import leave_within
leave_within({seconds}, 7)
{then}
"""


def _run(seconds: float, then: str) -> int:
    return subprocess.run([sys.executable, "-c", STUCK.format(seconds=seconds, then=then)], timeout=60).returncode


def test_what_blocks_does_not_hold_the_process() -> None:
    assert _run(0.05, "threading.Event().wait()") == 7


def test_who_leaves_in_time_is_not_hindered() -> None:
    assert _run(3600, "raise SystemExit(3)") == 3
