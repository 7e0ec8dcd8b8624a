"""All SQL of runs as their end users see them: waits for a user's events, logs, and what a purge takes away."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.runs.model import LoggedError, LoggedRun, RunState

_ENCODE = msgspec.json.encode

# -- events ---------------------------------------------------------------------------------------------------------

LIST_WAITS = (
    "SELECT id, run_id, step_key, matches, asks FROM event_waits "
    "WHERE org_id = ? AND event IN (SELECT value FROM json_each(?)) AND end_user_id = ? ORDER BY id"
)


def list_waits(
    conn: sqlite3.Connection, org_id: str, end_user_id: str, patterns: Sequence[str]
) -> list[tuple[int, str, str, str | None, int]]:
    """``(id, run_id, step_key, matches, asks)`` of the user's waits for one of ``patterns``, the oldest first."""
    return list(conn.execute(LIST_WAITS, (org_id, _ENCODE(patterns).decode(), end_user_id)))


def find_top(conn: sqlite3.Connection, org_id: str, run_id: str) -> tuple[str, int] | None:
    """The workflow, and the place in the order of starts, of the run that led to this one by calls; a run of its own is
    that itself."""
    row = conn.execute(
        "WITH RECURSIVE up (workflow_id, parent, seq, level) AS ("
        "SELECT workflow_id, parent_run_id, seq, 0 FROM runs WHERE id = :run AND org_id = :org "
        "UNION ALL SELECT r.workflow_id, r.parent_run_id, r.seq, level + 1 FROM up "
        "JOIN runs r ON r.id = up.parent AND r.org_id = :org WHERE level < 1000) "
        "SELECT workflow_id, seq FROM up ORDER BY level DESC LIMIT 1",
        {"run": run_id, "org": org_id},
    ).fetchone()
    return None if row is None else (row[0], row[1])


LIST_UNFINISHED = (
    "SELECT seq, id FROM runs WHERE org_id = ? AND end_user_id = ? AND ended_at IS NULL AND seq > ? "
    "ORDER BY seq LIMIT ?"
)


def list_unfinished(
    conn: sqlite3.Connection, org_id: str, end_user_id: str, after_seq: int, limit: int
) -> list[tuple[int, str]]:
    """``(seq, run_id)`` of the user's runs that have not ended, called ones too, in the order of their starts."""
    return list(conn.execute(LIST_UNFINISHED, (org_id, end_user_id, after_seq, limit)))


def find_end_user(conn: sqlite3.Connection, org_id: str, run_id: str) -> str | None:
    """Whom a run belongs to; None for the organization's own and for one that is gone."""
    row = conn.execute("SELECT end_user_id FROM runs WHERE id = ? AND org_id = ?", (run_id, org_id)).fetchone()
    return None if row is None else row[0]


# -- logs -----------------------------------------------------------------------------------------------------------

_LOGS = (
    "SELECT id, state, coalesce(started_at, queued_at, created_at), ended_at FROM runs "
    "WHERE org_id = ? AND end_user_id = ? AND workflow_id = ? AND parent_run_id IS NULL "
)
_ERRORS = (
    "SELECT id, json_extract(error, '$.message'), ended_at FROM runs "
    "WHERE org_id = ? AND end_user_id = ? AND workflow_id = ? AND parent_run_id IS NULL AND state = 'failed' "
)
LOGS = {
    "desc": _LOGS + "ORDER BY seq DESC LIMIT ? OFFSET ?",
    "asc": _LOGS + "ORDER BY seq LIMIT ? OFFSET ?",
}
ERRORS = {
    "desc": _ERRORS + "ORDER BY seq DESC LIMIT ? OFFSET ?",
    "asc": _ERRORS + "ORDER BY seq LIMIT ? OFFSET ?",
}


def list_logged(
    conn: sqlite3.Connection, org_id: str, end_user_id: str, workflow_id: str, order: str, limit: int, offset: int
) -> list[LoggedRun]:
    """A page of the user's runs of a workflow, in the order of their starts, without those that a run called."""
    rows = conn.execute(LOGS[order], (org_id, end_user_id, workflow_id, limit, offset))
    return [LoggedRun(row[0], RunState(row[1]), row[2], row[3]) for row in rows]


