"""All SQL of runs, their steps and timers."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.operations.model import Slot
from alloyd.domain.runs import store_growth, store_waits
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import (
    ENCODER,
    AgedRun,
    Attempt,
    Changes,
    GrownRow,
    Lineage,
    RunState,
    RunView,
    Step,
    StepError,
    StepState,
    TimerKind,
)
from alloyd.domain.runs.waits import DECODER, Wakeup
from alloyd.events.model import Event

_STEP_ERROR = msgspec.json.Decoder(StepError)
_ATTEMPTS = msgspec.json.Decoder(list[Attempt])


@dataclass(slots=True)
class NewRun:
    """A row to be inserted. ``queued`` False makes it pending. Not frozen: one is made for every trigger."""

    id: str
    org_id: str
    workflow_id: str
    version: int
    trigger_kind: str
    started_by: str
    steps_total: int
    queued: bool
    deadline_ms: int
    payload: bytes
    context: bytes
    metadata: bytes | None
    retry_of: str | None = None
    slot: Slot | None = None
    told: tuple[Event, ...] = ()
    trigger_depth: int = 0  # as many runs led to it, each by an event that started the next
    end_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class DueTimer:
    """A timer's row."""

    id: int
    org_id: str
    run_id: str
    step_key: str
    fire_at: int


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A queued run as the engine reads a page of them; ``payload`` is None when it is large or has run before."""

    seq: int
    id: str
    workflow_id: str
    version: int
    started_by: str
    trigger_kind: str
    payload: str | None
    context: str
    end_user_id: str | None


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run and its recorded steps, read in one snapshot."""

    view: RunView
    steps: dict[str, Step]
    lineage: Lineage | None = None
    wakeups: tuple[Wakeup, ...] = ()
    grown: tuple[GrownRow, ...] = ()


# -- writing --------------------------------------------------------------------------------------------------------


def find_last_seq(conn: sqlite3.Connection) -> int:
    """The newest run's place in the order of starts."""
    row = conn.execute("SELECT max(seq) FROM runs").fetchone()
    return row[0] or 0


_INSERT_RUNS = (
    "INSERT INTO runs (seq, id, org_id, workflow_id, version, state, trigger_kind, started_by, steps_total, "
    "created_at, queued_at, deadline_at, payload, context, metadata, retry_of, trigger_depth, end_user_id) VALUES"
)


def insert_runs(tx: Tx, runs: Sequence[NewRun], first_seq: int) -> None:
    """Insert several runs at once: what came while the writer was busy."""
    now = tx.now
    tx.execute_rows(
        _INSERT_RUNS,
        "",
        [
            (
                seq,
                run.id,
                run.org_id,
                run.workflow_id,
                run.version,
                "queued" if run.queued else "pending",
                run.trigger_kind,
                run.started_by,
                run.steps_total,
                now,
                now if run.queued else None,
                now + run.deadline_ms if run.queued else None,
                run.payload.decode(),
                run.context.decode(),
                None if run.metadata is None else run.metadata.decode(),
                run.retry_of,
                run.trigger_depth,
                run.end_user_id,
            )
            for seq, run in enumerate(runs, start=first_seq)
        ],
    )


def mark_queued(tx: Tx, org_id: str, run_id: str, deadline_at: int | None) -> bool:
    """From pending to queued; False when it was not pending."""
    changed = tx.execute(
        "UPDATE runs SET state = 'queued', queued_at = ?, deadline_at = ? "
        "WHERE org_id = ? AND id = ? AND state = 'pending'",
        (tx.now, deadline_at, org_id, run_id),
    )
    return changed.rowcount == 1


def find_ended(tx: Tx, runs: Sequence[Run]) -> set[str]:
    """Which of ``runs`` have ended already, or are gone, by their ids."""
    rows = tx.select_rows(
        "WITH v (id, org_id) AS (VALUES",
        ") SELECT v.id FROM v LEFT JOIN runs ON runs.id = v.id AND runs.org_id = v.org_id "
        "WHERE runs.id IS NULL OR runs.ended_at IS NOT NULL",
        [(run.id, run.org_id) for run in runs],
    )
    return {row[0] for row in rows}


