"""What the embedded API may do with runs: read logs, purge, find what runs. For :mod:`alloyd.domain.embedded`."""

from __future__ import annotations

import sqlite3

from alloyd.db import Tx
from alloyd.domain.runs import store, store_end_users
from alloyd.domain.runs.model import LoggedError, LoggedRun, Order


def find_end_user(conn: sqlite3.Connection, org_id: str, run_id: str) -> str | None:
    """The end user whom a run belongs to; None for the organization's own and for one that is gone."""
    return store_end_users.find_end_user(conn, org_id, run_id)


def list_logged(
    conn: sqlite3.Connection, org_id: str, end_user_id: str, workflow_id: str, order: Order, limit: int, offset: int
) -> list[LoggedRun]:
    """A page of the user's runs of a workflow, in the order of their starts, without those that a run called."""
    return store_end_users.list_logged(conn, org_id, end_user_id, workflow_id, order, limit, offset)


def list_logged_errors(
    conn: sqlite3.Connection, org_id: str, end_user_id: str, workflow_id: str, order: Order, limit: int, offset: int
) -> list[LoggedError]:
    """:func:`list_logged` of those that failed."""
    return store_end_users.list_logged_errors(conn, org_id, end_user_id, workflow_id, order, limit, offset)


def find_last_seq(conn: sqlite3.Connection) -> int:
    """The newest run's place in the order of starts."""
    return store.find_last_seq(conn)


def list_unfinished(
    conn: sqlite3.Connection, org_id: str, end_user_id: str, after_seq: int, limit: int
) -> list[tuple[int, str]]:
    """``(seq, run_id)`` of the user's runs that have not ended, called ones too, in the order of their starts."""
    return store_end_users.list_unfinished(conn, org_id, end_user_id, after_seq, limit)


def find_top(conn: sqlite3.Connection, org_id: str, run_id: str) -> tuple[str, int] | None:
    """The workflow, and the place in the order of starts, of the run that led to this one by calls, or of itself."""
    return store_end_users.find_top(conn, org_id, run_id)


def list_tops(conn: sqlite3.Connection, org_id: str, end_user_id: str, upto_seq: int, limit: int) -> list[str]:
    """The user's runs up to that place in the order of starts which no other run is above."""
    return store_end_users.list_tops(conn, org_id, end_user_id, upto_seq, limit)


def list_tree(conn: sqlite3.Connection, org_id: str, run_id: str) -> list[tuple[str, bool]]:
    """``(run_id, whether it is unfinished)`` of a run and all below it, each after the one above it."""
    return store_end_users.list_tree(conn, org_id, run_id)


def delete_purged(tx: Tx, org_id: str, run_id: str, rows_max: int) -> int:
    """Delete about ``rows_max`` rows of an ended run; fewer than that when it is gone whole."""
    return store_end_users.delete_purged(tx, org_id, run_id, rows_max)