def list_logged_errors(
    conn: sqlite3.Connection, org_id: str, end_user_id: str, workflow_id: str, order: str, limit: int, offset: int
) -> list[LoggedError]:
    """:func:`list_logged` of those that failed."""
    rows = conn.execute(ERRORS[order], (org_id, end_user_id, workflow_id, limit, offset))
    return [LoggedError(row[0], row[1] or "", row[2]) for row in rows]


# -- purge ----------------------------------------------------------------------------------------------------------

LIST_TOPS = (
    "SELECT id FROM runs r WHERE org_id = ? AND end_user_id = ? AND seq <= ? AND (parent_run_id IS NULL "
    "OR NOT EXISTS (SELECT 1 FROM runs p WHERE p.id = r.parent_run_id AND p.org_id = r.org_id)) ORDER BY seq LIMIT ?"
)
LIST_TREE = (
    "WITH RECURSIVE tree (id) AS (SELECT id FROM runs WHERE id = :top AND org_id = :org "
    "UNION SELECT c.id FROM tree JOIN runs c ON c.parent_run_id = tree.id AND c.org_id = :org) "
    "SELECT r.id, r.ended_at IS NULL FROM tree JOIN runs r ON r.id = tree.id AND r.org_id = :org ORDER BY r.seq"
)
# Of one run, in parts.
DELETE_STEPS = (
    "DELETE FROM run_steps WHERE (run_id, key) IN "
    "(SELECT run_id, key FROM run_steps WHERE run_id = ? AND org_id = ? LIMIT ?)"
)
DELETE_ITEMS = (
    "DELETE FROM foreach_items WHERE (run_id, step_key, item_index) IN "
    "(SELECT run_id, step_key, item_index FROM foreach_items WHERE run_id = ? AND org_id = ? LIMIT ?)"
)
DELETE_GROWN = (
    "DELETE FROM grown_steps WHERE (run_id, key) IN "
    "(SELECT run_id, key FROM grown_steps WHERE run_id = ? AND org_id = ? LIMIT ?)"
)
DELETE_WAKEUPS = "DELETE FROM wakeups WHERE id IN (SELECT id FROM wakeups WHERE run_id = ? AND org_id = ? LIMIT ?)"


def list_tops(conn: sqlite3.Connection, org_id: str, end_user_id: str, upto_seq: int, limit: int) -> list[str]:
    """The user's runs up to ``upto_seq`` that no other run is above, the oldest first."""
    return [row[0] for row in conn.execute(LIST_TOPS, (org_id, end_user_id, upto_seq, limit))]


def list_tree(conn: sqlite3.Connection, org_id: str, run_id: str) -> list[tuple[str, bool]]:
    """``(run_id, whether it is unfinished)`` of a run and all below it, each after the one above it."""
    return [(row[0], bool(row[1])) for row in conn.execute(LIST_TREE, {"top": run_id, "org": org_id})]


def delete_purged(tx: Tx, org_id: str, run_id: str, rows_max: int) -> int:
    """Delete at most ``rows_max`` rows, and a few, of an ended run, itself last; fewer when it is gone whole."""
    deleted = 0
    for sql in (DELETE_STEPS, DELETE_GROWN, DELETE_ITEMS, DELETE_WAKEUPS):
        deleted += tx.execute(sql, (run_id, org_id, rows_max - deleted)).rowcount
        if deleted >= rows_max:
            return deleted
    # As many as the run has steps, and usually none.
    tx.execute("DELETE FROM event_waits WHERE run_id = ? AND org_id = ?", (run_id, org_id))
    tx.execute("DELETE FROM timers WHERE run_id = ? AND org_id = ?", (run_id, org_id))
    tx.execute("DELETE FROM run_slots WHERE run_id = ? AND org_id = ?", (run_id, org_id))
    tx.execute("DELETE FROM runs WHERE id = ? AND org_id = ? AND ended_at IS NOT NULL", (run_id, org_id))
    return deleted