def record_runs(tx: Tx, turns: Sequence[tuple[Run, Changes]], owner: str) -> None:
    """Write turns of the machine, each of another run that has not ended."""
    tx.execute_rows(
        "WITH v (id, org_id, state, steps_done, started_at, ended_at, owner, error, output, context) AS (VALUES",
        ") UPDATE runs SET state = v.state, steps_done = v.steps_done, started_at = v.started_at, "
        "ended_at = v.ended_at, owner = v.owner, error = v.error, output = v.output, "
        "context = coalesce(v.context, runs.context), first_context = CASE WHEN v.context IS NULL "
        "THEN runs.first_context ELSE coalesce(runs.first_context, runs.context) END, "
        "dead_at = CASE WHEN v.state = 'failed' AND runs.awaited IS NULL THEN v.ended_at END FROM v "
        "WHERE runs.id = v.id AND runs.org_id = v.org_id",
        [_run_row(run, changes, owner) for run, changes in turns],
    )
    steps = [_step_row(run, step) for run, changes in turns for step in changes.steps.values()]
    tx.execute_rows(
        "INSERT OR REPLACE INTO run_steps "
        "(run_id, key, org_id, state, attempt, started_at, ended_at, port, attempts, error, output) VALUES",
        "",
        steps,
    )
    for run, changes in turns:
        if changes.timers_cleared or changes.timers_set:
            _record_timers(tx, run, changes)


def _record_timers(tx: Tx, run: Run, changes: Changes) -> None:
    tx.executemany(
        "DELETE FROM timers WHERE run_id = ? AND step_key = ? AND org_id = ?",
        [(run.id, key, run.org_id) for key in changes.timers_cleared],
    )
    for step in changes.timers_set:
        if step.fire_at is not None and step.timer is not None:
            tx.execute(
                "INSERT OR REPLACE INTO timers (org_id, run_id, step_key, kind, fire_at) VALUES (?, ?, ?, ?, ?)",
                (run.org_id, run.id, step.key, step.timer.value, step.fire_at),
            )


def _run_row(run: Run, changes: Changes, owner: str) -> tuple[Any, ...]:
    ended = run.ended_at is not None
    return (
        run.id,
        run.org_id,
        run.state.value,
        run.steps_done,
        run.started_at,
        run.ended_at,
        None if ended else owner,
        None if run.error is None else ENCODER.encode(run.error).decode(),
        ENCODER.encode(run.output).decode() if ended and run.output is not None else None,
        ENCODER.encode(run.context).decode() if changes.context else None,
    )


def _step_row(run: Run, step: Step) -> tuple[Any, ...]:
    return (
        run.id,
        step.key,
        run.org_id,
        step.state.value,
        step.attempt,
        step.started_at,
        step.ended_at,
        step.port,
        ENCODER.encode(step.attempts).decode() if step.attempts else None,
        None if step.error is None else ENCODER.encode(step.error).decode(),
        None if step.encoded is None else step.encoded.decode(),
    )


def requeue_interrupted(tx: Tx) -> int:
    """At the start: what ran when the process ended is queued again; how many there were. All organizations."""
    return tx.execute("UPDATE runs SET state = 'queued' WHERE state = 'running' AND ended_at IS NULL").rowcount


# -- reading --------------------------------------------------------------------------------------------------------


def find_org_id(conn: sqlite3.Connection, run_id: str) -> str | None:
    """The organization that a run belongs to."""
    row = conn.execute("SELECT org_id FROM runs WHERE id = ?", (run_id,)).fetchone()
    return None if row is None else row[0]


def find_run(conn: sqlite3.Connection, org_id: str, run_id: str) -> RunView | None:
    """The organization's run of that id."""
    row = conn.execute(
        "SELECT id, org_id, workflow_id, version, state, trigger_kind, started_by, steps_total, steps_done, "
        "created_at, queued_at, started_at, ended_at, deadline_at, retry_of, parent_run_id, parent_step, awaited, "
        "depth, scope, item_index, held_back, retried_by, end_user_id, metadata, error, output, context, payload "
        "FROM runs WHERE id = ? AND org_id = ?",
        (run_id, org_id),
    ).fetchone()
    return view_of(row) if row else None


def find_trigger_depth(conn: sqlite3.Connection, org_id: str, run_id: str) -> int:
    """How many runs led to this one, each by an event that started the next; 0 for one that is not there.

    A called run has it from the run that called it.
    """
    row = conn.execute(
        "WITH RECURSIVE up (depth, parent, level) AS ("
        "SELECT trigger_depth, parent_run_id, 0 FROM runs WHERE id = :run AND org_id = :org "
        "UNION ALL SELECT runs.trigger_depth, runs.parent_run_id, level + 1 FROM up "
        "JOIN runs ON runs.id = up.parent AND runs.org_id = :org WHERE level < 1000) "
        "SELECT coalesce(max(depth), 0) FROM up",
        {"run": run_id, "org": org_id},
    ).fetchone()
    found: int = row[0]
    return found


