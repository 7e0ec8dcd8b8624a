"""What retention may do with events: look at the oldest, delete some. For :mod:`alloyd.domain.retention`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from alloyd.db import Tx
from alloyd.events import store
from alloyd.events.model import AgedEvent, Story


def list_from(conn: sqlite3.Connection, after_id: int, limit: int) -> list[AgedEvent]:
    """Up to ``limit`` events after ``after_id``, of all organizations, oldest first."""
    return store.list_from(conn, after_id, limit)


def delete_each(tx: Tx, events: Sequence[AgedEvent]) -> int:
    """Delete ``events``, but never the newest of all; how many were there."""
    return store.delete_each(tx, events)


def take_of_run(tx: Tx, org_id: str, run_id: str, limit: int) -> list[int]:
    """Delete at most ``limit`` events of a run whoever has not read them yet, but never the newest of all; their ids.

    For a purge, after every consumer has settled.
    """
    return store.take_of_run(tx, org_id, run_id, limit)


def has_any_of_run(conn: sqlite3.Connection, org_id: str, run_id: str) -> bool:
    """Whether an event of the run is left."""
    return bool(store.list_of_story(conn, org_id, Story("run", run_id), 0, 1))


def delete_of_run(tx: Tx, org_id: str, run_id: str, limit: int) -> int:
    """Delete at most ``limit`` events of a run, but never the newest of all; how many were there."""
    return store.delete_of_run(tx, org_id, run_id, limit)
