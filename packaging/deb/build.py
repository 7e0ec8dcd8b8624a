"""Makes a Debian package of an executable: ``build.py EXECUTABLE VERSION FOLDER``; prints the package's path."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from email.utils import formatdate
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MAINTAINER = "alloyd developers <alloyd@localhost>"
SCRIPTS = ("postinst", "prerm", "postrm")
CONFFILES = ("/etc/alloyd/config.yaml",)
# The executable brings its own libraries; it only takes the C library of the machine that it was built on, or newer.
CONTROL = """\
Package: alloyd
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size_kib}
Depends: libc6 (>= {libc}), adduser
Recommends: ca-certificates
Section: net
Priority: optional
Description: self-hosted automation appliance in one executable
 Files, durable workflows, keys and live events on one machine, on SQLite:
 alloyd serves its HTTP interfaces, keeps its data in /var/lib/alloyd, and
 needs no other service.
"""


def build(executable: Path, version: str, folder: Path) -> Path:
    """Lay the files out and have dpkg-deb pack them; the package's path."""
    architecture = _run("dpkg", "--print-architecture")
    date_s = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    target = folder / f"alloyd_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        lay_out(tree, executable, version, date_s)
        size_kib = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
        control = CONTROL.format(
            version=version,
            architecture=architecture,
            maintainer=MAINTAINER,
            size_kib=size_kib,
            libc=_run("getconf", "GNU_LIBC_VERSION").split()[-1],
        )
        lay_out_control(tree / "DEBIAN", control)
        for path in [tree, *tree.rglob("*")]:
            os.utime(path, (date_s, date_s))
        _run("dpkg-deb", "--build", "--root-owner-group", "-Zxz", str(tree), str(target))
    return target


def lay_out(tree: Path, executable: Path, version: str, date_s: int) -> None:
    """The files as they will stand on the machine."""
    documents = tree / "usr/share/doc/alloyd"
    _put(tree / "usr/bin/alloyd", executable.read_bytes(), 0o755)
    _put(tree / "lib/systemd/system/alloyd.service", (ROOT / "systemd/alloyd.service").read_bytes())
    _put(tree / "etc/alloyd/config.yaml", (ROOT / "config.example.yaml").read_bytes(), 0o640)
    _put(documents / "copyright", (HERE / "copyright").read_bytes())
    _put(documents / "changelog.gz", gzip.compress(changelog(version, date_s).encode(), mtime=0))
    _put(tree / "usr/share/lintian/overrides/alloyd", (HERE / "lintian-overrides").read_bytes())
    for path in tree.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    tree.chmod(0o755)


def lay_out_control(room: Path, control: str) -> None:
    """What dpkg reads: the description, the scripts, the files that are the administrator's."""
    _put(room / "control", control.encode())
    _put(room / "conffiles", "".join(f"{path}\n" for path in CONFFILES).encode())
    for name in SCRIPTS:
        _put(room / name, (HERE / name).read_bytes(), 0o755)
    room.chmod(0o755)


def changelog(version: str, date_s: int) -> str:
    """One entry: the history is the repository's."""
    date = formatdate(date_s)
    return f"alloyd ({version}) stable; urgency=medium\n\n  * Release {version}.\n\n -- {MAINTAINER}  {date}\n"


def _put(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def _run(*command: str) -> str:
    program = shutil.which(command[0])
    if program is None:
        raise SystemExit(f"{command[0]} is needed to make the Debian package (apt-get install dpkg)")
    return subprocess.run([program, *command[1:]], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