def load_run(conn: sqlite3.Connection, org_id: str, run_id: str) -> StoredRun | None:
    """The run with its recorded steps and timers, to drive it on."""
    view = find_run(conn, org_id, run_id)
    if view is None:
        return None
    steps = {step.key: step for step in list_steps(conn, org_id, run_id)}
    for key, kind, fire_at in conn.execute(
        "SELECT step_key, kind, fire_at FROM timers WHERE run_id = ? AND org_id = ?", (run_id, org_id)
    ):
        step = steps.get(key)
        if step is not None:
            step.fire_at, step.timer = fire_at, TimerKind(kind)
            step.pending = step.output
    for step in steps.values():
        if step.state is StepState.WAITING and step.timer in (None, TimerKind.TIMEOUT) and step.encoded is not None:
            step.wait = DECODER.decode(step.encoded)
    wakeups = tuple(store_waits.list_wakeups(conn, org_id, run_id))
    lineage = store_waits.find_lineage(conn, view)
    if view.scope is not None:
        view = store_waits.inherit(conn, view)
    return StoredRun(view, steps, lineage, wakeups, tuple(store_growth.list_rows(conn, org_id, run_id)))


def list_steps(conn: sqlite3.Connection, org_id: str, run_id: str) -> list[Step]:
    """The steps of a run that have been touched."""
    rows = conn.execute(
        "SELECT key, state, attempt, started_at, ended_at, port, attempts, error, output FROM run_steps "
        "WHERE run_id = ? AND org_id = ?",
        (run_id, org_id),
    )
    return [_step(row) for row in rows]


def count_queued(conn: sqlite3.Connection) -> dict[str, int]:
    """How many runs wait for the engine, by organization. All organizations: the engine's own bookkeeping."""
    return dict(
        conn.execute(
            "SELECT org_id, count(*) FROM runs WHERE state = 'queued' AND ended_at IS NULL AND held_back IS NULL "
            "GROUP BY org_id"
        )
    )


LIST_UNFINISHED = (
    "SELECT id FROM runs WHERE org_id = ? AND state IN ('queued', 'running', 'waiting', 'pending') LIMIT ?"
)


def list_unfinished(conn: sqlite3.Connection, org_id: str, limit: int) -> list[str]:
    """Some of the organization's runs that have not ended."""
    return [row[0] for row in conn.execute(LIST_UNFINISHED, (org_id, limit))]


def list_queued(
    conn: sqlite3.Connection, org_id: str, after_seq: int, limit: int, payload_bytes_max: int
) -> list[QueuedRun]:
    """The organization's queued runs in the order of their starts."""
    rows = conn.execute(
        "SELECT seq, id, workflow_id, version, started_by, trigger_kind, CASE WHEN started_at IS NULL "
        "AND parent_run_id IS NULL AND retry_of IS NULL AND length(payload) + length(context) <= ? "
        "THEN payload END, context, end_user_id FROM runs "
        "WHERE org_id = ? AND state = 'queued' AND held_back IS NULL AND seq > ? ORDER BY seq LIMIT ?",
        (payload_bytes_max, org_id, after_seq, limit),
    )
    return [QueuedRun(*row) for row in rows]


def list_timers(conn: sqlite3.Connection, after: tuple[int, int], until_ms: int, limit: int) -> list[DueTimer]:
    """Timers in the order in which they fire, those after time and id ``after``. All organizations."""
    rows = conn.execute(
        "SELECT id, org_id, run_id, step_key, fire_at FROM timers WHERE (fire_at, id) > (?, ?) AND fire_at <= ? "
        "ORDER BY fire_at, id LIMIT ?",
        (*after, until_ms, limit),
    )
    return [DueTimer(*row) for row in rows]


def list_overdue(conn: sqlite3.Connection, now_ms: int, limit: int) -> list[tuple[str, str]]:
    """``(org_id, run_id)`` of runs whose deadline has passed. All organizations: the scheduler's own."""
    rows = conn.execute(
        "SELECT org_id, id FROM runs WHERE ended_at IS NULL AND deadline_at <= ? ORDER BY deadline_at LIMIT ?",
        (now_ms, limit),
    )
    return list(rows)


def find_next_deadline(conn: sqlite3.Connection) -> int | None:
    """The nearest deadline of all unfinished runs, in ms since the epoch."""
    row = conn.execute("SELECT min(deadline_at) FROM runs WHERE ended_at IS NULL").fetchone()
    found: int | None = row[0]
    return found


# -- retention: alloyd's own work, over all organizations ----------------------------------------------------------


