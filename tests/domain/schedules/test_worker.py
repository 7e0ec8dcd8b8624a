"""The loop of schedules in virtual time: each time once, never early, over restarts, long nights and odd clocks."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from alloyd.db import Tx
from alloyd.domain.runs.service import RunSettings
from alloyd.domain.schedules import firing, worker
from alloyd.domain.schedules.model import CreateSchedule, UpdateSchedule
from alloyd.domain.workflows.triggers import Misfire
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import ManualClock
from tests.domain.schedules.conftest import World, ms, open_world

LONG_S = 30.0


async def test_fires_when_it_is_due_and_not_before(world: World) -> None:
    schedule = await world.create("0 9 * * *", payload={"n": 1})
    await world.go_to("2026-01-01T08:59:59.999Z")
    assert await world.fired() == []
    await world.go_to("2026-01-01T09:00:00Z")
    await world.worker.turn()
    assert await world.fired() == ["2026-01-01 09:00"]
    assert await world.next_of(schedule) == "2026-01-02 09:00"
    (told,) = await world.told("schedule.fired")
    assert told["fire_at"] == "2026-01-01T09:00:00.000Z"
    detail = await world.bench.detail(told["run_id"])
    assert detail.run.trigger_kind == "schedule"
    assert detail.run.started_by == "system"
    assert detail.run.payload == {
        "n": 1,
        "schedule": {"id": schedule.id, "name": "flow", "fire_at": "2026-01-01T09:00:00.000Z"},
    }


async def test_a_payload_may_have_a_schedule_of_its_own(world: World) -> None:
    await world.create("0 9 * * *", payload={"schedule": "mine"})
    await world.go_to("2026-01-01T09:00:00Z")
    (told,) = await world.told("schedule.fired")
    assert (await world.bench.detail(told["run_id"])).run.payload == {"schedule": "mine"}


async def test_a_year_of_a_zone_with_its_odd_hours(world: World) -> None:
    """Looked at every six hours: each day's time once, though clocks are put forward and back."""
    await world.create("30 2 * * *", timezone="Europe/Berlin", misfire="all")
    for hours in range(0, 366 * 24, 6):
        when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
        await world.go_to(when.isoformat())
    zone = ZoneInfo("Europe/Berlin")
    shown = [datetime.fromisoformat(f"{time}Z").astimezone(zone) for time in await world.fired()]
    assert len(shown) == 366
    assert len({when.date() for when in shown}) == 366
    assert [f"{when:%m-%d %H:%M}" for when in shown if f"{when:%H:%M}" != "02:30"] == ["03-29 03:00"]


@pytest.mark.parametrize(
    ("misfire", "fired", "missed"),
    [
        ("skip", [], [("2026-01-01T01:00:00.000Z", "2026-01-01T05:00:00.000Z")]),
        ("once", ["2026-01-01 05:00"], [("2026-01-01T01:00:00.000Z", "2026-01-01T04:00:00.000Z")]),
        (
            "all",
            ["2026-01-01 03:00", "2026-01-01 04:00", "2026-01-01 05:00"],
            [("2026-01-01T01:00:00.000Z", "2026-01-01T02:00:00.000Z")],
        ),
    ],
)
async def test_what_was_missed_while_no_daemon_ran(
    tmp_path: Path, misfire: Misfire, fired: list[str], missed: list[tuple[str, str]]
) -> None:
    clock = ManualClock(ms("2026-01-01T00:00:00Z"))
    async with open_world(tmp_path, clock) as world:
        schedule = await world.create("0 * * * *", misfire=misfire)
        await world.worker.turn()
    async with open_world(tmp_path, clock) as world:
        world.bound(missed_runs_max=3)
        await world.go_to("2026-01-01T05:30:00Z")
        await world.worker.turn()
        assert await world.fired() == fired
        assert [(told["from"], told["to"]) for told in await world.told("schedule.missed")] == missed
        assert await world.next_of(schedule) == "2026-01-01 06:00"


async def test_many_schedules_share_writes_and_keep_their_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PAGE", 7)
    workflow_id = await world.publish()
    for minute in range(20):
        await world.create(f"{minute} 9 * * *", workflow_id=workflow_id, misfire="once")
    before = world.bench.database.stats.commits
    await world.go_to("2026-01-01T12:00:00Z")
    assert await world.fired() == [f"2026-01-01 09:{minute:02}" for minute in range(20)]
    assert world.bench.database.stats.commits - before == 3


