"""Many callers' items in one write function: for the hot paths, where a savepoint for each would cost the most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from alloyd.db.note import note_of
from alloyd.db.tx import Tx
from alloyd.kit.stamp import STAMP, Stamp

Item = TypeVar("Item")
Result = TypeVar("Result")


class Submitter(Protocol):
    """What takes write functions: the database."""

    def submit(self, fn: Callable[[Tx], Any]) -> asyncio.Future[Any]:
        """Queue ``fn`` for the next group commit."""


class WriteGroup:
    """A write function over the items that gathered until it was sealed."""

    __slots__ = ("_owner", "items")

    def __init__(self, owner: GroupedWrite[Any, Any]) -> None:
        self._owner = owner
        self.items: list[tuple[Any, asyncio.Future[Any], Stamp | None]] = []

    def seal(self) -> None:
        """Called by the database on the event loop, just before the group runs: what comes later waits."""
        self._owner.open_next(self)

    def __call__(self, tx: Tx) -> list[Any]:
        results = self._owner.write_all(tx, [item for item, _future, _stamp in self.items])
        find_target = self._owner.find_target
        if find_target is not None:
            for (item, _future, stamp), result in zip(self.items, results, strict=True):
                target = None if stamp is None else find_target(item, result)
                if stamp is not None and target is not None:
                    tx.add_note(note_of(stamp, *target))
        return results

    def answer(self, written: asyncio.Future[list[Any]]) -> None:
        """Hand each caller its result, or all of them the failure."""
        self.seal()
        error = written.exception()
        if error is not None:
            for _item, future, _stamp in self.items:
                if not future.done():
                    future.set_exception(error)
            return
        for (_item, future, _stamp), result in zip(self.items, written.result(), strict=True):
            if not future.done():
                future.set_result(result)


class GroupedWrite(Generic[Item, Result]):
    """Gathers items while the writer is busy and writes them with one call of ``write_all(tx, items)``.

    ``write_all`` returns a result for each item. It must not fail for one of them alone: what can fail is checked
    before, or is told in the result. ``find_target(item, result)`` gives the organization and the target of an item's
    row in the audit trail, None where there is nothing to tell; without it what is written here leaves none.
    """

    def __init__(
        self,
        database: Submitter,
        write_all: Callable[[Tx, list[Item]], list[Result]],
        find_target: Callable[[Item, Result], tuple[str, str] | None] | None = None,
    ) -> None:
        self.write_all = write_all
        self.find_target = find_target
        self._database = database
        self._open: WriteGroup | None = None

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Add an item; the future is done once it is on disk. Raises in the future what ``db.write`` raises."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        group = self._open
        if group is None:
            group = self._open = WriteGroup(self)
            group.items.append((item, future, STAMP.get()))
            self._database.submit(group).add_done_callback(group.answer)
        else:
            group.items.append((item, future, STAMP.get()))
        return future

    def open_next(self, sealed: WriteGroup) -> None:
        """Let the next item begin a new group."""
        if self._open is sealed:
            self._open = None
