"""Timers fire once and never early, deadlines are kept, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from alloyd.db import Database, Tx
from alloyd.db.migrate import migrate
from alloyd.domain.runs import scheduler as scheduler_module
from alloyd.domain.runs import store
from alloyd.domain.runs.model import RunState, StartRun
from alloyd.domain.runs.scheduler import HORIZON_MS, Scheduler
from alloyd.domain.runs.worker import EngineSettings
from alloyd.kit.clock import ManualClock
from tests.engine import Bench, open_bench
from tests.machine import node


def delay(key: str, *depends_on: str, ms: int) -> dict[str, object]:
    return node(key, *depends_on, operation="workflow.delay", config={"for": ms})


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as bench:
        yield bench


# -- with the engine --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ms", [1, 999, HORIZON_MS // 2, HORIZON_MS, HORIZON_MS + 1, 90 * 24 * 3600 * 1000])
async def test_a_delay_is_never_early_and_fires_once(bench: Bench, ms: int) -> None:
    run_id = await bench.start(await bench.publish(delay("a", ms=ms), defaults={"run_deadline_ms": ms + 10_000}))
    await bench.until_told(run_id, "run waiting")
    bench.move(ms - 1)
    await bench.settled()
    assert await bench.state(run_id) == "waiting"
    bench.move(1)
    assert (await bench.end(run_id)).state is RunState.COMPLETED
    assert (await bench.told(run_id)).count("completed a") == 1
    assert await bench.count("timers") == 0
    bench.move(10 * ms)
    await bench.settled()
    assert (await bench.told(run_id))[-1] == "run completed"


async def test_delays_one_after_the_other_and_side_by_side(bench: Bench) -> None:
    workflow_id = await bench.publish(
        delay("a", ms=100), delay("b", ms=100), delay("c", "a", ms=50), node("end", "b", "c")
    )
    run_id = await bench.start(workflow_id)
    await bench.until_told(run_id, "run waiting")
    bench.move(100)
    await bench.until_told(run_id, "run waiting", 2)
    assert await bench.steps(run_id) == {"a": "completed", "b": "completed", "c": "waiting", "end": "waiting"}
    bench.move(50)
    assert (await bench.end(run_id)).state is RunState.COMPLETED


async def test_a_timer_whose_time_passed_while_no_daemon_ran_fires_at_once_and_once(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        workflow_id = await bench.publish(delay("late", ms=1000), name="late")
        other_id = await bench.publish(delay("soon", ms=100_000), name="soon")
        late, soon = await bench.start(workflow_id), await bench.start(other_id)
        for run_id in (late, soon):
            await bench.until_told(run_id, "run waiting")
    bench.clock.advance(50_000)
    async with open_bench(tmp_path, clock=bench.clock) as after:
        assert (await after.end(late)).state is RunState.COMPLETED
        assert await after.state(soon) == "waiting"
        after.move(50_000)
        assert (await after.end(soon)).state is RunState.COMPLETED
        for run_id, key in ((late, "late"), (soon, "soon")):
            assert (await after.told(run_id)).count(f"completed {key}") == 1


async def test_a_thousand_waiting_runs_cost_nothing_and_all_wake(tmp_path: Path) -> None:
    async with open_bench(tmp_path, EngineSettings(running_max=50, running_per_org_max=50)) as bench:
        workflow_id = await bench.publish(delay("a", ms=10_000), node("b", "a"))
        ids = await bench.start_many(1000, workflow_id)
        async with asyncio.timeout(60):
            while await bench.count("timers") < 1000:
                await asyncio.sleep(0)
        await bench.settled()
        assert bench.engine.running_count == 0
        assert bench.engine.queue.queued_count == 0
        commits = bench.database.stats.commits
        bench.move(9_999)
        await bench.settled()
        assert bench.database.stats.commits - commits == 1, "nothing happens for runs that wait"
        bench.move(1)
        assert {ended.state for ended in await bench.ends(ids)} == {RunState.COMPLETED}
        await bench.settled()
        assert await bench.count("timers") == 0


async def test_a_clock_that_goes_back_loses_no_timer(bench: Bench) -> None:
    """The run is woken, and finds that its time has not come."""
    run_id = await bench.start(await bench.publish(delay("a", ms=1000)))
    await bench.until_told(run_id, "run waiting")
    await bench.settled()
    told = await bench.told(run_id)
    bench.engine.scheduler._heap.clear()
    bench.engine.scheduler._in_heap.clear()
    bench.engine.wake((await bench.org()).org_id, run_id)
    async with asyncio.timeout(30):
        while not bench.engine.scheduler._heap:
            await asyncio.sleep(0)
    assert await bench.told(run_id) == told, "waking for nothing is not told"
    bench.move(1000)
    assert (await bench.end(run_id)).state is RunState.COMPLETED


async def test_a_deadline_ends_the_run_whatever_it_does(tmp_path: Path) -> None:
    settings = EngineSettings(running_max=2)
    async with open_bench(tmp_path, settings) as bench:
        more = {"defaults": {"run_deadline_ms": 5000}}
        waits = await bench.start(await bench.publish(delay("a", ms=60_000), name="waits", **more))
        await bench.until_told(waits, "run waiting")
        runs_id = await bench.publish(node("a", operation="test.ask"), name="runs", **more)
        runs = [await bench.start(runs_id) for _ in range(2)]
        asked = [await bench.outside.next(), await bench.outside.next()]
        queued = await bench.start(runs_id)
        bench.move(4999)
        await bench.settled_but(2)
        assert [await bench.state(run_id) for run_id in (waits, *runs, queued)] == [
            "waiting",
            "running",
            "running",
            "queued",
        ]
        bench.move(1)
        for run_id in (waits, *runs, queued):
            ended = await bench.end(run_id)
            assert (ended.state, ended.error and ended.error.code) == (RunState.FAILED, "deadline_exceeded")
        await bench.settled()
        assert all(one.interrupted for one in asked)
        assert bench.outside.waiting == 0
        assert await bench.steps(waits) == {"a": "skipped"}
        assert await bench.count("timers") == 0


async def test_a_deadline_that_passed_while_no_daemon_ran_is_kept(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        workflow_id = await bench.publish(delay("a", ms=60_000), defaults={"run_deadline_ms": 5000})
        run_id = await bench.start(workflow_id)
        await bench.until_told(run_id, "run waiting")
    bench.clock.advance(100_000)
    async with open_bench(tmp_path, clock=bench.clock) as after:
        ended = await after.end(run_id)
        assert ended.state is RunState.FAILED
        assert (await after.told(run_id))[-1] == "run failed"


async def test_a_queued_run_whose_deadline_passed_while_no_daemon_ran_does_not_begin(tmp_path: Path) -> None:
    async with open_bench(tmp_path, starts=False) as bench:
        workflow_id = await bench.publish(node("a", operation="test.ask"), defaults={"run_deadline_ms": 5000})
        run_id = await bench.start(workflow_id)
    bench.clock.advance(5000)
    async with open_bench(tmp_path, clock=bench.clock) as after:
        assert (await after.end(run_id)).state is RunState.FAILED
        await after.settled()
        assert after.outside.all == []
        assert after.engine.queue.queued_count == 0


async def test_a_pending_run_has_no_deadline_until_it_is_started(bench: Bench) -> None:
    workflow_id = await bench.publish(delay("a", ms=60_000), defaults={"run_deadline_ms": 5000})
    principal = await bench.org()
    run_id = (await bench.runs.create(principal, StartRun(workflow_id, b"{}", "control"))).run.id
    bench.move(10_000)
    await bench.settled()
    assert await bench.state(run_id) == "pending"
    await bench.runs.start_pending(principal, run_id)
    bench.move(5000)
    assert (await bench.end(run_id)).state is RunState.FAILED


# -- alone ------------------------------------------------------------------------------------------------------------


class Alone:
    """A scheduler over a table, whose wakings are noted. ``on_read`` runs after a read and before its answer."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self.woken: list[str] = []
        self.expired: list[str] = []
        self.broken: set[str] = set()
        self.reads = 0
        self.on_read: list[Callable[[], None]] = []
        self.scheduler = Scheduler(self, clock, lambda _org, run_id: self.woken.append(run_id), self.expire)  # type: ignore[arg-type]
        self.task: asyncio.Task[None] | None = None

    async def read(self, fn: object) -> object:
        self.reads += 1
        found = await self.database.read(fn)  # type: ignore[arg-type]
        if self.on_read:
            self.on_read.pop(0)()
        return found

    async def expire(self, org_id: str, run_id: str) -> None:
        if run_id in self.broken:
            raise RuntimeError("can't be ended")
        self.expired.append(run_id)

        def end(tx: Tx) -> None:
            tx.execute("UPDATE runs SET ended_at = 1, state = 'failed' WHERE id = ?", (run_id,))

        await self.database.write(end)

    def start(self) -> None:
        self.task = asyncio.create_task(self.scheduler.run())

    async def set_timers(self, *timers: tuple[str, int]) -> None:
        """As the engine does: rows, then a word after the commit."""

        def write(tx: Tx) -> None:
            for run_id, fire_at in timers:
                tx.execute(
                    "INSERT INTO timers (org_id, run_id, step_key, kind, fire_at) VALUES ('o', ?, 'k', 'delay', ?)",
                    (run_id, fire_at),
                )
                tx.after_commit(
                    lambda run_id=run_id, fire_at=fire_at: self.scheduler.add_timer("o", run_id, fire_at)  # type: ignore[misc]
                )

        await self.database.write(write)

    async def insert_run(self, run_id: str, deadline_at: int) -> None:
        run = store.NewRun(run_id, "o", "w", 1, "api", "s", 1, True, 0, b"{}", b"{}", None)

        def write(tx: Tx) -> None:
            store.insert_runs(tx, [run], (store.find_last_seq(tx.conn)) + 1)
            tx.execute("UPDATE runs SET deadline_at = ? WHERE id = ?", (deadline_at, run_id))

        await self.database.write(write)

    def move(self, ms: int) -> None:
        self.clock.advance(ms)
        self.scheduler.clock_moved()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0)

    async def quiet(self) -> None:
        """Until the scheduler sleeps: it has read nothing for a good while."""
        seen, still = self.reads, 0
        async with asyncio.timeout(30):
            while still < 200:
                await asyncio.sleep(0)
                still = still + 1 if self.reads == seen else 0
                seen = self.reads


