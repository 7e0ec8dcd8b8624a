"""A durable consumer: each event once, over restarts, gaps, floods, failures and a disk that refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alloyd.db import Database, Tx
from alloyd.db.migrate import migrate
from alloyd.errors import AlloydError, Code
from alloyd.events import consumer as consumer_module
from alloyd.events import retention
from alloyd.events.consumer import SKIPPED_KIND, TRIES_MAX, EventConsumer
from alloyd.events.hub import Hub
from alloyd.events.model import AgedEvent, Event
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock

LONG_S = 30.0


@dataclass
class World:
    """One process's life over a database that stays."""

    database: Database
    hub: Hub
    log: EventLog
    paused: list[float] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    fault: Callable[[Tx, list[Event]], None] | None = None

    async def tell(self, *kinds: str) -> None:
        """Events, each in a write of its own."""
        for kind in kinds:
            await self.database.write(lambda tx, kind=kind: tx.emit(Event("org", kind, "s")))

    async def tell_together(self, *kinds: str) -> None:
        """Events of one write."""

        def write(tx: Tx) -> None:
            for kind in kinds:
                tx.emit(Event("org", kind, "s"))

        await self.database.write(write)

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        await asyncio.sleep(0)

    def consumer(self, name: str = "it", wanted: Any = None, **more: Any) -> EventConsumer:
        """A consumer that notes what it handles in the table ``meta``."""
        wanted = wanted or (lambda event: event.kind.startswith("a."))
        return EventConsumer(
            self.database, self.hub, self.log, name, wanted, self.handle, pause=more.pop("pause", self.pause), **more
        )

    def handle(self, tx: Tx, events: list[Event]) -> None:
        if self.fault is not None:
            self.fault(tx, events)
        for event in events:
            tx.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (f"handled {event.id:09}", event.kind))

    async def run(self, consumer: EventConsumer) -> EventConsumer:
        """Start it, and wait until it has nothing to do."""
        task = asyncio.create_task(consumer.run())
        self.tasks.append(task)
        await self.settle(consumer)
        return consumer

    async def settle(self, consumer: EventConsumer) -> None:
        async with asyncio.timeout(LONG_S):
            await consumer.settle()

    async def stop(self) -> None:
        """As the daemon stops its loops."""
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.tasks.clear()

    async def handled(self) -> list[str]:
        return [
            row[0]
            for row in await self.database.read(
                lambda conn: conn.execute("SELECT value FROM meta WHERE key GLOB 'handled *' ORDER BY key").fetchall()
            )
        ]

    async def cursor(self, name: str = "it") -> int:
        found: int = await self.database.read(
            lambda conn: conn.execute("SELECT last_id FROM event_cursors WHERE name = ?", (name,)).fetchone()[0]
        )
        return found


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    path = directory / "alloyd.db"
    migrate(path)
    database, hub = await Database.open(path, ManualClock()), Hub()
    log = EventLog(database, hub)
    await log.start()
    world = World(database, hub, log)
    try:
        yield world
    finally:
        await world.stop()
        await database.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def test_begins_with_what_happens_next_and_takes_only_what_it_wants(world: World) -> None:
    await world.tell("a.before")
    consumer = await world.run(world.consumer())
    await world.tell("a.one", "b.no", "a.two")
    await world.settle(consumer)
    assert await world.handled() == ["a.one", "a.two"]
    assert await world.cursor() == 4


async def test_goes_on_from_its_cursor_after_a_restart(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        consumer = await world.run(world.consumer())
        await world.tell("a.one")
        await world.settle(consumer)
        await world.stop()
        await world.tell("b.no", "a.two")
    async with open_world(tmp_path) as world:
        await world.tell("a.three")
        consumer = await world.run(world.consumer())
        await world.tell("a.four")
        await world.settle(consumer)
        assert await world.handled() == ["a.one", "a.two", "a.three", "a.four"]


async def test_what_came_between_start_and_run_is_handled(world: World) -> None:
    consumer = world.consumer()
    await consumer.start()
    await world.tell("a.one")
    await world.run(consumer)
    assert await world.handled() == ["a.one"]


async def test_consumers_have_cursors_of_their_own(world: World) -> None:
    seen: dict[str, list[str]] = {"one": [], "two": []}

    def noting(name: str) -> EventConsumer:
        return EventConsumer(
            world.database,
            world.hub,
            world.log,
            name,
            lambda event: name == "one" or event.kind != "a.one",
            lambda _tx, events: seen[name].extend(event.kind for event in events),
        )

    one, two = await world.run(noting("one")), await world.run(noting("two"))
    await world.tell("a.one", "a.two")
    await world.settle(one)
    await world.settle(two)
    assert seen == {"one": ["a.one", "a.two"], "two": ["a.two"]}


async def test_a_flood_goes_through_the_table_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "PAGE_EVENTS", 7)
    monkeypatch.setattr(consumer_module, "BATCH_EVENTS_MAX", 3)
    consumer = await world.run(world.consumer(queue_max=5))
    expected = [f"a.n{n}" for n in range(100)]
    for start in range(0, 100, 20):
        await world.tell_together(*(kind for each in expected[start : start + 20] for kind in (each, "b.no")))
    await world.settle(consumer)
    assert await world.handled() == expected


