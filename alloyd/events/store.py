"""All SQL of events."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from alloyd.db.tx import Tx
from alloyd.events.model import TERMINAL_KINDS, AgedEvent, Event, Story

_INSERT = (
    "INSERT INTO events (id, org_id, kind, subject, run_id, workflow_id, node_key, payload, created_at, job_id) VALUES"
)


def find_last_id(conn: sqlite3.Connection) -> int:
    """The newest event's id, 0 when there is none yet."""
    row = conn.execute("SELECT max(id) FROM events").fetchone()
    return row[0] or 0


def insert_events(tx: Tx, events: list[Event], first_id: int) -> None:
    """Write ``events`` with ids from ``first_id`` on and the transaction's time."""
    rows = []
    for event_id, event in enumerate(events, start=first_id):
        event.id = event_id
        event.created_at = tx.now
        rows.append(
            (
                event_id,
                event.org_id,
                event.kind,
                event.subject,
                event.run_id,
                event.workflow_id,
                event.node_key,
                event.payload.decode(),
                tx.now,
                event.job_id,
            )
        )
    tx.execute_rows(_INSERT, "", rows)


_LIST_OF_STORY = {
    "run": "SELECT id, org_id, kind, subject, run_id, workflow_id, node_key, payload, created_at, job_id FROM events "
    "WHERE run_id = ? AND org_id = ? AND id > ? ORDER BY id LIMIT ?",
    "job": "SELECT id, org_id, kind, subject, run_id, workflow_id, node_key, payload, created_at, job_id FROM events "
    "WHERE job_id = ? AND org_id = ? AND id > ? ORDER BY id LIMIT ?",
}
_FIND_IN_STORY = {
    "run": "SELECT 1 FROM events WHERE id = ? AND run_id = ? AND org_id = ?",
    "job": "SELECT 1 FROM events WHERE id = ? AND job_id = ? AND org_id = ?",
}
_LAST_OF_STORY = {
    "run": "SELECT kind FROM events WHERE run_id = ? AND org_id = ? ORDER BY id DESC LIMIT 1",
    "job": "SELECT kind FROM events WHERE job_id = ? AND org_id = ? ORDER BY id DESC LIMIT 1",
}


def list_of_story(conn: sqlite3.Connection, org_id: str, story: Story, after_id: int, limit: int) -> list[Event]:
    """Events of one run or job with ids above ``after_id``, oldest first."""
    return [_event(row) for row in conn.execute(_LIST_OF_STORY[story.of], (story.id, org_id, after_id, limit))]


def list_of_orgs(conn: sqlite3.Connection, org_ids: Collection[str], after_id: int, limit: int) -> list[Event]:
    """Events of any of ``org_ids`` with ids above ``after_id``, oldest first."""
    found: list[Event] = []
    for org_id in org_ids:
        rows = conn.execute(
            "SELECT id, org_id, kind, subject, run_id, workflow_id, node_key, payload, created_at, job_id FROM events "
            "WHERE org_id = ? AND id > ? ORDER BY id LIMIT ?",
            (org_id, after_id, limit),
        )
        found.extend(_event(row) for row in rows)
    found.sort(key=lambda event: event.id)
    return found[:limit]


def list_all(conn: sqlite3.Connection, after_id: int, limit: int) -> list[Event]:
    """Events of all organizations with ids above ``after_id``, oldest first."""
    rows = conn.execute(
        "SELECT id, org_id, kind, subject, run_id, workflow_id, node_key, payload, created_at, job_id FROM events "
        "WHERE id > ? ORDER BY id LIMIT ?",
        (after_id, limit),
    )
    return [_event(row) for row in rows]


def exists(conn: sqlite3.Connection, org_ids: Collection[str], event_id: int) -> bool:
    """Whether an event of that id is there for a reader of ``org_ids``."""
    row = conn.execute("SELECT org_id FROM events WHERE id = ?", (event_id,)).fetchone()
    return row is not None and row[0] in org_ids


