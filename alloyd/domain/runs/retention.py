"""What retention may do with runs: look at the oldest, delete ended ones. For :mod:`alloyd.domain.retention`."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from alloyd.db import Tx
from alloyd.domain.runs import store
from alloyd.domain.runs.model import AgedRun


def list_from(conn: sqlite3.Connection, org_id: str | None, after_seq: int, limit: int) -> list[AgedRun]:
    """Up to ``limit`` runs of the organization, or of all, in the order of their starts after ``after_seq``."""
    if org_id is None:
        return store.list_all_from(conn, after_seq, limit)
    return store.list_of_org_from(conn, org_id, after_seq, limit)


def find_next_org(conn: sqlite3.Connection, after: str) -> str | None:
    """The next organization after ``after`` that has runs, in the order of ids."""
    return store.find_next_org(conn, after)


def count_ended(conn: sqlite3.Connection, org_id: str) -> int:
    """How many ended runs the organization has."""
    return store.count_ended(conn, org_id)


def find_unfinished(conn: sqlite3.Connection, run_ids: Collection[str]) -> set[str]:
    """Which of ``run_ids`` are runs that have not ended."""
    return store.find_unfinished(conn, run_ids)


def delete_ended(tx: Tx, org_id: str, run_id: str, rows_max: int) -> int:
    """Delete at most ``rows_max`` rows of a run that has ended: steps, then the run; fewer when it is gone whole."""
    return store.delete_ended(tx, org_id, run_id, rows_max)
