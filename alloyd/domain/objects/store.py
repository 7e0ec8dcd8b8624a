"""All SQL of objects, and of the sums that are kept with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from alloyd.db import Tx
from alloyd.domain.objects.model import BackendName, StoredObject

_SELECT = (
    "SELECT id, org_id, object_key, workflow_id, run_id, direction, filename, content_type, size, sha256, created_by, "
    "origin, backend, place, created_at FROM objects "
)
FIND_BY_KEY = _SELECT + "WHERE object_key = ?"
FIND_BY_ID = _SELECT + "WHERE org_id = ? AND id = ?"
FIND_BY_ORIGIN = _SELECT + "WHERE org_id = ? AND origin = ?"
LIST_OF_RUN = _SELECT + "WHERE org_id = ? AND run_id = ? LIMIT ?"
LIST_PAGE = _SELECT + "WHERE org_id = ? AND id < ? ORDER BY id DESC LIMIT ?"
LIST_PAGE_OF_RUN = _SELECT + "WHERE org_id = ? AND run_id = ? AND id < ? ORDER BY id DESC LIMIT ?"
LIST_IN_BACKEND = _SELECT + "WHERE backend = ? AND id > ? ORDER BY id LIMIT ?"


def insert_object(tx: Tx, stored: StoredObject) -> None:
    """A new object, whose bytes are durable; it counts from now on."""
    tx.execute(
        "INSERT INTO objects (id, org_id, object_key, workflow_id, run_id, direction, filename, content_type, size, "
        "sha256, created_by, origin, backend, place, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stored.id,
            stored.org_id,
            stored.key,
            stored.workflow_id,
            stored.run_id,
            stored.direction,
            stored.filename,
            stored.content_type,
            stored.size,
            stored.sha256,
            stored.created_by,
            stored.origin,
            stored.backend,
            stored.place,
            stored.created_at,
        ),
    )
    _count(tx, stored, stored.size, 1)


def delete_object(tx: Tx, stored: StoredObject) -> None:
    """Forget an object that was read in this transaction; it counts no more."""
    tx.execute("DELETE FROM objects WHERE org_id = ? AND id = ?", (stored.org_id, stored.id))
    _count(tx, stored, -stored.size, -1)
    tx.execute(
        "DELETE FROM object_totals WHERE org_id = ? AND created_by = ? AND workflow_id = ? AND direction = ? "
        "AND files = 0 AND bytes = 0",
        (stored.org_id, stored.created_by or "", stored.workflow_id or "", stored.direction),
    )


def _count(tx: Tx, stored: StoredObject, bytes_more: int, files_more: int) -> None:
    tx.execute(
        "INSERT INTO object_totals (org_id, created_by, workflow_id, direction, bytes, files) "
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (org_id, created_by, workflow_id, direction) "
        "DO UPDATE SET bytes = bytes + excluded.bytes, files = files + excluded.files",
        (
            stored.org_id,
            stored.created_by or "",
            stored.workflow_id or "",
            stored.direction,
            bytes_more,
            files_more,
        ),
    )


def find_by_key(conn: sqlite3.Connection, key: str) -> StoredObject | None:
    """The object of that key, of whatever organization (org_id): the key is the right to it."""
    return _object(conn.execute(FIND_BY_KEY, (key,)).fetchone())


def find_by_id(conn: sqlite3.Connection, org_id: str, object_id: str) -> StoredObject | None:
    """An organization's object."""
    return _object(conn.execute(FIND_BY_ID, (org_id, object_id)).fetchone())


def find_organization(conn: sqlite3.Connection, object_id: str) -> str | None:
    """Whose object it is."""
    row = conn.execute("SELECT org_id FROM objects WHERE id = ?", (object_id,)).fetchone()
    return None if row is None else row[0]


def find_by_origin(conn: sqlite3.Connection, org_id: str, origin: str) -> StoredObject | None:
    """What was made with that idempotency key."""
    return _object(conn.execute(FIND_BY_ORIGIN, (org_id, origin)).fetchone())


def list_of_run(conn: sqlite3.Connection, org_id: str, run_id: str, limit: int) -> list[StoredObject]:
    """Objects of a run, in no order."""
    return [StoredObject(*row) for row in conn.execute(LIST_OF_RUN, (org_id, run_id, limit))]