async def test_large_payloads_are_not_kept_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "QUEUE_BYTES_MAX", 10)
    pages = []
    list_all = world.log.list_all

    async def counted(after_id: int, limit: int) -> list[Event]:
        pages.append(after_id)
        return await list_all(after_id, limit)

    monkeypatch.setattr(world.log, "list_all", counted)
    consumer = await world.run(world.consumer())
    before = len(pages)
    await world.database.write(lambda tx: tx.emit(Event("org", "a.large", "s", {"text": "long enough"})))
    await world.settle(consumer)
    assert await world.handled() == ["a.large"]
    assert len(pages) > before


async def test_unwanted_progress_is_written_now_and_then(world: World) -> None:
    consumer = await world.run(world.consumer(unsaved_max=3))
    await world.tell("b.one", "b.two")
    await world.settle(consumer)
    assert await world.cursor() == 0
    await world.tell("b.three")
    await world.settle(consumer)
    assert await world.cursor() == 3
    assert consumer.last_id == 3


async def test_progress_is_written_after_a_quiet_while_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "SAVE_INTERVAL_S", 0.0)
    await world.run(world.consumer())
    await world.tell("b.one")
    async with asyncio.timeout(LONG_S):
        while await world.cursor() != 1:
            await asyncio.sleep(0)


async def test_progress_of_a_long_way_through_the_table_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "PAGE_EVENTS", 2)
    consumer = world.consumer(unsaved_max=4)
    await consumer.start()
    await world.tell(*["b.no"] * 7)
    await world.run(consumer)
    assert await world.cursor() == 4


def broken(kind: str) -> Callable[[Tx, list[Event]], None]:
    """Fails, after it has written something, whenever an event of ``kind`` is among those to handle."""

    def fault(tx: Tx, events: list[Event]) -> None:
        tx.execute("INSERT INTO meta (key, value) VALUES ('handled 0', 'left over')")
        if any(event.kind == kind for event in events):
            raise AlloydError(Code.CONFLICT, "no good")
        tx.execute("DELETE FROM meta WHERE key = 'handled 0'")

    return fault


@pytest.mark.parametrize("live", [True, False])
async def test_an_event_that_always_fails_is_passed_over_and_told(world: World, live: bool) -> None:
    consumer = world.consumer(wanted=lambda _event: True)
    await consumer.start()
    world.fault = broken("a.bad")
    if live:
        await world.run(consumer)
    await world.tell_together("a.one", "a.bad", "a.two")
    if not live:
        await world.run(consumer)
    await world.settle(consumer)
    assert await world.handled() == ["a.one", "a.two"]
    (told,) = [event for event in await world.log.list_all(0, 10) if event.kind == SKIPPED_KIND]
    assert told.subject == "2"
    assert b'"reason":"no good"' in told.payload
    assert world.paused == [2.0**n for n in range(TRIES_MAX - 1)]
    assert await world.cursor() >= 3


@pytest.mark.parametrize("live", [True, False])
async def test_it_tells_how_far_it_is_behind_and_what_it_passed_over(world: World, live: bool) -> None:
    held, may_go = asyncio.Event(), asyncio.Event()

    async def pause(_seconds: float) -> None:
        held.set()
        await may_go.wait()

    consumer = world.consumer(wanted=lambda event: event.kind == "a.bad", pause=pause)
    await consumer.start()
    assert consumer.lag == 0  # nobody knows yet
    world.fault = broken("a.bad")
    if live:
        await world.run(consumer)
    await world.tell("a.one", "a.bad", "a.two")
    if not live:
        world.tasks.append(asyncio.create_task(consumer.run()))
    async with asyncio.timeout(LONG_S):
        await held.wait()
    assert consumer.lag == (2 if live else 3)  # of a page of the table all counts until all of it is handled
    await world.tell("a.three")
    assert consumer.lag == (3 if live else 4)
    assert consumer.skipped_total == 0
    may_go.set()
    await world.settle(consumer)
    assert (consumer.lag, consumer.skipped_total) == (0, 1)


async def test_a_lone_event_that_fails_counts_its_first_try(world: World) -> None:
    tries = []

    def fault(_tx: Tx, events: list[Event]) -> None:
        tries.extend(event.kind for event in events)
        raise KeyError("secret")

    world.fault = fault
    consumer = await world.run(world.consumer())
    await world.tell("a.bad")
    await world.settle(consumer)
    assert tries == ["a.bad"] * TRIES_MAX
    (told,) = [event for event in await world.log.list_all(0, 10) if event.kind == SKIPPED_KIND]
    assert b"secret" not in told.payload
    assert b"KeyError" in told.payload


