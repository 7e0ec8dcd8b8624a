"""What a write function is given: the connection inside an open savepoint, one time, and an outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from alloyd.db.note import Note, note_of, target_of
from alloyd.kit.stamp import Stamp

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

    __slots__ = ("_hooks", "_notes", "_stamp", "conn", "now", "outbox")

    def __init__(self, conn: sqlite3.Connection, now: int, stamp: Stamp | None = None) -> None:
        self.conn = conn
        self.now = now
        self.outbox: list[Any] = []
        self._stamp = stamp
        self._notes: list[Note] | None = None
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

    @property
    def was_asked_for(self) -> bool:
        """Whether a request asked for this write, and so is on record with it; else alloyd does it by itself."""
        return self._stamp is not None

    def audit(
        self,
        target: str | None = None,
        *,
        changed: Sequence[str] | None = None,
        action: str | None = None,
        org_id: str | None = None,
        actor: tuple[str, str] | None = None,
        count: int = 1,
    ) -> None:
        """Say what the audit trail is to tell of this write, where it would tell something else by itself.

        By itself it tells of every write that a request asked for and that emits an event: the request's caller and
        action, and the first event's subject as ``target``. Call this for what emits nothing, for ``changed`` (names
        of fields, never their values), for an ``actor`` (kind, id) that only this write finds out, or for a write that
        no request asked for: alloyd itself is the actor then. Each call is a row.
        """
        stamp = self._stamp or Stamp("")
        note = note_of(stamp, org_id or "", target or "")
        note.action = action or stamp.action
        note.count = count
        if changed is not None:
            note.changed = tuple(changed)
        if actor is not None:
            note.actor_kind, note.actor_id = actor
        self.add_note(note)

    def add_note(self, note: Note) -> None:
        """:meth:`audit` for a row that is known whole."""
        if self._notes is None:
            self._notes = []
        self._notes.append(note)

    def finish_notes(self) -> Sequence[Note]:
        """What the audit trail is to tell of this write, once it is done. Raises ValueError without an action."""
        first = self.outbox[0] if self.outbox else None
        if self._notes is None:
            if self._stamp is None or first is None:
                return ()
            return (note_of(self._stamp, first.org_id, target_of(first)),)
        for note in self._notes:
            if first is not None:
                note.target = note.target or target_of(first)
                note.org_id = note.org_id or first.org_id
                note.action = note.action or first.kind
            if not note.action:
                raise ValueError("a note for the audit trail needs an action")
            note.target.encode()  # what is no text has to fail here, not with the whole group
        return self._notes

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Run ``hook`` on the event loop after the commit; it must not raise and not block."""
        if self._hooks is None:
            self._hooks = []
        self._hooks.append(hook)

    @property
    def hooks(self) -> Sequence[Callable[[], None]]:
        """What :meth:`after_commit` was given, in order."""
        return self._hooks or ()