@asynccontextmanager
async def open_alone(directory: Path) -> AsyncIterator[Alone]:
    path = directory / "alloyd.db"
    migrate(path)
    clock = ManualClock()
    database = await Database.open(path, clock)
    alone = Alone(database, clock)
    try:
        yield alone
    finally:
        if alone.task is not None:
            alone.task.cancel()
            await asyncio.gather(alone.task, return_exceptions=True)
        await database.close()


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Alone]:
    async with open_alone(tmp_path) as alone:
        yield alone


async def test_timers_fire_in_their_order(alone: Alone) -> None:
    now = alone.clock.now_ms()
    await alone.set_timers(("c", now + 30), ("a", now + 10), ("b", now + 20))
    alone.start()
    await alone.quiet()
    for ms, woken in ((9, []), (1, ["a"]), (20, ["a", "b", "c"])):
        alone.move(ms)
        await alone.until(lambda woken=woken: alone.woken == woken)  # type: ignore[misc]
    await alone.quiet()
    assert alone.woken == ["a", "b", "c"]


async def test_a_timer_that_is_recorded_while_the_table_is_read_is_not_lost(alone: Alone) -> None:
    """It is not on the page, and its time is within what the page was to cover."""
    now = alone.clock.now_ms()
    # The first turn reads what is overdue, the nearest deadline, and the timers.
    alone.on_read.extend([lambda: None, lambda: None, lambda: alone.scheduler.add_timer("o", "new", now + 5)])
    alone.start()
    await alone.until(lambda: not alone.on_read)
    await alone.quiet()
    alone.move(5)
    await alone.until(lambda: alone.woken == ["new"])


