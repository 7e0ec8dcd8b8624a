"""Looks a live database over without writing to it: for `alloyd doctor`, beside a daemon or without one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


def open_beside(path: Path) -> sqlite3.Connection:
    """A connection that only reads and never checkpoints, so it may stand beside the one that writes."""
    conn = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        conn.execute("PRAGMA query_only=ON")
        conn.execute("PRAGMA trusted_schema=OFF")
    except BaseException:
        conn.close()
        raise
    return conn


@contextmanager
def snapshot(conn: sqlite3.Connection) -> Iterator[None]:
    """Let all that is read within be of one moment."""
    conn.execute("BEGIN")
    try:
        yield
    finally:
        conn.execute("ROLLBACK")


def find_damage(path: Path) -> list[str]:
    """What SQLite's quick check finds wrong in the database at ``path``, at most ten lines. It blocks."""
    try:
        with closing(open_beside(path)) as conn:
            found = [str(line) for (line,) in conn.execute("PRAGMA quick_check(10)")]
    except sqlite3.Error as error:
        return [str(error)]
    return [line for line in found if line != "ok"]
