"""What keeps the file small and its queries quick: for :meth:`Database.run_maintenance`, between groups of writes."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pages:
    """How full the file is: ``total`` pages, of them ``free``, of ``bytes_each`` bytes."""

    total: int
    free: int
    bytes_each: int


def count_pages(conn: sqlite3.Connection) -> Pages:
    """The file's pages as the connection sees them."""
    return Pages(
        conn.execute("PRAGMA page_count").fetchone()[0],
        conn.execute("PRAGMA freelist_count").fetchone()[0],
        conn.execute("PRAGMA page_size").fetchone()[0],
    )


def release_some_pages(conn: sqlite3.Connection) -> None:
    """Cut up to 256 free pages off the file: few enough that a write that waits behind it does not notice."""
    conn.execute("PRAGMA incremental_vacuum(256)").fetchall()  # a row for each page: it stops where reading stops


def optimize(conn: sqlite3.Connection) -> None:
    """Look at what the planner knows of the tables, a sample of each at most."""
    conn.execute("PRAGMA analysis_limit=400")
    conn.execute("PRAGMA optimize")


def rebuild(conn: sqlite3.Connection) -> None:
    """Write the whole file anew, dense, and such that it can be cut later. Every write waits for it."""
    conn.execute("PRAGMA auto_vacuum=INCREMENTAL")
    conn.execute("VACUUM")
