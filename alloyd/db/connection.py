"""The hop onto SQLite's own threads: aiosqlite connections that run a plain function there.

aiosqlite's ``_execute`` is private; its version is pinned, and tests/db/test_connection.py holds what we rely on.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import aiosqlite

T = TypeVar("T")

_CACHED_STATEMENTS = 1024
_BUSY_TIMEOUT_S = 5.0


class ThreadConnection(aiosqlite.Connection):
    """A connection on its own thread that runs whole functions there, one after the other."""

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``fn(connection)`` on the thread; cancelling the caller does not interrupt it."""
        result: T = await self._execute(fn, self._conn)  # type: ignore[no-untyped-call]
        return result

    def interrupt_now(self) -> None:
        """Make the statement that runs now fail with ``interrupted``; safe from the event loop."""
        if self._connection is not None:
            self._connection.interrupt()


async def _connect(uri: str, pragmas: tuple[str, ...]) -> ThreadConnection:
    def connector() -> sqlite3.Connection:
        conn = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            cached_statements=_CACHED_STATEMENTS,
            timeout=_BUSY_TIMEOUT_S,
            check_same_thread=False,
        )
        for pragma in pragmas:
            conn.execute(pragma)
        return conn

    connection = ThreadConnection(connector, iter_chunk_size=64)
    connection._thread.daemon = True  # noqa: SLF001  # a hung disk must not keep a dying process alive
    try:
        await connection
    except Exception:
        # Its thread was told to end, and tells the loop when it has: by then the loop must not be gone.
        await asyncio.to_thread(connection._thread.join)  # noqa: SLF001
        raise
    return connection


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


async def open_writer(path: Path) -> ThreadConnection:
    """The one connection that writes and checkpoints; makes the file if it is not there."""
    return await _connect(
        _uri(path, "rwc"),
        (
            "PRAGMA auto_vacuum=INCREMENTAL",  # only takes hold on an empty file, so it comes first
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "PRAGMA foreign_keys=ON",
            "PRAGMA wal_autocheckpoint=0",  # its errors would be swallowed; database.py checkpoints itself
            "PRAGMA cache_size=-32768",
            "PRAGMA temp_store=MEMORY",
            "PRAGMA trusted_schema=OFF",
            "PRAGMA secure_delete=ON",  # some builds have it anyway; what is purged has to be gone from the file
        ),
    )


async def open_reader(path: Path) -> ThreadConnection:
    """A connection that can only read and never checkpoints."""
    return await _connect(
        _uri(path, "ro"),
        (
            "PRAGMA query_only=ON",
            "PRAGMA wal_autocheckpoint=0",
            "PRAGMA cache_size=-8192",
            "PRAGMA temp_store=MEMORY",
            "PRAGMA trusted_schema=OFF",
        ),
    )


async def close_all(connections: list[ThreadConnection]) -> None:
    """Close each connection and end its thread."""
    await asyncio.gather(*(connection.close() for connection in connections))
