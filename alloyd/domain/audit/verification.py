"""Checks the chain row by row: what was changed, removed, put in or put elsewhere shows at the first row it touches."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from alloyd.db.examine import open_beside, snapshot
from alloyd.domain.audit import store
from alloyd.domain.audit.model import NO_HASH, PRUNED, Ends, Row, hash_of

PAGE_ROWS = 2000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a check went. ``bad_seq`` is the first row that is wrong or missing, and ``reason`` says what is wrong.

    ``last_seq`` and ``last_hash`` are the newest row's: kept elsewhere they show later that the chain up to there is
    still the same one. ``pruned`` rows were deleted by retention.
    """

    checked: int
    pruned: int
    last_seq: int
    last_hash: str
    bad_seq: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A row as somebody noted it outside of the database: its number and hash."""

    seq: int
    hash: str


class _Broken(Exception):  # noqa: N818 - the chain is
    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq
        self.reason = reason


def verify_file(path: Path, known: Known | None = None, progress: Progress | None = None) -> Verdict:
    """Check the chain in the database at ``path``, also while the daemon writes to it. It blocks.

    ``known`` is compared with the row of that number. ``progress(done, all)`` is called after each page of rows.
    Raises sqlite3.Error for what is no database.
    """
    with closing(open_beside(path)) as conn:
        return verify(conn, known, progress)


def verify(conn: sqlite3.Connection, known: Known | None = None, progress: Progress | None = None) -> Verdict:
    """:func:`verify_file` over an open connection without a transaction."""
    check = _Check(known)
    try:
        while check.take(conn):
            if progress is not None:
                progress(check.checked, check.checked + check.ends.last_seq - check.seq)
        check.finish()
    except _Broken as broken:
        return check.verdict(broken.seq, broken.reason)
    return check.verdict()


class _Check:
    """A walk along the chain, a page in each snapshot: what the daemon adds or prunes meanwhile is no fault."""

    def __init__(self, known: Known | None) -> None:
        self.ends = Ends(0, NO_HASH, 0, NO_HASH)
        self.checked = 0
        self.seq = 0
        self._hash = NO_HASH
        self._owed: str | None = None  # the target of the row that has to tell of what retention deleted
        self._known = known
        self._known_seen = False

    def take(self, conn: sqlite3.Connection) -> bool:
        """Check the next page; False when it was the last one."""
        with snapshot(conn):
            ends = store.load_ends(conn)
            first = store.find_first_seq(conn)
            if ends is None:
                raise _Broken(self.seq + 1, "the note of where the chain ends is gone")
            self._take_over(ends, first)
            rows = store.list_chain(conn, self.seq, PAGE_ROWS)
        for row in rows:
            self._check_row(row)
        if len(rows) == PAGE_ROWS:
            return True
        self._check_end()
        return False

    def _take_over(self, ends: Ends, first: int | None) -> None:
        """Look to where the chain reaches now; what retention has deleted, a row has to tell of."""
        self.ends = ends
        if ends.pruned_seq > self.seq:
            self.seq, self._hash = ends.pruned_seq, ends.pruned_hash
            self._owed = pruned_target(ends.pruned_seq)
        if first is not None and first <= ends.pruned_seq:
            raise _Broken(first, f"the row stands before the beginning of the chain, which is {ends.pruned_seq + 1}")

    def _check_row(self, row: Row) -> None:
        seq = row[0]
        if seq != self.seq + 1:
            raise _Broken(self.seq + 1, "the row is missing")
        if seq > self.ends.last_seq:
            raise _Broken(seq, f"the row was put behind the end of the chain, which is row {self.ends.last_seq}")
        if hash_of(self._hash, row[:-1]) != row[-1]:
            raise _Broken(seq, "the row, or its place in the chain, was changed")
        if self._known is not None and self._known.seq == seq:
            self._known_seen = True
            if row[-1].hex() != self._known.hash.lower():
                raise _Broken(seq, "the row has another hash than was noted")
        if row[5] == PRUNED and row[6] == self._owed:
            self._owed = None
        self.seq, self._hash = seq, row[-1]
        self.checked += 1

    def _check_end(self) -> None:
        if self.seq < self.ends.last_seq:
            raise _Broken(self.seq + 1, f"the newest rows are missing, up to row {self.ends.last_seq}")
        if self._hash != self.ends.last_hash:
            raise _Broken(self.seq, "the newest row is not the one that was written last")
        if self._owed is not None:
            raise _Broken(1, f"no row tells that retention deleted what is gone: {self._owed}")

    def finish(self) -> None:
        """Look whether the row that is known was there at all."""
        known = self._known
        if known is not None and not self._known_seen:
            pruned = known.seq <= self.ends.pruned_seq
            reason = "was deleted by retention, and can't be compared" if pruned else "is missing"
            raise _Broken(known.seq, f"the row that was noted {reason}")

    def verdict(self, bad_seq: int | None = None, reason: str | None = None) -> Verdict:
        """What was found."""
        ends = self.ends
        return Verdict(self.checked, ends.pruned_seq, ends.last_seq, ends.last_hash.hex(), bad_seq, reason)


def pruned_target(seq: int) -> str:
    """The target of the row that tells that rows up to ``seq`` were deleted."""
    return f"audit_log:{seq}"
