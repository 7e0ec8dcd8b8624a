"""Builds dist/alloyd, its list of parts and the .deb, and tries the executable: ``make package``."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from bom import write_bom

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
SPEC = ROOT / "packaging" / "alloyd.spec"
# Of all that is packed; PyInstaller and the .deb put it where they would put the time of the build.
SOURCE_DATE = "1700000000"
TRY_SECONDS_MAX = 60


def main() -> int:
    """Build both, one after the other; the status for the shell."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": SOURCE_DATE, "PYTHONHASHSEED": "1"}
    executable = build_executable(environment)
    try_out(executable)
    parts = write_bom(executable, version(), int(SOURCE_DATE))
    package = build_deb(executable, environment)
    for path in (executable, parts, package):
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT)}  {path.stat().st_size} bytes")
    return 0


def build_executable(environment: dict[str, str]) -> Path:
    """Run PyInstaller; the path of the executable."""
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "WARN"]
    command += ["--distpath", str(DIST), "--workpath", str(ROOT / "build" / "pyinstaller"), str(SPEC)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    return DIST / "alloyd"


def try_out(executable: Path) -> None:
    """The executable has to say its version, and its help, for which all of it is loaded."""
    for arguments, expected in (("version", version()), ("--help", "serve")):
        said = subprocess.run(
            [executable, arguments],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=TRY_SECONDS_MAX,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
            cwd="/",
        ).stdout
        if expected not in said:
            raise SystemExit(f"{executable} {arguments} said {said!r}, and not {expected}")


def build_deb(executable: Path, environment: dict[str, str]) -> Path:
    """Make the Debian package around the executable; its path."""
    command = [sys.executable, str(ROOT / "packaging" / "deb" / "build.py"), str(executable), version(), str(DIST)]
    said = subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    return Path(said.stdout.strip())


def version() -> str:
    """The version in pyproject.toml."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


if __name__ == "__main__":
    sys.exit(main())