def has_run(conn: sqlite3.Connection, org_id: str, run_id: str) -> bool:
    """Whether there is that run."""
    return conn.execute("SELECT 1 FROM runs WHERE org_id = ? AND id = ?", (org_id, run_id)).fetchone() is not None


def list_unstarted(conn: sqlite3.Connection, recent_max: int) -> list[tuple[str, str, str]]:
    """``(org_id, run_id, backend)`` of inputs whose run is not there, among the newest objects, whosever (org_id)."""
    return conn.execute(
        "SELECT DISTINCT recent.org_id, recent.run_id, recent.backend FROM "
        "(SELECT org_id, run_id, direction, backend FROM objects ORDER BY id DESC LIMIT ?) AS recent "
        "WHERE recent.direction = 'input' AND recent.run_id IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM runs WHERE runs.org_id = recent.org_id AND runs.id = recent.run_id)",
        (recent_max,),
    ).fetchall()


def list_page(
    conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int, run_id: str | None = None
) -> list[StoredObject]:
    """The organization's objects, or one run's, newest first, those with ids below ``before_id``."""
    before = before_id or "g"  # sorts after every UUID
    if run_id is None:
        rows = conn.execute(LIST_PAGE, (org_id, before, limit))
    else:
        rows = conn.execute(LIST_PAGE_OF_RUN, (org_id, run_id, before, limit))
    return [StoredObject(*row) for row in rows]


def list_in_backend(conn: sqlite3.Connection, backend: str, after_id: str, limit: int) -> list[StoredObject]:
    """Objects that lie in one backend, whosever (org_id), oldest first, those with ids above ``after_id``."""
    return [StoredObject(*row) for row in conn.execute(LIST_IN_BACKEND, (backend, after_id, limit))]


def count_in_backend(conn: sqlite3.Connection, backend: str) -> tuple[int, int]:
    """Objects and bytes that lie in one backend, whosever (org_id)."""
    found = conn.execute("SELECT count(*), coalesce(sum(size), 0) FROM objects WHERE backend = ?", (backend,))
    files, total = found.fetchone()
    return files, total


def move_object(tx: Tx, stored: StoredObject, backend: BackendName, place: str) -> bool:
    """Let an object lie elsewhere; False when it is gone or was moved meanwhile."""
    changed = tx.execute(
        "UPDATE objects SET backend = ?, place = ? WHERE org_id = ? AND id = ? AND backend = ? AND place = ?",
        (backend, place, stored.org_id, stored.id, stored.backend, stored.place),
    )
    return changed.rowcount == 1


def list_totals(
    conn: sqlite3.Connection, org_id: str, created_by: str | None
) -> list[tuple[str, str, str | None, int, int]]:
    """``(workflow_id, direction, its name, bytes, files)`` of an organization, or of one user's files in it."""
    return conn.execute(
        "SELECT total.workflow_id, total.direction, workflow.name, sum(total.bytes), sum(total.files) "
        "FROM object_totals AS total LEFT JOIN workflows AS workflow "
        "ON workflow.org_id = total.org_id AND workflow.id = total.workflow_id "
        "WHERE total.org_id = ?1 AND (?2 IS NULL OR total.created_by = ?2) "
        "GROUP BY total.workflow_id, total.direction",
        (org_id, created_by),
    ).fetchall()


# -- what lies in the bucket with no object that names it --------------------------------------------------------


def insert_leaving(tx: Tx, org_id: str, place: str) -> None:
    """Something may lie there that no object names."""
    tx.execute("INSERT INTO object_leavings (place, org_id, since) VALUES (?, ?, ?)", (place, org_id, tx.now))


def delete_leavings(tx: Tx, places: Sequence[tuple[str, str]]) -> None:
    """Of these, ``(org_id, place)``, an object names each, or nothing lies there any more."""
    tx.executemany("DELETE FROM object_leavings WHERE org_id = ? AND place = ?", places)


def list_leavings(conn: sqlite3.Connection, after: str, limit: int) -> list[tuple[str, str]]:
    """``(org_id, place)`` of what no object names, in the order of places after ``after``."""
    return conn.execute(
        "SELECT org_id, place FROM object_leavings WHERE place > ? ORDER BY place LIMIT ?", (after, limit)
    ).fetchall()


def _object(row: tuple[object, ...] | None) -> StoredObject | None:
    return None if row is None else StoredObject(*row)  # type: ignore[arg-type]  # as the columns are declared
