"""All SQL of schedules."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from alloyd.db import Tx
from alloyd.domain.schedules.model import Schedule, ScheduleFilter

_ENCODE = msgspec.json.encode


def insert(tx: Tx, schedule: Schedule) -> None:
    """A new schedule."""
    tx.execute(
        "INSERT INTO schedules (id, org_id, workflow_id, name, cron, timezone, misfire, payload, managed, paused_at, "
        "next_fire_at, last_fire_at, revision, created_by, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            schedule.id,
            schedule.org_id,
            schedule.workflow_id,
            schedule.name,
            schedule.cron,
            schedule.timezone,
            schedule.misfire,
            _ENCODE(schedule.payload).decode(),
            int(schedule.managed),
            schedule.paused_at,
            schedule.next_fire_at,
            schedule.last_fire_at,
            schedule.revision,
            schedule.created_by,
            schedule.created_at,
            schedule.updated_at,
        ),
    )


def update(tx: Tx, schedule: Schedule) -> None:
    """What can be changed of it; ``last_fire_at`` is not among that."""
    tx.execute(
        "UPDATE schedules SET name = ?, cron = ?, timezone = ?, misfire = ?, payload = ?, paused_at = ?, "
        "next_fire_at = ?, revision = ?, updated_at = ? WHERE id = ? AND org_id = ?",
        (
            schedule.name,
            schedule.cron,
            schedule.timezone,
            schedule.misfire,
            _ENCODE(schedule.payload).decode(),
            schedule.paused_at,
            schedule.next_fire_at,
            schedule.revision,
            schedule.updated_at,
            schedule.id,
            schedule.org_id,
        ),
    )


def pause_all(tx: Tx, org_id: str) -> None:
    """None of the organization's fires any more."""
    tx.execute(
        "UPDATE schedules SET paused_at = ?, next_fire_at = NULL, revision = revision + 1, updated_at = ? "
        "WHERE org_id = ? AND paused_at IS NULL",
        (tx.now, tx.now, org_id),
    )


def delete(tx: Tx, org_id: str, schedule_id: str) -> bool:
    """With all that is known of its fires; whether it was there."""
    tx.execute("DELETE FROM schedule_fires WHERE schedule_id = ? AND org_id = ?", (schedule_id, org_id))
    return tx.execute("DELETE FROM schedules WHERE id = ? AND org_id = ?", (schedule_id, org_id)).rowcount == 1


def find(conn: sqlite3.Connection, org_id: str, schedule_id: str) -> Schedule | None:
    """The organization's schedule of that id."""
    row = conn.execute(
        "SELECT id, org_id, workflow_id, name, cron, timezone, misfire, payload, managed, paused_at, next_fire_at, "
        "last_fire_at, revision, created_by, created_at, updated_at FROM schedules WHERE id = ? AND org_id = ?",
        (schedule_id, org_id),
    ).fetchone()
    return _schedule(row) if row else None


def find_organization(conn: sqlite3.Connection, schedule_id: str) -> str | None:
    """Whose schedule it is."""
    row = conn.execute("SELECT org_id FROM schedules WHERE id = ?", (schedule_id,)).fetchone()
    return row[0] if row else None


def list_of_workflow(conn: sqlite3.Connection, org_id: str, workflow_id: str) -> list[Schedule]:
    """All of a workflow's, the managed one too."""
    rows = conn.execute(
        "SELECT id, org_id, workflow_id, name, cron, timezone, misfire, payload, managed, paused_at, next_fire_at, "
        "last_fire_at, revision, created_by, created_at, updated_at FROM schedules "
        "WHERE org_id = ? AND workflow_id = ?",
        (org_id, workflow_id),
    )
    return [_schedule(row) for row in rows]


def list_page(
    conn: sqlite3.Connection, org_id: str, wanted: ScheduleFilter, before_id: str | None, limit: int
) -> list[Schedule]:
    """Newest first, those with ids below ``before_id``."""
    rows = conn.execute(
        "SELECT id, org_id, workflow_id, name, cron, timezone, misfire, payload, managed, paused_at, next_fire_at, "
        "last_fire_at, revision, created_by, created_at, updated_at FROM schedules "
        "WHERE org_id = :org AND id < :before AND (:workflow IS NULL OR workflow_id = :workflow) "
        "AND (:enabled IS NULL OR (paused_at IS NULL) = :enabled) ORDER BY id DESC LIMIT :limit",
        {
            "org": org_id,
            "before": before_id or "g",  # 'g' sorts after every UUID
            "workflow": wanted.workflow_id,
            "enabled": None if wanted.enabled is None else int(wanted.enabled),
            "limit": limit,
        },
    )
    return [_schedule(row) for row in rows]