def exists_in_story(conn: sqlite3.Connection, org_id: str, story: Story, event_id: int) -> bool:
    """Whether event ``event_id`` is one of the run's or job's."""
    return conn.execute(_FIND_IN_STORY[story.of], (event_id, story.id, org_id)).fetchone() is not None


def story_has_ended(conn: sqlite3.Connection, org_id: str, story: Story) -> bool:
    """Whether the run's or job's last event is one that ends it."""
    row = conn.execute(_LAST_OF_STORY[story.of], (story.id, org_id)).fetchone()
    return row is not None and row[0] in TERMINAL_KINDS[story.of]


# -- alloyd's own consumers, which read the events of all organizations ---------------------------------------------


def insert_cursor(tx: Tx, name: str) -> None:
    """The place of a new consumer: behind the newest event. Nothing if it has one."""
    tx.execute(
        "INSERT INTO event_cursors (name, last_id, updated_at) SELECT ?, coalesce(max(id), 0), ? FROM events "
        "WHERE true ON CONFLICT (name) DO NOTHING",
        (name, tx.now),
    )


def get_cursor(conn: sqlite3.Connection, name: str) -> int:
    """The last event that the consumer has passed. Its row has to be there."""
    found: int = conn.execute("SELECT last_id FROM event_cursors WHERE name = ?", (name,)).fetchone()[0]
    return found


def move_cursor(tx: Tx, name: str, from_id: int, to_id: int) -> bool:
    """Move the consumer on; False when it does not stand at ``from_id``."""
    changed = tx.execute(
        "UPDATE event_cursors SET last_id = ?, updated_at = ? WHERE name = ? AND last_id = ?",
        (to_id, tx.now, name, from_id),
    )
    return changed.rowcount == 1


# -- retention ------------------------------------------------------------------------------------------------------

# The newest event stays whatever its age: ids go on from it, also after a restart. So does what a consumer has not
# passed.
LIST_FROM = "SELECT id, org_id, run_id, created_at FROM events WHERE id > ? ORDER BY id LIMIT ?"
DELETE_ONE = (
    "DELETE FROM events WHERE id = ? AND org_id = ? AND id < (SELECT max(id) FROM events) "
    "AND id <= (SELECT coalesce(min(last_id), 9223372036854775807) FROM event_cursors)"
)
DELETE_OF_RUN = (
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE run_id = ? AND org_id = ? "
    "AND id < (SELECT max(id) FROM events) "
    "AND id <= (SELECT coalesce(min(last_id), 9223372036854775807) FROM event_cursors) LIMIT ?)"
)


def list_from(conn: sqlite3.Connection, after_id: int, limit: int) -> list[AgedEvent]:
    """Events of all organizations as retention looks at them, oldest first."""
    return [AgedEvent(*row) for row in conn.execute(LIST_FROM, (after_id, limit))]


TAKE_OF_RUN = (
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE run_id = ? AND org_id = ? "
    "AND id < (SELECT max(id) FROM events) LIMIT ?) RETURNING id"
)


def take_of_run(tx: Tx, org_id: str, run_id: str, limit: int) -> list[int]:
    """Delete at most ``limit`` events of a run, also those that a consumer has not passed; their ids."""
    return [row[0] for row in tx.execute(TAKE_OF_RUN, (run_id, org_id, limit)).fetchall()]


def delete_each(tx: Tx, events: Sequence[AgedEvent]) -> int:
    """Delete events; how many were there."""
    return tx.executemany(DELETE_ONE, [(event.id, event.org_id) for event in events]).rowcount


def delete_of_run(tx: Tx, org_id: str, run_id: str, limit: int) -> int:
    """Delete at most ``limit`` events of a run; how many were there."""
    return tx.execute(DELETE_OF_RUN, (run_id, org_id, limit)).rowcount


def _event(row: tuple[int, str, str, str, str | None, str | None, str | None, str, int, str | None]) -> Event:
    return Event(
        row[1],
        row[2],
        row[3],
        row[7].encode(),
        run_id=row[4],
        workflow_id=row[5],
        node_key=row[6],
        id=row[0],
        created_at=row[8],
        job_id=row[9],
    )
