"""All SQL of what runs' steps wait for, of child runs, and of places by concurrency key."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.operations.model import Slot
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import ENCODER, Lineage, RunView
from alloyd.domain.runs.waits import Child, EventRegistration, ForeachWait, Wait, WaitChanges, Wakeup

_SLOT = msgspec.json.Decoder(Slot)

# -- what a turn changed --------------------------------------------------------------------------------------------


def record_waits(tx: Tx, run: Run, changes: WaitChanges) -> None:
    """Write what a turn changed of the run's waits, but for its children."""
    for wakeup_id in changes.taken:
        tx.execute("DELETE FROM wakeups WHERE id = ? AND org_id = ?", (wakeup_id, run.org_id))
    for key, wait in changes.settled:
        _clear_step(tx, run, key, wait)
    for key, spread, slots in changes.items:
        inputs = spread.inputs
        tx.execute_rows(
            "INSERT INTO foreach_items (run_id, step_key, item_index, org_id, item, input, slot) VALUES",
            "",
            [
                (
                    run.id,
                    key,
                    index,
                    run.org_id,
                    ENCODER.encode(item).decode(),
                    None if inputs is None else ENCODER.encode(inputs[index]).decode(),
                    None if slots[index] is None else ENCODER.encode(slots[index]).decode(),
                )
                for index, item in enumerate(spread.items)
            ],
        )
    for registration in changes.registered:
        _insert_event_wait(tx, run, registration)


def _clear_step(tx: Tx, run: Run, key: str, wait: Wait) -> None:
    of_step = (run.id, key, run.org_id)
    if isinstance(wait, ForeachWait):
        tx.execute("DELETE FROM foreach_items WHERE run_id = ? AND step_key = ? AND org_id = ?", of_step)
    tx.execute("DELETE FROM event_waits WHERE run_id = ? AND step_key = ? AND org_id = ?", of_step)
    tx.execute("DELETE FROM wakeups WHERE run_id = ? AND step_key = ? AND org_id = ?", of_step)


def clear_run(tx: Tx, org_id: str, run_id: str) -> None:
    """The run has ended: nothing can resume it any more."""
    tx.execute("DELETE FROM foreach_items WHERE run_id = ? AND org_id = ?", (run_id, org_id))
    tx.execute("DELETE FROM event_waits WHERE run_id = ? AND org_id = ?", (run_id, org_id))
    tx.execute("DELETE FROM wakeups WHERE run_id = ? AND org_id = ?", (run_id, org_id))


# -- wakeups --------------------------------------------------------------------------------------------------------


def insert_wakeup(tx: Tx, org_id: str, run_id: str, step_key: str, kind: str, payload: bytes) -> Wakeup | None:
    """Note what happened to a step of a run; None when that run has ended."""
    made = tx.execute(
        "INSERT INTO wakeups (org_id, run_id, step_key, kind, payload) "
        "SELECT org_id, id, ?, ?, ? FROM runs WHERE id = ? AND org_id = ? AND ended_at IS NULL",
        (step_key, kind, payload.decode(), run_id, org_id),
    )
    if made.rowcount != 1 or made.lastrowid is None:
        return None
    return Wakeup(made.lastrowid, step_key, kind, payload)


def list_wakeups(conn: sqlite3.Connection, org_id: str, run_id: str) -> list[Wakeup]:
    """What has happened to the run's steps, in order."""
    rows = conn.execute(
        "SELECT id, step_key, kind, payload FROM wakeups WHERE run_id = ? AND org_id = ? ORDER BY id", (run_id, org_id)
    )
    return [Wakeup(row[0], row[1], row[2], row[3].encode()) for row in rows]


def delete_wakeups(tx: Tx, org_id: str, wakeup_ids: Collection[int]) -> None:
    """What turned out to move nothing."""
    tx.executemany("DELETE FROM wakeups WHERE id = ? AND org_id = ?", [(one, org_id) for one in wakeup_ids])