async def test_a_deadline_that_is_set_while_the_nearest_is_looked_up_is_not_lost(alone: Alone) -> None:
    now = alone.clock.now_ms()
    # The first turn reads what is overdue, and the nearest deadline.
    alone.on_read.extend([lambda: None, lambda: alone.scheduler.add_deadline(now + 50)])
    alone.start()
    await alone.until(lambda: not alone.on_read)
    await alone.quiet()
    await alone.insert_run("late", now + 50)
    alone.move(50)
    await alone.until(lambda: alone.expired == ["late"])


async def test_one_run_that_can_not_be_ended_does_not_keep_others(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "_RETRY_S", 0.0)
    now = alone.clock.now_ms()
    alone.broken.add("bad")
    for number, run_id in enumerate(["bad", "good", "also"]):
        await alone.insert_run(run_id, now + number)
    await alone.set_timers(("timer", now + 100))
    alone.start()
    alone.move(100)
    await alone.until(lambda: sorted(alone.expired) == ["also", "good"] and alone.woken == ["timer"])
    alone.broken.clear()
    await alone.until(lambda: "bad" in alone.expired)
    await alone.until(lambda: alone.scheduler.alive)


async def test_a_database_that_fails_is_asked_again(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "_RETRY_S", 0.0)
    now = alone.clock.now_ms()
    await alone.set_timers(("a", now + 5))

    def fail() -> None:
        raise RuntimeError("the disk failed")

    alone.on_read.extend([fail, fail, fail])
    alone.start()
    await alone.until(lambda: not alone.on_read)
    await alone.quiet()
    alone.move(5)
    await alone.until(lambda: alone.woken == ["a"])


