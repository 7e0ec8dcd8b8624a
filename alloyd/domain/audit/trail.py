"""The growing end of the chain, on the writer's thread: a group's notes become rows just before its commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alloyd.db import Tx
from alloyd.db.note import Note
from alloyd.domain.audit import store
from alloyd.domain.audit.model import NO_HASH, Row, row_of
from alloyd.kit import crash


class Trail:
    """Where the chain goes on. It is kept in memory between commits, and read anew after a group that failed."""

    def __init__(self) -> None:
        self._last: tuple[int, bytes] | None = None

    def append(self, tx: Tx, notes: Sequence[Note]) -> Callable[[], None]:
        """Write ``notes`` as the chain's next rows; call what is returned once they are committed."""
        crash.reach("audit.before_rows")
        seq, previous = self._last or _read_last(tx)
        self._last = None  # until the commit: nobody knows how it goes
        rows: list[Row] = []
        for note in notes:
            seq += 1
            row = row_of(note, seq, tx.now, previous)
            previous = row[-1]
            rows.append(row)
        store.insert_rows(tx, rows)
        store.save_last(tx, seq, previous)
        crash.reach("audit.after_rows")

        def settle() -> None:
            self._last = (seq, previous)

        return settle


def _read_last(tx: Tx) -> tuple[int, bytes]:
    """The chain's end. Rows that somebody has put behind it stay there for the check to find, and stop nobody."""
    ends = store.load_ends(tx.conn)
    if ends is None:
        return store.find_last_seq(tx.conn), NO_HASH
    return max(ends.last_seq, store.find_last_seq(tx.conn)), ends.last_hash
