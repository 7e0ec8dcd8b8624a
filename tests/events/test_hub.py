"""The hub: who gets what, bounded queues, waking in turns, ends."""

from __future__ import annotations

import asyncio

import pytest

from alloyd.events.hub import Hub, Reader
from alloyd.events.model import Event, Story
from tests.load.story import split_websocket


def made(id_: int, org_id: str = "a", kind: str = "job.done", run_id: str | None = None) -> Event:
    return Event(org_id, kind, "s", id=id_, run_id=run_id)


def ids(reader: Reader) -> list[int]:
    return [event.id for event in reader.take()]


@pytest.mark.parametrize(
    ("kinds", "kind", "wanted"),
    [
        (None, "job.done", True),
        ({"job.done"}, "job.done", True),
        ({"job.done"}, "job.done.twice", False),
        ({"job.*"}, "job.done", True),
        ({"job.*"}, "job", False),
        ({"job.*"}, "jobs.done", False),
        ({"workflow.run.*", "job.*"}, "workflow.run.started", True),
        (frozenset(), "job.done", False),
    ],
)
def test_kinds(kinds: set[str] | None, kind: str, wanted: bool) -> None:
    reader = Hub().open({"a"}, kinds=None if kinds is None else frozenset(kinds))
    assert reader.wants(kind) is wanted


def test_readers_get_their_organizations_and_runs_in_order() -> None:
    hub = Hub()
    one, both, narrow = hub.open({"a"}), hub.open({"a", "b"}), hub.open({"a"}, kinds=frozenset({"job.failed"}))
    run, foreign_run = hub.open({"a"}, story=Story("run", "r")), hub.open({"b"}, story=Story("run", "r"))
    hub.publish([made(1), made(2, "b"), made(3, run_id="r"), made(4, "c"), made(5, kind="job.failed", run_id="other")])
    hub.publish([made(6, "b"), made(7, run_id="r")])
    assert (ids(one), ids(both), ids(narrow)) == ([1, 3, 5, 7], [1, 2, 3, 5, 6, 7], [5])
    assert (ids(run), ids(foreign_run)) == ([3, 7], [])
    assert hub.last_id == 7
    assert ids(one) == []


def test_readers_of_the_same_share_one_batch() -> None:
    hub = Hub()
    readers = [hub.open({"a"}) for _ in range(3)]
    narrow = [hub.open({"a"}, kinds=frozenset({"job.*"})) for _ in range(2)]
    hub.publish([made(1), made(2, kind="other")])
    assert len({id(batch) for reader in readers for batch in reader.take_batches()}) == 1
    batches = [batch for reader in narrow for batch in reader.take_batches()]
    assert batches[0] is batches[1]
    assert batches[0].to_frames() is batches[1].to_frames()
    assert batches[0].to_frames().count(b"id: ") == 1


def test_a_full_queue_says_so_and_takes_again_once_recovered() -> None:
    hub = Hub(queue_max=3)
    reader = hub.open({"a"})
    hub.publish([made(1), made(2)])
    hub.publish([made(3)])
    assert not reader.missed
    hub.publish([made(4)])
    assert reader.missed
    assert ids(reader) == []
    hub.publish([made(5)])
    assert ids(reader) == []
    reader.recover()
    hub.publish([made(6), made(7), made(8)])
    assert ids(reader) == [6, 7, 8]
    hub.publish([made(9), made(10), made(11)])  # taking made room
    assert not reader.missed


async def test_waiting() -> None:
    hub = Hub()
    reader = hub.open({"a"})
    assert not await reader.wait(0.001)
    waiting = asyncio.create_task(reader.wait(10))
    await asyncio.sleep(0)
    hub.publish([made(1)])
    assert await waiting
    assert await reader.wait(10)
    assert ids(reader) == [1]
    reader.close("done")
    assert await reader.wait(10)


async def test_many_readers_are_woken_in_turns_and_none_is_forgotten() -> None:
    hub = Hub()
    readers = [hub.open({"a"}) for _ in range(100)]
    found: dict[int, list[int]] = {place: [] for place in range(100)}

    async def read(place: int) -> None:
        while len(found[place]) < 5:
            await readers[place].look_up()
            found[place] += ids(readers[place])

    tasks = [asyncio.create_task(read(place)) for place in range(100)]
    await asyncio.sleep(0)
    for number in range(1, 6):
        hub.publish([made(number)])
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert all(one == [1, 2, 3, 4, 5] for one in found.values())


def test_closing_names_the_reason_once_and_only_the_tagged() -> None:
    hub = Hub()
    told: list[str] = []
    hub.watch_revocations(told.append)
    mine = [hub.open({"a"}, tag="k"), hub.open({"a", "b"}, tag="k"), hub.open({"a"}, story=Story("run", "r"), tag="k")]
    other = hub.open({"a"}, tag="other")
    calls: list[str] = []
    mine[0].on_close = lambda: calls.append("closed")
    assert hub.close_tagged("k", "revoked") == 3
    assert hub.close_all("stop") == 4
    assert [reader.closed for reader in (*mine, other)] == ["revoked"] * 3 + ["stop"]
    assert (calls, told) == (["closed"], ["k"])


def test_released_readers_leave_nothing_behind() -> None:
    hub = Hub()
    readers = [hub.open({"a"}), hub.open({"a", "b"}), hub.open({"a"}, story=Story("run", "r")), hub.open({"a"})]
    assert hub.reader_count == 4
    for reader in (*readers, *readers):  # twice does no harm
        hub.release(reader)
    hub.publish([made(1, run_id="r")])
    assert (hub.reader_count, hub._by_org, hub._by_orgs, hub._by_run) == (0, {}, {}, {})
    assert all(ids(reader) == [] for reader in readers)


async def test_many_readers_get_all_commits_of_a_turn_in_one_batch_and_who_comes_between_begins_behind_them() -> None:
    hub = Hub()
    readers = [hub.open({"a"}) for _ in range(40)]
    for number in range(1, 4):
        hub.publish([made(number)])
    assert not readers[0].has_queued
    late = hub.open({"a"})
    hub.publish([made(4)])
    async with asyncio.timeout(10):
        await late.look_up()
    (first, second) = readers[0].take_batches()
    assert [event.id for event in first.events] == [1, 2, 3]
    assert [event.id for event in second.events] == [4]
    assert ids(late) == [4]


def test_frames_of_a_websocket_are_made_once_whatever_their_length() -> None:
    hub = Hub()
    readers = [hub.open({"a"}) for _ in range(2)]
    hub.publish([Event("a", "k", "s", b'{"x":"%s"}' % (b"x" * size), id=1) for size in (1, 1000, 70_000)])
    (first,), (second,) = (reader.take_batches() for reader in readers)
    assert first.to_messages() is second.to_messages()
    assert [frame.event_id for frame in split_websocket(first.to_messages())] == [1, 1, 1]
    assert hub._published == []


def test_many_events_at_once_are_cut_into_batches_that_all_share() -> None:
    hub = Hub()
    readers = [hub.open({"a"}) for _ in range(2)]
    hub.publish([made(number) for number in range(1, 251)])
    first, second = (reader.take_batches() for reader in readers)
    assert [len(batch.events) for batch in first] == [100, 100, 50]
    assert all(one is other for one, other in zip(first, second, strict=True))
