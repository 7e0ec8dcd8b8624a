"""What a write function is given: the connection inside an open savepoint, one time, and an outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

# A statement for each number of rows, all of which stay prepared in the connection's cache.
ROWS_PER_STATEMENT_MAX = 64


@lru_cache(maxsize=1024)
def _statement(before: str, after: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{before} {', '.join([row] * rows)} {after}"


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

    def execute_rows(self, before: str, after: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run one statement over many rows: ``before``, a list of row values, ``after``; how many rows changed.

        As ``INSERT INTO t (a, b) VALUES`` and nothing, or ``WITH v (a, b) AS (VALUES`` and ``) UPDATE …``. Each
        statement that ``executemany`` runs hands the interpreter's lock back and forth, and a busy event loop makes
        every hand-over wait; this runs a few statements however many the rows are. All rows are of one length.
        """
        changed = done = 0
        while done < len(rows):
            size = min(len(rows) - done, ROWS_PER_STATEMENT_MAX)
            values = list(chain.from_iterable(rows[done : done + size]))
            sql = _statement(before, after, len(rows[0]), size)
            changed += self.conn.execute(sql, values).rowcount
            done += size
        return changed

    def select_rows(self, before: str, after: str, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """:meth:`execute_rows` for a SELECT: all that it finds."""
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(rows), ROWS_PER_STATEMENT_MAX):
            part = rows[start : start + ROWS_PER_STATEMENT_MAX]
            sql = _statement(before, after, len(part[0]), len(part))
            found.extend(self.conn.execute(sql, list(chain.from_iterable(part))))
        return found

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
