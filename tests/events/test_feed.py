"""History and what happens now, joined without a gap: over a real database. The rest is tested on streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.events import feed as feed_module
from alloyd.events.feed import Feed
from alloyd.events.hub import Hub
from alloyd.events.model import Event, Story
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    migrate(tmp_path / "a.db")
    database = await Database.open(tmp_path / "a.db", ManualClock())
    event_log = EventLog(database, Hub(queue_max=10))
    await event_log.start()
    yield event_log
    await database.close()


async def emit(log: EventLog, *events: Event) -> None:
    await log._database.write(lambda tx: [tx.emit(event) for event in events])


def made(number: int, org_id: str = "a", kind: str = "job.done", run_id: str | None = "r") -> Event:
    return Event(org_id, kind, "s", {"n": number}, run_id=run_id)


async def take(feed: Feed, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        batches = await feed.read()
        assert batches is not None
        found += [event.id for batch in batches for event in batch.events]
    return found


async def test_several_organizations_keep_one_order_through_history_and_live(log: EventLog) -> None:
    orgs = ["a", "b", "c"]
    await emit(log, *(made(number, orgs[number % 3]) for number in range(30)))
    feed = Feed(log, log.hub.open({"a", "b"}))
    feed.replay()
    await emit(log, *(made(number, orgs[number % 3]) for number in range(30, 36)))
    assert await take(feed, 24) == [id_ for id_ in range(1, 37) if id_ % 3 != 0]
    await emit(log, made(1, "b"), made(2, "a"), made(3, "c"), made(4, "b"))
    assert await take(feed, 3) == [37, 38, 40]


async def test_history_comes_in_pages(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "PAGE_EVENTS", 7)
    await emit(log, *(made(number, kind="x.y" if number % 10 else "job.done") for number in range(50)))
    feed = Feed(log, log.hub.open({"a"}))
    feed.replay()
    assert await take(feed, 50) == list(range(1, 51))
    narrow = Feed(log, log.hub.open({"a"}, kinds=frozenset({"job.*"})))
    narrow.replay()
    assert await take(narrow, 5) == [1, 11, 21, 31, 41]


async def test_a_nudge_answers_with_nothing_even_in_the_midst_of_unwanted_history(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "PAGE_EVENTS", 2)
    await emit(log, *(made(number) for number in range(10)))
    feed = Feed(log, log.hub.open({"a"}, kinds=frozenset({"none"})))
    feed.replay()
    feed.nudge()
    assert await feed.read() == ()
    assert feed.last_id == 2
    feed.nudge()
    assert await feed.read() == ()


async def test_what_comes_behind_the_terminal_event_is_left_out(log: EventLog) -> None:
    for live in (True, False):
        run_id = f"r{live}"
        reader = log.hub.open({"a"}, story=Story("run", run_id))
        feed = Feed(log, reader)
        if not live:
            feed.replay()
        first = log.hub.last_id + 1
        await emit(
            log, made(1, run_id=run_id), made(2, kind="workflow.run.cancelled", run_id=run_id), made(3, run_id=run_id)
        )
        assert await take(feed, 2) == [first, first + 1]
        assert feed.ended
        assert await feed.read() is None
        assert reader.closed is None


async def test_a_closed_reader_ends_its_feed_at_once(log: EventLog) -> None:
    feed = Feed(log, log.hub.open({"a"}, tag="k"))
    await emit(log, made(1))
    log.hub.close_tagged("k", "revoked")
    assert await feed.read() is None
    assert feed.reader.closed == "revoked"
