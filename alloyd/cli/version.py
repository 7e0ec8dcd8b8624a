"""`alloyd version`, which imports nothing to be quick."""

from __future__ import annotations

import platform
import sqlite3

from alloyd import __version__


def versions() -> dict[str, str]:
    """The program's version, and those it stands on."""
    return {"alloyd": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}


def version_line() -> str:
    """The versions on one line, the program's first."""
    found = versions()
    return f"alloyd {found['alloyd']} (Python {found['python']}, SQLite {found['sqlite']})"


def main() -> int:
    """Print the line; the exit code."""
    print(version_line(), flush=True)
    return 0