def list_woken(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    """``(org_id, run_id)`` of runs with wakeups that nobody has taken. All organizations: recovery at the start."""
    return list(conn.execute("SELECT DISTINCT org_id, run_id FROM wakeups"))


# -- children -------------------------------------------------------------------------------------------------------


def insert_child(tx: Tx, parent: Run, child: Child, seq: int, deadline_ms: int) -> Slot | None:
    """Make a child run, queued; the place that it needs. One of a foreach takes its item's input."""
    target = child.target
    depth = 1 + (parent.lineage.depth if parent.lineage else 0)
    tx.execute(
        "INSERT INTO runs (seq, id, org_id, workflow_id, version, state, trigger_kind, started_by, steps_total, "
        "created_at, queued_at, deadline_at, payload, context, parent_run_id, parent_step, awaited, depth, scope, "
        "item_index, end_user_id) "
        "VALUES (?, ?, ?, ?, ?, 'queued', 'workflow', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            seq,
            child.id,
            parent.org_id,
            target.workflow_id,
            target.version,
            parent.started_by,
            target.steps_total,
            tx.now,
            tx.now,
            tx.now + deadline_ms,
            None if child.payload is None else child.payload.decode(),
            None if target.scope is not None else "{}",
            parent.id,
            child.step_key,
            1 if child.awaited else None,
            depth,
            target.scope,
            child.index,
            parent.end_user_id,
        ),
    )
    if child.index is None:
        return child.slot
    tx.execute(
        "UPDATE runs SET payload = CASE WHEN scope IS NULL THEN coalesce(i.input, i.item) ELSE i.input END, "
        "item = CASE WHEN scope IS NULL THEN NULL ELSE i.item END FROM foreach_items i "
        "WHERE runs.id = ? AND runs.org_id = ? AND i.run_id = runs.parent_run_id AND i.step_key = runs.parent_step "
        "AND i.item_index = runs.item_index",
        (child.id, parent.org_id),
    )
    row = tx.execute(
        "SELECT slot FROM foreach_items WHERE run_id = ? AND step_key = ? AND item_index = ? AND org_id = ?",
        (parent.id, child.step_key, child.index, parent.org_id),
    ).fetchone()
    return _SLOT.decode(row[0]) if row is not None and row[0] is not None else None


def end_item(tx: Tx, org_id: str, lineage: Lineage, state: str, output: bytes | None, error: bytes | None) -> None:
    """How an item's run ended."""
    tx.execute(
        "UPDATE foreach_items SET state = ?, output = ?, error = ? "
        "WHERE run_id = ? AND step_key = ? AND item_index = ? AND org_id = ?",
        (
            state,
            None if output is None else output.decode(),
            None if error is None else error.decode(),
            lineage.parent_run_id,
            lineage.parent_step,
            lineage.item_index,
            org_id,
        ),
    )


def count_end_bytes(conn: sqlite3.Connection, org_id: str, run_id: str, key: str) -> int:
    """How many bytes a list has, as JSON, of the items' outputs, and of ``{error}`` for those that failed."""
    row = conn.execute(
        "SELECT 1 + count(*) + coalesce(sum(CASE WHEN state = 'completed' "
        "THEN coalesce(length(CAST(output AS BLOB)), 4) ELSE 10 + coalesce(length(CAST(error AS BLOB)), 4) END), 0) "
        "FROM foreach_items WHERE run_id = ? AND step_key = ? AND org_id = ?",
        (run_id, key, org_id),
    ).fetchone()
    found: int = row[0]
    return found


def list_item_ends(
    conn: sqlite3.Connection, org_id: str, run_id: str, key: str, first_index: int, limit: int, bytes_max: int
) -> list[tuple[str, str | None, str | None]]:
    """``(state, output, error)`` of a page of items in their order: as many as have ``bytes_max`` characters, and one
    at least."""
    rows = conn.execute(
        "SELECT state, output, error FROM foreach_items WHERE run_id = ? AND step_key = ? AND org_id = ? "
        "AND item_index >= ? ORDER BY item_index LIMIT ?",
        (run_id, key, org_id, first_index, limit),
    )
    page: list[tuple[str, str | None, str | None]] = []
    size = 0
    for row in rows:
        size += len(row[1] or "") + len(row[2] or "")
        if page and size > bytes_max:
            break
        page.append(row)
    return page


def list_children_to_end(
    conn: sqlite3.Connection, org_id: str, parent_run_id: str, step_key: str | None, limit: int
) -> list[str]:
    """Unfinished runs that a step, or any step, of ``parent_run_id`` waited for."""
    rows = conn.execute(
        "SELECT id FROM runs WHERE parent_run_id = ? AND org_id = ? AND awaited = 1 AND ended_at IS NULL "
        "AND (? IS NULL OR parent_step = ?) ORDER BY seq LIMIT ?",
        (parent_run_id, org_id, step_key, step_key, limit),
    )
    return [row[0] for row in rows]


ORPHANS = (
    "SELECT DISTINCT c.org_id, c.parent_run_id, c.parent_step FROM runs c "
    "LEFT JOIN runs p ON p.id = c.parent_run_id "
    "LEFT JOIN run_steps s ON s.run_id = c.parent_run_id AND s.key = c.parent_step "
    "WHERE c.parent_run_id IS NOT NULL AND c.awaited = 1 AND c.ended_at IS NULL "
    "AND (p.id IS NULL OR p.ended_at IS NOT NULL OR s.state IS NULL OR s.state <> 'waiting')"
)