@pytest.mark.parametrize("spread_ms", [0, 1])
async def test_more_timers_than_a_page_holds(alone: Alone, monkeypatch: pytest.MonkeyPatch, spread_ms: int) -> None:
    """Also when all of them fire in one millisecond; and the table is not read over and over until then."""
    monkeypatch.setattr(scheduler_module, "PAGE", 10)
    now = alone.clock.now_ms()
    due = now + 20_000
    await alone.set_timers(*((f"r{number}", due + number * spread_ms) for number in range(35)))
    alone.start()
    await alone.quiet()
    assert alone.reads < 12
    alone.move(20_000 - 1)
    await alone.quiet()
    assert alone.woken == []
    alone.move(1 + 35 * spread_ms)
    await alone.until(lambda: len(alone.woken) >= 35)
    await alone.quiet()
    assert sorted(set(alone.woken)) == sorted(f"r{number}" for number in range(35))
    assert len(alone.woken) == 35, "a timer fired twice"


async def test_told_twice_is_fired_once(alone: Alone) -> None:
    now = alone.clock.now_ms()
    alone.start()
    await alone.quiet()
    await alone.set_timers(("a", now + 5))
    alone.scheduler.add_timer("o", "a", now + 5)
    alone.move(5)
    await alone.until(lambda: alone.woken == ["a"])
    await alone.quiet()
    assert alone.woken == ["a"]


async def test_many_deadlines_are_kept_page_by_page(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "OVERDUE_PAGE", 4)
    now = alone.clock.now_ms()
    for number in range(10):
        await alone.insert_run(f"r{number}", now + number)
    await alone.insert_run("later", now + 1000)
    alone.start()
    alone.move(100)
    await alone.until(lambda: len(alone.expired) == 10)
    await alone.quiet()
    assert sorted(alone.expired) == sorted(f"r{number}" for number in range(10))
