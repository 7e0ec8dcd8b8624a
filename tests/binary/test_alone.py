"""The executable in a directory tree with nothing but itself and the C library."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# The C library's own files; what the executable needs beyond them it has to bring.
LIBC = (
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
)


def loaded(executable) -> dict[str, Path]:
    """The shared libraries that the executable names, and the loader, by name."""
    said = subprocess.run(["ldd", executable], capture_output=True, text=True, check=True).stdout
    words = [word for line in said.splitlines() for word in line.split()[:3] if word.startswith("/")]
    return {Path(word).name: Path(word) for word in words}


@pytest.fixture
def bare_root(executable, tmp_path):
    """A root directory without Python, shell or any library but the C library."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    root = tmp_path / "root"
    found = loaded(executable)
    libc = found["libc.so.6"]
    wanted = {*found.values(), *(libc.parent / name for name in LIBC if (libc.parent / name).exists())}
    for path in [*wanted]:
        target = root / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for name in ("tmp", "data"):
        (root / name).mkdir()
    shutil.copy(executable, root / "alloyd")
    return root


def test_only_the_c_library_and_its_loader_are_needed(executable):
    beyond = {name for name in loaded(executable) if name not in LIBC and not name.startswith("ld-linux")}
    assert beyond <= {"libz.so.1"}


def test_it_serves_with_nothing_around_it(bare_root, start, tmp_path):
    daemon = start(["/usr/sbin/chroot", bare_root, "/alloyd"], data_dir="/data", TMPDIR="/tmp")
    assert daemon.upload("a.txt", b"alone")[0] == 200
    assert daemon.request("GET", "/api/private/storage/download?path=a.txt")[1] == b"alone"
    assert daemon.stop() == 0
    assert list((bare_root / "tmp").iterdir()) == []
    assert (bare_root / "data" / "alloyd.db").exists()
