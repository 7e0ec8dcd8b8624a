from __future__ import annotations

import asyncio

import pytest

from alloyd.events.model import Event
from alloyd.events.pages import KEPT_S, PAGE_BYTES_MAX, PAGES_KEPT, OrgIds, Pages, meeting_place

ORG = frozenset({"a"})


class Table:
    """Counts how often it is asked, and answers when it is let."""

    def __init__(self, last_id: int = 1000, payload: bytes = b"{}") -> None:
        self.reads: list[int] = []
        self.last_id = last_id
        self.open = asyncio.Event()
        self.open.set()
        self.now = 0.0
        self.pages = Pages(self.read, lambda: self.now)
        self._payload = payload

    async def read(self, _org_ids: OrgIds, after_id: int, limit: int) -> list[Event]:
        self.reads.append(after_id)
        ids = range(after_id + 1, min(after_id + limit, self.last_id) + 1)
        await self.open.wait()
        return [Event("a", "x.y", str(number), self._payload, id=number) for number in ids]


async def test_many_at_once_read_a_full_page_once_and_share_its_frames():
    table = Table()
    table.open.clear()
    asked = [asyncio.create_task(table.pages.page(ORG, 0, 200)) for _ in range(50)]
    while not table.reads:
        await asyncio.sleep(0)
    table.open.set()
    answers = await asyncio.gather(*asked)
    assert table.reads == [0]
    assert all(batch is answers[0][0] and more for batch, more in answers)
    assert (await table.pages.page(ORG, 0, 200))[0] is answers[0][0]
    assert table.reads == [0]


async def test_a_last_page_is_read_by_each_since_it_may_have_grown():
    table = Table(last_id=5)
    table.open.clear()
    first = asyncio.create_task(table.pages.page(ORG, 0, 200))
    while not table.reads:
        await asyncio.sleep(0)
    table.last_id = 6
    second = asyncio.create_task(table.pages.page(ORG, 0, 200))
    await asyncio.sleep(0)
    table.open.set()
    pages = await asyncio.gather(first, second)
    assert [(len(batch.events), more) for batch, more in pages] == [(5, False), (6, False)]


async def test_a_reader_that_leaves_takes_nothing_from_the_others():
    table = Table()
    table.open.clear()
    leaving = asyncio.create_task(table.pages.page(ORG, 0, 200))
    while not table.reads:
        await asyncio.sleep(0)
    staying = asyncio.create_task(table.pages.page(ORG, 0, 200))
    await asyncio.sleep(0)
    leaving.cancel()
    table.open.set()
    batch, more = await staying
    assert more
    assert batch.events[0].id == 1
    assert table.reads == [0, 0]


async def test_organizations_and_lengths_are_told_apart():
    table = Table()
    for org_ids, limit in ((ORG, 200), (frozenset({"a", "b"}), 200), (ORG, 100)):
        await table.pages.page(org_ids, 0, limit)
    assert table.reads == [0, 0, 0]


@pytest.mark.parametrize(
    ("payload", "later_s", "others", "reads"),
    [
        (b"{}", KEPT_S - 1, 0, 1),
        (b"{}", KEPT_S, 0, 2),
        (b"{}", 0, PAGES_KEPT, 2),
        (b"x" * PAGE_BYTES_MAX, 0, 0, 2),
    ],
)
async def test_what_is_kept_is_bounded(payload: bytes, later_s: float, others: int, reads: int):
    table = Table(payload=payload)
    await table.pages.page(ORG, 0, 200)
    for number in range(others):
        await table.pages.page(ORG, number + 1, 200)
    table.now += later_s
    await table.pages.page(ORG, 0, 200)
    assert table.reads.count(0) == reads


async def test_readers_at_different_places_meet():
    table = Table(last_id=10_000)
    for begin in (0, 17, 90, 133):
        after_id = begin
        while after_id < 5000:
            batch, _more = await table.pages.page(ORG, after_id, 200)
            assert [event.id for event in batch.events] == list(range(after_id + 1, batch.events[-1].id + 1))
            after_id = batch.events[-1].id
    # Each has a few pages of its own, then all have the same.
    assert len(set(table.reads)) < 1.3 * 5000 / 100


@pytest.mark.parametrize(("first", "last"), [(1, 128), (129, 256), (257, 384), (300, 448), (1000, 1152)])
def test_a_page_ends_at_the_roundest_id_of_its_second_half(first: int, last: int):
    events = [Event("a", "x.y", "", id=number) for number in range(first, first + 200)]
    assert events[meeting_place(events) - 1].id == last
