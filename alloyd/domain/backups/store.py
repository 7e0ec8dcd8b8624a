"""All SQL of backups: what a copy of the database names, and what is remembered of backups."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from alloyd.db import Tx

LAST_BACKUP_AT = "last_backup_at"
PARTIAL_BACKUP = "partial_backup"


def count_blobs(conn: sqlite3.Connection) -> tuple[int, int]:
    """How many contents the rows name, of all organizations (org_id), and their bytes."""
    found = conn.execute("SELECT count(*), coalesce(sum(size), 0) FROM blobs WHERE unused_at IS NULL").fetchone()
    return found[0], found[1]


def list_blobs(conn: sqlite3.Connection) -> Iterator[tuple[str, int, str]]:
    """``(id, size, sha256)`` of each content that the rows name, by id; a few at a time in memory."""
    return conn.execute("SELECT id, size, sha256 FROM blobs WHERE unused_at IS NULL ORDER BY id")


def find_file_without_blob(conn: sqlite3.Connection) -> str | None:
    """The id of a file, asset or object whose content has no row, or one that the sweeper may take; None for none."""
    row = conn.execute(
        "SELECT node.id FROM storage_nodes AS node LEFT JOIN blobs ON blobs.id = node.blob_id "
        "AND blobs.org_id = node.org_id WHERE node.is_file = 1 AND (blobs.id IS NULL OR blobs.unused_at IS NOT NULL) "
        "LIMIT 1"
    ).fetchone()
    if row is None and _has(conn, "assets"):
        row = conn.execute(
            "SELECT asset.id FROM assets AS asset LEFT JOIN blobs ON blobs.id = asset.blob_id "
            "AND blobs.org_id = asset.org_id WHERE blobs.id IS NULL OR blobs.unused_at IS NOT NULL LIMIT 1"
        ).fetchone()
    if row is None and _has(conn, "objects"):
        row = conn.execute(
            "SELECT object.id FROM objects AS object LEFT JOIN blobs ON blobs.id = object.place "
            "AND blobs.org_id = object.org_id WHERE object.backend = 'local' "
            "AND (blobs.id IS NULL OR blobs.unused_at IS NOT NULL) LIMIT 1"
        ).fetchone()
    return None if row is None else row[0]


def _has(conn: sqlite3.Connection, table: str) -> bool:
    """Backups of older programs lack what came later."""
    row = conn.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    return row is not None


def set_note(tx: Tx, name: str, text: str) -> None:
    """Remember ``text`` under one of the names above."""
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (name, text),
    )


def find_note(conn: sqlite3.Connection, name: str) -> str | None:
    """What :func:`set_note` was given."""
    row = conn.execute("SELECT value FROM meta WHERE key = ?", (name,)).fetchone()
    return None if row is None else row[0]


def delete_note(tx: Tx, name: str) -> None:
    """Forget it."""
    tx.execute("DELETE FROM meta WHERE key = ?", (name,))