def list_orphans(conn: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """``(org_id, parent_run_id, parent_step)`` of runs that nobody waits for any more. All organizations: recovery."""
    return list(conn.execute(ORPHANS))


def find_inherited(conn: sqlite3.Connection, org_id: str, run_id: str) -> tuple[str | None, str | None, str | None]:
    """``(payload, context, parent's id)`` of a run, as inline nodes inherit them."""
    row = conn.execute(
        "SELECT payload, context, parent_run_id FROM runs WHERE id = ? AND org_id = ?", (run_id, org_id)
    ).fetchone()
    return row or (None, None, None)


def find_item(conn: sqlite3.Connection, org_id: str, run_id: str) -> str | None:
    """The item of a run of inline nodes, as JSON."""
    row = conn.execute("SELECT item FROM runs WHERE id = ? AND org_id = ?", (run_id, org_id)).fetchone()
    return row[0] if row else None


def find_lineage(conn: sqlite3.Connection, view: RunView) -> Lineage | None:
    """Where a child run comes from; None for a run of its own."""
    if view.parent_run_id is None or view.parent_step is None:
        return None
    item = find_item(conn, view.org_id, view.id)
    return Lineage(
        view.parent_run_id,
        view.parent_step,
        view.awaited,
        view.depth,
        view.scope,
        view.item_index,
        None if item is None else msgspec.json.decode(item),
    )


def inherit(conn: sqlite3.Connection, view: RunView) -> RunView:
    """Inline nodes have the trigger, and begin with the context, of the run that they stand in."""
    payload, context, parent_id = find_inherited(conn, view.org_id, view.id)
    while parent_id is not None and (payload is None or context is None):
        above = find_inherited(conn, view.org_id, parent_id)
        payload, context, parent_id = payload or above[0], context or above[1], above[2]
    decode = msgspec.json.decode
    return replace(view, payload=decode(payload or "{}"), context=decode(context or "{}"))


# -- events ---------------------------------------------------------------------------------------------------------


def _insert_event_wait(tx: Tx, run: Run, registration: EventRegistration) -> None:
    """From the newest event on: what is told in this very commit comes after it."""
    tx.execute(
        "INSERT OR REPLACE INTO event_waits "
        "(org_id, run_id, step_key, event, matches, asks, end_user_id, after_event_id) "
        "SELECT ?, ?, ?, ?, ?, ?, ?, coalesce(max(id), 0) FROM events",
        (
            run.org_id,
            run.id,
            registration.step_key,
            registration.event,
            None if registration.matches is None else registration.matches.decode(),
            int(registration.asks),
            run.end_user_id,
        ),
    )


def list_event_waits(
    conn: sqlite3.Connection, org_id: str, patterns: Sequence[str], event_id: int
) -> list[tuple[int, str, str, str | None, int]]:
    """``(id, run_id, step_key, matches, asks)`` of the waits that event ``event_id`` of the organization may end."""
    rows = conn.execute(
        "SELECT id, run_id, step_key, matches, asks FROM event_waits "
        "WHERE org_id = ? AND event IN (SELECT value FROM json_each(?)) AND end_user_id IS NULL AND after_event_id < ?",
        (org_id, ENCODER.encode(patterns).decode(), event_id),
    )
    return list(rows)


def find_event_wait(conn: sqlite3.Connection, org_id: str, run_id: str, name: str) -> tuple[int, str] | None:
    """``(id, step_key)`` of the run's wait whose event, or else whose step, is called ``name``; the oldest."""
    row: tuple[int, str] | None = conn.execute(
        "SELECT id, step_key FROM event_waits WHERE run_id = ? AND org_id = ? AND (event = ? OR step_key = ?) "
        "ORDER BY event <> ?, id LIMIT 1",
        (run_id, org_id, name, name, name),
    ).fetchone()
    return row


def delete_event_wait(tx: Tx, org_id: str, wait_id: int) -> None:
    """The wait is over."""
    tx.execute("DELETE FROM event_waits WHERE id = ? AND org_id = ?", (wait_id, org_id))


def list_awaited(conn: sqlite3.Connection, org_id: str) -> set[str]:
    """What the organization's own runs wait for; those of its end users hear none of its events."""
    rows = conn.execute("SELECT DISTINCT event FROM event_waits WHERE org_id = ? AND end_user_id IS NULL", (org_id,))
    return {row[0] for row in rows}


def list_waiting_orgs(conn: sqlite3.Connection) -> set[str]:
    """Organizations (org_id) of which a run waits for an event."""
    return {row[0] for row in conn.execute("SELECT DISTINCT org_id FROM event_waits")}


# -- places by concurrency key --------------------------------------------------------------------------------------


def insert_slot(tx: Tx, org_id: str, run_id: str, seq: int, slot: str, *, held: bool) -> None:
    """A run takes its place, or begins to wait for it."""
    tx.execute(
        "INSERT INTO run_slots (run_id, org_id, slot, seq, held) VALUES (?, ?, ?, ?, ?)",
        (run_id, org_id, slot, seq, int(held)),
    )
    if not held:
        tx.execute("UPDATE runs SET held_back = 1 WHERE id = ? AND org_id = ?", (run_id, org_id))


def list_slot(conn: sqlite3.Connection, org_id: str, slot: str) -> list[tuple[str, str, int, str | None]]:
    """``(run_id, workflow_id, version, scope)`` of the runs with that place, in the order of their starts."""
    rows = conn.execute(
        "SELECT r.id, r.workflow_id, r.version, r.scope FROM run_slots s JOIN runs r ON r.id = s.run_id "
        "WHERE s.org_id = ? AND r.org_id = s.org_id AND s.slot = ? ORDER BY s.seq",
        (org_id, slot),
    )
    return list(rows)


def delete_slot(tx: Tx, org_id: str, run_id: str) -> str | None:
    """The run has ended; the place that it had."""
    row = tx.execute(
        "DELETE FROM run_slots WHERE run_id = ? AND org_id = ? RETURNING slot", (run_id, org_id)
    ).fetchall()
    return row[0][0] if row else None


def fill_slot(tx: Tx, org_id: str, slot: str, limit: int) -> list[tuple[str, int]]:
    """Give free places to those that wait, in the order of their starts; ``(run_id, deadline_at)`` of each."""
    held: int = tx.execute(
        "SELECT count(*) FROM run_slots WHERE org_id = ? AND slot = ? AND held = 1", (org_id, slot)
    ).fetchone()[0]
    waiting = tx.execute(
        "SELECT run_id FROM run_slots WHERE org_id = ? AND slot = ? AND held = 0 ORDER BY seq LIMIT ?",
        (org_id, slot, max(0, limit - held)),
    ).fetchall()
    promoted = []
    for (run_id,) in waiting:
        tx.execute("UPDATE run_slots SET held = 1 WHERE run_id = ? AND org_id = ?", (run_id, org_id))
        (row,) = tx.execute(
            "UPDATE runs SET held_back = NULL WHERE id = ? AND org_id = ? RETURNING deadline_at", (run_id, org_id)
        ).fetchall()
        promoted.append((run_id, row[0]))
    return promoted


def count_held_back(conn: sqlite3.Connection) -> dict[str, int]:
    """How many runs wait for a place, by organization (org_id). All: the engine's own bookkeeping."""
    return dict(conn.execute("SELECT org_id, count(*) FROM run_slots WHERE held = 0 GROUP BY org_id"))


# -- runs again -----------------------------------------------------------------------------------------------------


def find_first_context(conn: sqlite3.Connection, org_id: str, run_id: str) -> tuple[str | None, bool] | None:
    """The context that a run began with, as JSON, and whether the run is a dead letter."""
    row = conn.execute(
        "SELECT coalesce(first_context, context), dead_at IS NOT NULL FROM runs WHERE id = ? AND org_id = ?",
        (run_id, org_id),
    ).fetchone()
    return (row[0], bool(row[1])) if row else None


def link_retry(tx: Tx, org_id: str, old_id: str, new_id: str, kept: Collection[str]) -> None:
    """A new run goes on for an ended one: with the results of ``kept`` steps, and linked."""
    tx.execute(
        "INSERT INTO run_steps "
        "(run_id, key, org_id, state, attempt, started_at, ended_at, port, attempts, error, output) "
        "SELECT ?, key, org_id, state, attempt, started_at, ended_at, port, attempts, error, output FROM run_steps "
        "WHERE run_id = ? AND org_id = ? AND key IN (SELECT value FROM json_each(?))",
        (new_id, old_id, org_id, ENCODER.encode(sorted(kept)).decode()),
    )
    tx.execute("UPDATE runs SET retried_by = ?, dead_at = NULL WHERE id = ? AND org_id = ?", (new_id, old_id, org_id))
    tx.execute("UPDATE runs SET steps_done = ? WHERE id = ? AND org_id = ?", (len(kept), new_id, org_id))


def mark_dealt_with(tx: Tx, org_id: str, run_id: str) -> bool:
    """Take a run off the list of dead letters; False when it is not on it."""
    changed = tx.execute(
        "UPDATE runs SET dead_at = NULL WHERE id = ? AND org_id = ? AND dead_at IS NOT NULL", (run_id, org_id)
    )
    return changed.rowcount == 1
