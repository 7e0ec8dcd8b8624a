"""What the database knows of itself, read and written at the start, before it is opened for everybody."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alloyd.db import faults
from alloyd.db.tx import Tx

KEY_FINGERPRINT = "key_fingerprint"
SEALING_KEYS = "sealing_keys"  # JSON: fingerprints by ids of the keys that seal, after the first one


def read_meta(path: Path, key: str) -> str | None:
    """The value of ``key`` in the migrated file at ``path``. Raises ``unavailable`` for a failing disk."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as conn:
            row = conn.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    except sqlite3.Error as error:
        raise faults.to_caller(error) from error
    return None if row is None else str(row[0])


def write_meta(path: Path, key: str, value: str) -> None:
    """Set ``key`` durably; nobody else has the file open. Raises ``unavailable`` for a full or failing disk."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as conn:
            conn.execute("PRAGMA synchronous=FULL")
            conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
    except sqlite3.Error as error:
        raise faults.to_caller(error) from error


def set_meta(tx: Tx, key: str, value: str) -> None:
    """Set ``key`` in a transaction of the open database."""
    tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
