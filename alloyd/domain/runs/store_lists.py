"""All SQL of the lists of runs: each is read by its index, whatever the filter."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from alloyd.domain.runs.model import NewestRun, RunFilter, RunPage, RunState
from alloyd.domain.runs.store import view_of

_LIST = (
    "SELECT id, org_id, workflow_id, version, state, trigger_kind, started_by, steps_total, steps_done, "
    "created_at, queued_at, started_at, ended_at, deadline_at, retry_of, parent_run_id, parent_step, awaited, "
    "depth, scope, item_index, held_back, retried_by, end_user_id, metadata, error, "
    "iif(:slim, NULL, output), iif(:slim, NULL, context), NULL "
    "FROM runs "
)
_OUTPUT, _CONTEXT = 26, 27  # where these two are in a row
# Contexts and outputs of a page, in characters: with this many it ends, however many runs it was to have.
PAGE_CHARS_MAX = 8 * 1024 * 1024
_NARROWED = (
    "AND (:workflow IS NULL OR workflow_id = :workflow) AND (:trigger IS NULL OR trigger_kind = :trigger) "
    "AND (:from IS NULL OR created_at >= :from) AND (:to IS NULL OR created_at < :to) "
    "AND (:before IS NULL OR seq < (SELECT seq FROM runs WHERE id = :before AND org_id = :org)) "
    "ORDER BY seq DESC LIMIT :limit"
)
_ANY_STATE = "AND (:state IS NULL OR state = :state) "
# A filter that an index serves stands bare, so that SQLite can use it: a rare state is found among a million runs.
LIST_ALL = _LIST + "WHERE org_id = :org " + _NARROWED
LIST_OF_STATE = _LIST + "WHERE org_id = :org AND state = :state " + _NARROWED
LIST_OF_WORKFLOW = _LIST + "WHERE org_id = :org " + _ANY_STATE + "AND workflow_id = :workflow " + _NARROWED
LIST_OF_PARENT = _LIST + "WHERE org_id = :org " + _ANY_STATE + "AND parent_run_id = :parent " + _NARROWED
LIST_OF_END_USER = (
    _LIST + "INDEXED BY runs_by_end_user WHERE org_id = :org AND end_user_id = :end_user "
    "AND (NOT :top_level OR parent_run_id IS NULL) AND (:parent IS NULL OR parent_run_id = :parent) "
    + _ANY_STATE
    + _NARROWED
)
LIST_DEAD = _LIST + "WHERE org_id = :org AND dead_at IS NOT NULL " + _NARROWED
# Several indexes would do, and the one without the runs that other runs started is meant: it is named.
LIST_TOP_LEVEL = (
    _LIST + "INDEXED BY runs_top_level WHERE org_id = :org AND parent_run_id IS NULL " + _ANY_STATE + _NARROWED
)
LIST_TOP_LEVEL_OF_STATE = (
    _LIST + "INDEXED BY runs_by_state WHERE org_id = :org AND state = :state AND parent_run_id IS NULL " + _NARROWED
)
LIST_TOP_LEVEL_OF_WORKFLOW = (
    _LIST + "INDEXED BY runs_top_level_by_workflow WHERE org_id = :org AND workflow_id = :workflow "
    "AND parent_run_id IS NULL " + _ANY_STATE + _NARROWED
)


def list_page(conn: sqlite3.Connection, org_id: str, wanted: RunFilter, before_id: str | None, limit: int) -> RunPage:
    """Newest first, those before ``before_id``, without their payloads; none when that run is gone.

    At least one if there is one, and fewer than ``limit`` when they hold more than :data:`PAGE_CHARS_MAX`.

    Retention deletes the oldest first, so nothing is left behind a run that is gone.
    """
    rows = conn.execute(
        _statement_for(wanted),
        {
            "org": org_id,
            "state": wanted.state,
            "workflow": wanted.workflow_id,
            "parent": wanted.parent_run_id,
            "trigger": wanted.trigger_kind,
            "end_user": wanted.end_user_id,
            "top_level": wanted.top_level,
            "slim": wanted.slim,
            "from": wanted.created_from,
            "to": wanted.created_to,
            "before": before_id,
            "limit": limit,
        },
    )
    found: list[tuple[Any, ...]] = []
    chars = 0
    for row in rows:
        chars += len(row[_OUTPUT] or "") + len(row[_CONTEXT] or "")
        if found and chars > PAGE_CHARS_MAX:
            return RunPage([view_of(one) for one in found], cut_short=True)
        found.append(row)
    return RunPage([view_of(one) for one in found])


def _statement_for(wanted: RunFilter) -> str:
    if wanted.dead:
        return LIST_DEAD
    if wanted.end_user_id is not None:
        return LIST_OF_END_USER
    if wanted.parent_run_id is not None:
        return LIST_OF_PARENT
    if wanted.workflow_id is not None:
        return LIST_TOP_LEVEL_OF_WORKFLOW if wanted.top_level else LIST_OF_WORKFLOW
    if wanted.state is not None:
        return LIST_TOP_LEVEL_OF_STATE if wanted.top_level else LIST_OF_STATE
    return LIST_TOP_LEVEL if wanted.top_level else LIST_ALL


def list_newest(conn: sqlite3.Connection, org_id: str, workflow_ids: Sequence[str]) -> list[NewestRun]:
    """The newest run of each of the workflows, but for those that other runs started."""
    found = []
    for workflow_id in workflow_ids:
        row = conn.execute(
            "SELECT workflow_id, id, state, created_at FROM runs INDEXED BY runs_top_level_by_workflow "
            "WHERE org_id = ? AND workflow_id = ? AND parent_run_id IS NULL ORDER BY seq DESC LIMIT 1",
            (org_id, workflow_id),
        ).fetchone()
        if row is not None:
            found.append(NewestRun(row[0], row[1], RunState(row[2]), row[3]))
    return found
