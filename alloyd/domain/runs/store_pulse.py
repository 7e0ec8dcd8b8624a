"""The SQL of the overview: each query looks at a bounded number of rows, however many runs there are."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EndedRow:
    """A run that has ended; times in milliseconds since the epoch."""

    state: str
    started_at: int | None
    ended_at: int


def list_ended(conn: sqlite3.Connection, org_id: str, limit: int) -> tuple[list[EndedRow], int | None]:
    """Those of the ``limit`` newest runs that have ended, and since when these are all there are; None for ever."""
    rows = conn.execute(
        "SELECT state, started_at, ended_at, created_at FROM runs WHERE org_id = ? ORDER BY seq DESC LIMIT ?",
        (org_id, limit),
    ).fetchall()
    found = [EndedRow(state, started_at, ended_at) for state, started_at, ended_at, _ in rows if ended_at is not None]
    return found, rows[-1][3] if len(rows) == limit else None


def count_standing(conn: sqlite3.Connection, org_id: str, most: int) -> tuple[int, int]:
    """How many runs wait, and how many failed for good and are not dealt with, each counted up to ``most``."""
    waiting = conn.execute(
        "SELECT count(*) FROM (SELECT 1 FROM runs WHERE org_id = ? AND state = 'waiting' LIMIT ?)", (org_id, most)
    )
    dead = conn.execute(
        "SELECT count(*) FROM (SELECT 1 FROM runs WHERE org_id = ? AND dead_at IS NOT NULL LIMIT ?)", (org_id, most)
    )
    return waiting.fetchone()[0], dead.fetchone()[0]