def count(conn: sqlite3.Connection, org_id: str) -> int:
    """How many the organization has."""
    found: int = conn.execute("SELECT count(*) FROM schedules WHERE org_id = ?", (org_id,)).fetchone()[0]
    return found


# -- the loop, which serves all organizations ----------------------------------------------------------------------

LIST_DUE = (
    "SELECT id, org_id, workflow_id, name, cron, timezone, misfire, payload, managed, paused_at, next_fire_at, "
    "last_fire_at, revision, created_by, created_at, updated_at FROM schedules "
    "WHERE next_fire_at IS NOT NULL AND next_fire_at <= ? ORDER BY next_fire_at LIMIT ?"
)
FIND_NEXT_DUE = "SELECT min(next_fire_at) FROM schedules WHERE next_fire_at IS NOT NULL"


def list_due(conn: sqlite3.Connection, now_ms: int, limit: int) -> list[Schedule]:
    """Those that are due, the longest first."""
    return [_schedule(row) for row in conn.execute(LIST_DUE, (now_ms, limit))]


def find_next_due(conn: sqlite3.Connection) -> int | None:
    """When the next one is due."""
    found: int | None = conn.execute(FIND_NEXT_DUE).fetchone()[0]
    return found


def list_enabled(conn: sqlite3.Connection, after_id: str, limit: int) -> list[Schedule]:
    """Those that will be due, in the order of their ids."""
    rows = conn.execute(
        "SELECT id, org_id, workflow_id, name, cron, timezone, misfire, payload, managed, paused_at, next_fire_at, "
        "last_fire_at, revision, created_by, created_at, updated_at FROM schedules "
        "WHERE next_fire_at IS NOT NULL AND id > ? ORDER BY id LIMIT ?",
        (after_id, limit),
    )
    return [_schedule(row) for row in rows]


def list_fired_after(conn: sqlite3.Connection, org_id: str, schedule_id: str, after_ms: int) -> set[int]:
    """The times after ``after_ms`` that have been fired."""
    rows = conn.execute(
        "SELECT fire_at FROM schedule_fires WHERE schedule_id = ? AND org_id = ? AND fire_at > ?",
        (schedule_id, org_id, after_ms),
    )
    return {row[0] for row in rows}


def move_on(tx: Tx, schedule: Schedule, next_fire_at: int | None, last_fire_at: int | None) -> bool:
    """Let it be due next at ``next_fire_at``; False when it has been changed, paused or deleted since it was read."""
    changed = tx.execute(
        "UPDATE schedules SET next_fire_at = ?, last_fire_at = ? "
        "WHERE id = ? AND org_id = ? AND revision = ? AND next_fire_at = ?",
        (
            next_fire_at,
            last_fire_at,
            schedule.id,
            schedule.org_id,
            schedule.revision,
            schedule.next_fire_at,
        ),
    )
    return changed.rowcount == 1


def insert_fire(tx: Tx, schedule: Schedule, fire_at: int) -> int | None:
    """Claim a time; None when it has been fired already, else what :func:`set_fired_run` takes."""
    made = tx.execute(
        "INSERT INTO schedule_fires (org_id, schedule_id, fire_at, fired_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (schedule_id, fire_at) DO NOTHING",
        (schedule.org_id, schedule.id, fire_at, tx.now),
    )
    return made.lastrowid if made.rowcount == 1 else None


def set_fired_run(tx: Tx, org_id: str, seq: int, run_id: str) -> None:
    """The run that was started for a claimed time."""
    tx.execute("UPDATE schedule_fires SET run_id = ? WHERE seq = ? AND org_id = ?", (run_id, seq, org_id))


def forget_fires(tx: Tx, schedule: Schedule, keep: int) -> None:
    """All but those of the ``keep`` latest times."""
    tx.execute(
        "DELETE FROM schedule_fires WHERE schedule_id = ? AND org_id = ? AND fire_at <= "
        "(SELECT fire_at FROM schedule_fires WHERE schedule_id = ? AND org_id = ? "
        "ORDER BY fire_at DESC LIMIT 1 OFFSET ?)",
        (schedule.id, schedule.org_id, schedule.id, schedule.org_id, keep),
    )


def _schedule(row: tuple[Any, ...]) -> Schedule:
    fields = list(row)
    fields[7], fields[8] = msgspec.json.decode(row[7]), bool(row[8])
    return Schedule(*fields)