async def test_an_event_that_fails_at_first_is_handled_once(world: World) -> None:
    left = [2]

    def fault(tx: Tx, _events: list[Event]) -> None:
        tx.execute("INSERT INTO meta (key, value) VALUES (?, 'x')", (f"handled {left[0]}",))
        left[0] -= 1
        if left[0] >= 0:
            raise ValueError
        tx.execute("DELETE FROM meta WHERE value = 'x'")

    world.fault = fault
    consumer = await world.run(world.consumer())
    await world.tell("a.one")
    await world.settle(consumer)
    assert await world.handled() == ["a.one"]
    assert SKIPPED_KIND not in [event.kind for event in await world.log.list_all(0, 10)]


async def test_a_full_disk_is_waited_for_and_costs_no_try(world: World) -> None:
    left = [TRIES_MAX * 3]

    def fault(_tx: Tx, _events: list[Event]) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise AlloydError(Code.UNAVAILABLE, "the disk is nearly full")

    world.fault = fault
    consumer = await world.run(world.consumer())
    await world.tell("a.one")
    await world.settle(consumer)
    assert await world.handled() == ["a.one"]
    assert len(world.paused) == TRIES_MAX * 3


async def test_a_filter_that_fails_lets_the_event_through(world: World) -> None:
    def wanted(event: Event) -> bool:
        if event.kind == "a.odd":
            raise ValueError
        return False

    consumer = await world.run(world.consumer(wanted=wanted))
    await world.tell("a.odd", "a.one")
    await world.settle(consumer)
    assert await world.handled() == ["a.odd"]


async def test_a_cursor_that_moved_meanwhile_is_read_again(world: World) -> None:
    """Two readers of one name, as when a write that its caller gave up is committed after all: still once each."""
    one, two = await world.run(world.consumer()), await world.run(world.consumer())
    for n in range(20):
        await world.tell(f"a.n{n}")
    await world.settle(one)
    await world.settle(two)
    assert await world.handled() == [f"a.n{n}" for n in range(20)]


async def test_a_slow_handler_keeps_nobody_waiting(world: World) -> None:
    release = asyncio.Event()

    async def pause(_seconds: float) -> None:
        await release.wait()

    def fault(_tx: Tx, _events: list[Event]) -> None:
        if not release.is_set():
            raise AlloydError(Code.UNAVAILABLE, "not now")

    world.fault = fault
    consumer = await world.run(world.consumer(pause=pause, queue_max=10))
    kinds = [f"a.n{n}" for n in range(50)]
    await world.tell(*kinds)  # would hang if publishing waited
    assert await world.handled() == []
    release.set()
    await world.settle(consumer)
    assert await world.handled() == kinds


async def test_retention_keeps_what_a_consumer_has_not_passed(world: World) -> None:
    consumer = world.consumer()
    await consumer.start()
    await world.tell("a.one", "a.two", "a.three")

    async def delete(event_id: int) -> int:
        aged = AgedEvent(event_id, "org", None, 0)
        return await world.database.write(lambda tx: retention.delete_each(tx, [aged]))

    assert await delete(1) == 0
    await world.run(consumer)
    assert await world.handled() == ["a.one", "a.two", "a.three"]
    assert await delete(1) == 1
    assert await delete(3) == 0, "the newest stays"


step = st.one_of(
    st.tuples(st.just("tell"), st.lists(st.sampled_from(["a.x", "b.x"]), min_size=1, max_size=8)),
    st.tuples(st.just("kill"), st.just(None)),
    st.tuples(st.just("run"), st.just(None)),
    st.tuples(st.just("yield"), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.integers(0, TRIES_MAX - 2)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=20))
def test_each_event_once_whatever_happens(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    asyncio.run(_each_once(tmp_path_factory.mktemp("once"), steps))


async def _each_once(directory: Path, steps: list[Any]) -> None:
    expected: list[str] = []
    async with open_world(directory) as world:
        failures = [0]

        def fault(_tx: Tx, _events: list[Event]) -> None:
            if failures[0] > 0:
                failures[0] -= 1
                raise ValueError

        world.fault = fault
        await world.consumer().start()
        for what, value in steps:
            if what == "tell":
                kinds = [f"{kind}{len(expected)}.{n}" for n, kind in enumerate(value)]
                expected += [kind for kind in kinds if kind.startswith("a.")]
                await world.tell_together(*kinds)
            elif what == "kill":
                await world.stop()
            elif what == "run" and not world.tasks:
                world.tasks.append(asyncio.create_task(world.consumer(queue_max=6, unsaved_max=3).run()))
            elif what == "yield":
                for _ in range(value):
                    await asyncio.sleep(0)
            elif what == "fail":
                failures[0] = value
        await world.stop()
        await world.run(world.consumer())
        assert await world.handled() == expected