async def test_a_restart_in_the_middle_fires_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is on disk, and the process ends before anybody hears of it."""
    clock = ManualClock(ms("2026-01-01T00:00:00Z"))

    class KilledError(BaseException):
        pass

    def kill(name: str) -> None:
        if name == "schedule.after_fire":
            raise KilledError

    async with open_world(tmp_path, clock) as world:
        await world.create("0 * * * *")
        with monkeypatch.context() as patch:
            patch.setattr(worker.crash, "reach", kill)
            with pytest.raises(KilledError):
                await world.go_to("2026-01-01T01:00:00Z")
    async with open_world(tmp_path, clock) as world:
        await world.worker.turn()
        assert await world.fired() == ["2026-01-01 01:00"]


async def test_two_daemons_by_mistake_fire_each_time_once(world: World) -> None:
    await world.create("0 * * * *")
    other = worker.ScheduleWorker(
        world.bench.database, world.bench.workflows, world.bench.runs, world.clock, lambda: world.bounds
    )
    for hour in range(1, 10):
        world.clock.advance(3_600_000)
        await asyncio.gather(world.worker.turn(), other.turn())
        assert len(await world.fired()) == hour


@pytest.mark.parametrize("back", ["00:59:58", "00:30:00", "00:00:00"])
async def test_a_clock_that_is_put_back_fires_nothing_twice(world: World, back: str) -> None:
    await world.create("*/10 * * * *", misfire="all")
    for minute in range(1, 61):
        await world.go_to((datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)).isoformat())
    expected = await world.fired()
    assert len(expected) == 6
    await world.go_to(f"2026-01-01T{back}Z")
    start = datetime.fromisoformat(f"2026-01-01T{back}Z")
    for minute in range(80):
        await world.go_to((start + timedelta(minutes=minute)).isoformat())
    fired = await world.fired()
    assert fired[:6] == expected
    assert len(set(fired)) == len(fired)


@pytest.mark.parametrize("restart", [True, False])
async def test_a_clock_that_was_a_year_ahead_silences_nobody(tmp_path: Path, restart: bool) -> None:
    clock = ManualClock(ms("2026-01-01T00:00:00Z"))
    async with open_world(tmp_path, clock) as world:
        for misfire in ("skip", "once"):
            await world.create("0 * * * *", misfire=misfire)
        await world.go_to("2026-01-01T01:00:00Z")
        await world.go_to("2027-01-01T01:30:00Z")
        assert await world.fired() == ["2026-01-01 01:00"] * 2 + ["2027-01-01 01:00"]
        if not restart:
            await world.go_to("2026-01-01T01:30:00Z")
            await world.go_to("2026-01-01T02:00:00Z")
            assert (await world.fired())[3:] == ["2026-01-01 02:00"] * 2
    if restart:
        async with open_world(tmp_path, clock) as world:
            await world.go_to("2026-01-01T01:30:00Z")
            await world.go_to("2026-01-01T02:00:00Z")
            assert (await world.fired())[3:] == ["2026-01-01 02:00"] * 2


async def test_a_clock_put_back_between_look_and_write_makes_nothing_early(world: World) -> None:
    await world.create("0 1 * * *")
    write = world.bench.database.write

    async def put_back_first(fn: object) -> object:
        world.clock.advance(ms("2026-01-01T00:30:00Z") - world.clock.now_ms())
        return await write(fn)  # type: ignore[arg-type]

    await world.worker.turn()
    world.bench.database.write = put_back_first  # type: ignore[method-assign,assignment]
    await world.go_to("2026-01-01T01:00:00Z")
    world.bench.database.write = write  # type: ignore[method-assign]
    assert await world.fired() == []
    await world.go_to("2026-01-01T01:00:00Z")
    assert await world.fired() == ["2026-01-01 01:00"]


async def test_what_changes_between_look_and_write_is_not_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = await world.create("0 1 * * *")
    write = world.bench.database.write
    paused = False

    async def pause_first(fn: object) -> object:
        nonlocal paused
        if not paused:
            paused = True
            await world.schedules.pause(world.acme, schedule.id)
        return await write(fn)  # type: ignore[arg-type]

    await world.worker.turn()
    monkeypatch.setattr(world.bench.database, "write", pause_first)
    await world.go_to("2026-01-01T01:00:00Z")
    assert await world.fired() == []
    assert await world.next_of(schedule) is None


async def test_a_refused_run_is_told_and_the_schedule_goes_on(tmp_path: Path) -> None:
    async with open_world(tmp_path, bounds=RunSettings(queued_per_org_max=0)) as world:
        schedule = await world.create("0 * * * *")
        await world.go_to("2026-01-01T01:00:00Z")
        assert await world.fired() == []
        (told,) = await world.told("schedule.missed")
        assert "queued runs" in told["reason"]
        assert await world.next_of(schedule) == "2026-01-01 02:00"


async def test_a_full_disk_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.create("0 * * * *")

    def full(*_given: object, **_more: object) -> None:
        raise AlloydError(Code.UNAVAILABLE, "nearly full")

    with monkeypatch.context() as patch:
        patch.setattr(world.bench.runs, "start_within", full)
        with pytest.raises(AlloydError):
            await world.go_to("2026-01-01T01:00:00Z")
    await world.worker.turn()
    assert await world.fired() == ["2026-01-01 01:00"]
    assert await world.told("schedule.missed") == []


@pytest.mark.parametrize("error", [AlloydError(Code.CONFLICT, "no good"), ValueError("secret")])
async def test_one_that_fails_keeps_no_other(world: World, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    workflow_id = await world.publish()
    bad = await world.create("0 * * * *", workflow_id=workflow_id, name="bad")
    await world.create("0 * * * *", workflow_id=workflow_id, name="good")
    real = worker.fire

    def fire(tx: Tx, schedule: object, *more: object) -> None:
        real(tx, schedule, *more)  # type: ignore[arg-type]
        if schedule.name == "bad":  # type: ignore[attr-defined]
            raise error

    monkeypatch.setattr(worker, "fire", fire)
    await world.go_to("2026-01-01T01:00:00Z")
    assert await world.fired() == ["2026-01-01 01:00"]
    (told,) = await world.told("schedule.missed")
    assert told["name"] == "bad"
    assert "secret" not in told["reason"]
    assert await world.next_of(bad) == "2026-01-01 02:00"


async def test_a_zone_that_is_known_no_more_is_told(world: World) -> None:
    schedule = await world.create("0 * * * *", timezone="Europe/Berlin")
    await world.bench.database.write(
        lambda tx: tx.execute("UPDATE schedules SET timezone = 'Europe/Atlantis' WHERE org_id <> ''")
    )
    await world.go_to("2026-01-01T01:00:00Z")
    assert await world.fired() == []
    assert len(await world.told("schedule.missed")) == 1
    assert await world.next_of(schedule) is None
    with pytest.raises(AlloydError, match="timezone"):
        await world.schedules.preview(world.acme, schedule.id, 1)
    paused = await world.schedules.pause(world.acme, schedule.id)
    assert not paused.enabled
    await world.schedules.update(world.acme, schedule.id, UpdateSchedule(timezone="UTC", enabled=True))
    assert await world.next_of(schedule) == "2026-01-01 02:00"


async def test_claimed_times_do_not_pile_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "FIRES_KEPT", 5)
    await world.create("* * * * *")
    for minute in range(1, 31):
        await world.go_to((datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)).isoformat())
    kept = await world.bench.database.read(
        lambda conn: conn.execute("SELECT count(*), max(fire_at), count(run_id) FROM schedule_fires").fetchone()
    )
    assert kept == (5, ms("2026-01-01T00:30:00Z"), 5)


async def test_the_loop_sleeps_wakes_and_recovers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_RETRY_S", 0)
    task = asyncio.create_task(world.worker.run())
    fired = world.bench.hub.open({world.acme.org_id}, kinds=frozenset({"schedule.fired"}))
    try:
        await world.create("0 * * * *")
        for _ in range(3):
            world.clock.advance(3_600_000)
            world.worker.wake()
            assert await fired.wait(LONG_S)
            fired.take()
        assert world.worker.alive
        with monkeypatch.context() as patch:
            patch.setattr(worker.store, "list_due", None)
            world.worker.wake()
            async with asyncio.timeout(LONG_S):
                while world.worker.alive:
                    await asyncio.sleep(0)
        world.clock.advance(3_600_000)
        assert await fired.wait(LONG_S)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert len(await world.fired()) == 4


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_no_time_fires_twice_or_early(tmp_path: Path, seed: int) -> None:
    """Restarts, pauses, changes, clocks forward and back, in any order."""
    rng = random.Random(seed)
    clock = ManualClock(ms("2026-03-28T20:00:00Z"))
    async with open_world(tmp_path, clock) as world:
        workflow_id = await world.publish()
        for number in range(4):
            misfire: Misfire = rng.choice(["skip", "once", "all"])
            await world.schedules.create(
                world.acme,
                CreateSchedule(workflow_id, "*/30 * * * *", "Europe/Berlin", f"s{number}", misfire),
            )
    seen = clock.now_ms()
    for _life in range(4):
        async with open_world(tmp_path, clock) as world:
            schedules = [s.id for s in await world.bench.database.read(lambda c: worker.store.list_enabled(c, "", 9))]
            for _ in range(12):
                what = rng.randrange(6)
                if what == 0 and schedules:
                    await world.schedules.pause(world.acme, rng.choice(schedules))
                elif what == 1 and schedules:
                    await world.schedules.resume(world.acme, rng.choice(schedules))
                elif what == 2 and schedules:
                    cron = rng.choice(["*/30 * * * *", "0 * * * *", "15 2 * * *"])
                    await world.schedules.update(world.acme, rng.choice(schedules), UpdateSchedule(cron=cron))
                elif what == 3:
                    clock.advance(-rng.randrange(4 * 3_600_000))
                else:
                    clock.advance(rng.randrange(3 * 3_600_000))
                seen = max(seen, clock.now_ms())
                await world.worker.turn()
    async with open_world(tmp_path, clock) as world:
        rows = await world.bench.database.read(
            lambda conn: conn.execute(
                "SELECT json_extract(payload, '$.schedule.id'), json_extract(payload, '$.schedule.fire_at') FROM runs"
            ).fetchall()
        )
        assert rows
        assert len(set(rows)) == len(rows)
        assert all(ms(fire_at) <= seen for _id, fire_at in rows)
