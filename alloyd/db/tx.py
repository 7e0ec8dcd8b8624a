"""What a write function is given: the connection inside an open savepoint, one time, and an outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any


class Tx:
    """One write, in a savepoint of its own within the group's transaction.

    ``now`` is the same for the whole group, in milliseconds since the epoch. ``outbox`` holds what is to be told
    after the commit (events); it is written as rows in this savepoint, and is dropped with it. Functions given to
    :meth:`after_commit` run on the event loop once the group is durable, and never if it is not.
    """

    __slots__ = ("_hooks", "conn", "now", "outbox")

    def __init__(self, conn: sqlite3.Connection, now: int) -> None:
        self.conn = conn
        self.now = now
        self.outbox: list[Any] = []
        self._hooks: list[Callable[[], None]] | None = None

    def execute(self, sql: str, params: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Cursor:
        """Run one statement with bound parameters."""
        return self.conn.execute(sql, params)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        """Run one statement for each of ``rows``."""
        return self.conn.executemany(sql, rows)

    def emit(self, event: Any) -> None:
        """Tell ``event`` when this write is durable; it becomes a row in the same transaction."""
        self.outbox.append(event)

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Run ``hook`` on the event loop after the commit; it must not raise and not block."""
        if self._hooks is None:
            self._hooks = []
        self._hooks.append(hook)

    @property
    def hooks(self) -> Sequence[Callable[[], None]]:
        """What :meth:`after_commit` was given, in order."""
        return self._hooks or ()