LIST_ALL_FROM = "SELECT seq, id, org_id, created_at, ended_at FROM runs WHERE seq > ? ORDER BY seq LIMIT ?"
LIST_OF_ORG_FROM = (
    "SELECT seq, id, org_id, created_at, ended_at FROM runs WHERE org_id = ? AND seq > ? ORDER BY seq LIMIT ?"
)
FIND_NEXT_ORG = "SELECT min(org_id) FROM runs WHERE org_id > ?"
COUNT_ENDED = "SELECT count(*) FROM runs WHERE org_id = ? AND state IN ('completed', 'failed', 'cancelled')"
FIND_UNFINISHED = "SELECT id FROM runs WHERE id IN (SELECT value FROM json_each(?)) AND ended_at IS NULL"
DELETE_STEPS = (
    "DELETE FROM run_steps WHERE (run_id, key) IN "
    "(SELECT run_id, key FROM run_steps WHERE run_id = ? AND org_id = ? LIMIT ?)"
)
DELETE_TIMERS = "DELETE FROM timers WHERE run_id = ? AND org_id = ?"
DELETE_RUN = "DELETE FROM runs WHERE id = ? AND org_id = ? AND ended_at IS NOT NULL"


def list_all_from(conn: sqlite3.Connection, after_seq: int, limit: int) -> list[AgedRun]:
    """Runs of all organizations in the order of their starts."""
    return [AgedRun(*row) for row in conn.execute(LIST_ALL_FROM, (after_seq, limit))]


def list_of_org_from(conn: sqlite3.Connection, org_id: str, after_seq: int, limit: int) -> list[AgedRun]:
    """The organization's runs in the order of their starts."""
    return [AgedRun(*row) for row in conn.execute(LIST_OF_ORG_FROM, (org_id, after_seq, limit))]


def find_next_org(conn: sqlite3.Connection, after: str) -> str | None:
    """The next organization that has runs, in the order of ids."""
    found: str | None = conn.execute(FIND_NEXT_ORG, (after,)).fetchone()[0]
    return found


def count_ended(conn: sqlite3.Connection, org_id: str) -> int:
    """How many ended runs the organization has."""
    found: int = conn.execute(COUNT_ENDED, (org_id,)).fetchone()[0]
    return found


def find_unfinished(conn: sqlite3.Connection, run_ids: Collection[str]) -> set[str]:
    """Which of ``run_ids``, of whatever organization (org_id), are runs that have not ended."""
    rows = conn.execute(FIND_UNFINISHED, (ENCODER.encode(list(run_ids)).decode(),))
    return {row[0] for row in rows}


def delete_ended(tx: Tx, org_id: str, run_id: str, rows_max: int) -> int:
    """Delete at most ``rows_max`` rows of a run that has ended, the run itself last; how many there were."""
    deleted = tx.execute(DELETE_STEPS, (run_id, org_id, rows_max)).rowcount
    if deleted < rows_max:
        deleted += tx.execute(DELETE_TIMERS, (run_id, org_id)).rowcount + store_growth.delete(tx, org_id, run_id)
        deleted += tx.execute(DELETE_RUN, (run_id, org_id)).rowcount
    return deleted


_JSON_FIELDS = ("metadata", "error", "output", "context", "payload")
_PLAIN_FIELDS = [name for name in RunView.__dataclass_fields__ if name not in _JSON_FIELDS]


def view_of(row: tuple[Any, ...]) -> RunView:
    """A row with every column of a run that is shown."""
    decode = msgspec.json.decode
    metadata, error, output, context, payload = row[24:29]
    fields: dict[str, Any] = dict(zip(_PLAIN_FIELDS, row[:24], strict=True))
    fields["state"] = RunState(fields["state"])
    fields["awaited"], fields["held_back"] = bool(fields["awaited"]), bool(fields["held_back"])
    return RunView(
        **fields,
        metadata=None if metadata is None else decode(metadata),
        error=None if error is None else _STEP_ERROR.decode(error),
        output=None if output is None else decode(output),
        context={} if context is None else decode(context),
        payload={} if payload is None else decode(payload),
    )


def _step(row: tuple[Any, ...]) -> Step:
    return Step(
        key=row[0],
        state=StepState(row[1]),
        attempt=row[2],
        started_at=row[3],
        ended_at=row[4],
        port=row[5],
        attempts=tuple(_ATTEMPTS.decode(row[6])) if row[6] is not None else (),
        error=_STEP_ERROR.decode(row[7]) if row[7] is not None else None,
        output=msgspec.json.decode(row[8]) if row[8] is not None else None,
        encoded=row[8].encode() if row[8] is not None else None,
    )
