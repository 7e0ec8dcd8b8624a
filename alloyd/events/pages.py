"""Pages of history that several readers want at about the same time: read once, made into frames once.

When a thousand readers come back after a restart, or fall behind together, each would else read and encode the same
rows.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from alloyd.events.hub import Batch
from alloyd.events.model import Event

# What is kept: so many pages, none with more payload, for so long. Retention may have deleted what a page shows.
PAGES_KEPT = 32
PAGE_BYTES_MAX = 256 * 1024
KEPT_S = 5.0

OrgIds = frozenset[str]
ReadRows = Callable[[OrgIds, int, int], Awaitable[list[Event]]]
_Key = tuple[OrgIds, int, int]


class Pages:
    """``read(org_ids, after_id, limit)`` asks the table."""

    def __init__(self, read: ReadRows, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._monotonic = monotonic
        self._kept: OrderedDict[_Key, tuple[float, Batch]] = OrderedDict()
        self._under_way: dict[_Key, asyncio.Event] = {}

    async def page(self, org_ids: OrgIds, after_id: int, limit: int) -> tuple[Batch, bool]:
        """At most ``limit`` events after ``after_id``, oldest first, and whether more of them may be there already.

        Only pages that more follow are shared: ids grow with the commits, so nothing can come to lie within one. What
        is last may grow, and a reader must see all that was there when it asked.
        """
        key = (org_ids, after_id, limit)
        batch = self._find(key)
        if batch is None and key in self._under_way:
            await self._under_way[key].wait()
            batch = self._find(key)
        if batch is not None:
            return batch, True
        if key in self._under_way:
            return await self._read_page(key)
        done = self._under_way[key] = asyncio.Event()
        try:
            return await self._read_page(key)
        finally:
            del self._under_way[key]
            done.set()

    def _find(self, key: _Key) -> Batch | None:
        kept = self._kept.get(key)
        return kept[1] if kept is not None and self._monotonic() - kept[0] < KEPT_S else None

    async def _read_page(self, key: _Key) -> tuple[Batch, bool]:
        events = await self._read(*key)
        if len(events) < key[2]:
            return Batch(events), False
        batch = Batch(events[: meeting_place(events)])
        if sum(len(event.payload) for event in batch.events) <= PAGE_BYTES_MAX:
            self._kept.pop(key, None)
            self._kept[key] = (self._monotonic(), batch)
            if len(self._kept) > PAGES_KEPT:
                self._kept.popitem(last=False)
        return batch, True


def meeting_place(events: Sequence[Event]) -> int:
    """How many of a full page to take, at least half: up to the roundest id.

    Readers that began at different events come to the same ends of pages so, and have the rest in common.
    """
    half = len(events) // 2
    return max(range(half, len(events)), key=lambda place: events[place].id & -events[place].id) + 1
