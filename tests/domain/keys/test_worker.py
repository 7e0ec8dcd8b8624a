from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alloyd.domain.keys.worker import KeyWorker
from alloyd.domain.orgs.model import Organization
from alloyd.errors import AlloydError, Code
from tests.identity import World, open_world

FLUSH_S = 60


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, cache_max=2) as opened:
        yield opened


@pytest.fixture
async def org(world: World) -> Organization:
    return await world.make_org("acme")


@pytest.fixture
def worker(world: World) -> KeyWorker:
    made = KeyWorker(world.keys, world.clock, FLUSH_S)
    made._flush_at_ms = world.clock.now_ms() + FLUSH_S * 1000
    return made


async def _stored(world: World) -> dict[str, int | None]:
    rows = await world.database.read(lambda conn: conn.execute("SELECT id, last_used_at FROM api_keys").fetchall())
    return dict(rows)


async def test_uses_are_written_in_one_write_at_their_time(world: World, org: Organization, worker: KeyWorker) -> None:
    keys = [await world.issue(org) for _ in range(2)]
    for issued in keys:
        await world.signed_in(issued)
    writes = world.database.stats.writes
    for _ in range(100):
        assert all(world.cached(issued) for issued in keys)
    assert await worker.turn() == FLUSH_S
    assert set((await _stored(world)).values()) == {None}
    world.clock.advance(FLUSH_S * 1000)
    used_at = world.clock.now_ms()
    assert all(world.cached(issued) for issued in keys)
    assert await worker.turn() == FLUSH_S
    assert set((await _stored(world)).values()) == {used_at}
    assert world.database.stats.writes == writes + 1
    world.clock.advance(FLUSH_S * 1000)
    await worker.turn()
    assert world.database.stats.writes == writes + 1  # nothing was used since


async def test_key_that_left_the_cache_keeps_its_use(world: World, org: Organization, worker: KeyWorker) -> None:
    for _ in range(3):
        issued = await world.issue(org)
        await world.signed_in(issued)
    assert world.keys.changed.is_set()  # more uses wait than the cache holds: written down at once
    await worker.turn()
    assert list((await _stored(world)).values()) == [world.clock.now_ms()] * 3


async def test_last_use_is_shown_before_it_is_written(world: World, org: Organization) -> None:
    issued = await world.issue(org)
    operator = world.operator_of(org.id)
    assert (await world.keys.get(operator, issued.key.id)).last_used_at is None
    await world.signed_in(issued)
    assert (await world.keys.get(operator, issued.key.id)).last_used_at == world.clock.now_ms()
    assert (await world.keys.list_all(operator, 1))[0].last_used_at == world.clock.now_ms()


async def test_refused_key_counts_as_no_use(world: World, org: Organization) -> None:
    issued = await world.issue(org, ["control"])
    assert await world.keys.authenticate(issued.raw or "", "private", frozenset({"private"})) is None
    assert await world.keys.flush_last_used() == 0


async def test_uses_that_the_disk_refused_are_kept(world: World, org: Organization) -> None:
    await world.signed_in(await world.issue(org))
    write = world.database.write

    async def full(_fn: object) -> None:
        raise AlloydError(Code.UNAVAILABLE, "the disk is full")

    world.database.write = full  # type: ignore[method-assign,assignment]
    with pytest.raises(AlloydError):
        await world.keys.flush_last_used()
    world.database.write = write  # type: ignore[method-assign]
    assert await world.keys.flush_last_used() == 1


async def test_streams_of_an_expired_key_close(world: World, org: Organization, worker: KeyWorker) -> None:
    issued = await world.issue(org, expires_at=world.clock.now_ms() + 5000)
    later = await world.issue(org, expires_at=world.clock.now_ms() + 9000)
    streams = [world.hub.open([org.id], tag=one.key.id) for one in (issued, later)]
    assert world.keys.changed.is_set()  # the worker wakes for the new expiry
    assert await worker.turn() == 5.0
    world.clock.advance(4999)
    await worker.turn()
    assert [stream.closed for stream in streams] == [None, None]
    world.clock.advance(1)
    assert await worker.turn() == 4.0
    assert [stream.closed for stream in streams] == ["the key expired", None]


async def test_loop_runs_and_flushes_at_the_end(world: World, org: Organization) -> None:
    worker = KeyWorker(world.keys, world.clock, FLUSH_S)
    worker.start()
    issued = await world.issue(org, expires_at=world.clock.now_ms() + 1000)
    stream = world.hub.open([org.id], tag=issued.key.id)
    await world.signed_in(issued)
    world.clock.advance(1000)
    world.keys.changed.set()
    async with asyncio.timeout(10):
        assert await stream.wait(10)
    assert stream.closed == "the key expired"
    await worker.stop()
    assert (await _stored(world))[issued.key.id] == world.clock.now_ms() - 1000


@pytest.mark.parametrize("fault", [AlloydError(Code.UNAVAILABLE, "the disk is full"), ValueError("unforeseen")])
async def test_loop_outlives_a_fault(world: World, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    turns: list[bool] = []
    done = asyncio.Event()
    worker = KeyWorker(world.keys, world.clock, FLUSH_S)

    async def turn() -> float:
        turns.append(True)
        world.keys.changed.clear()
        if len(turns) == 1:
            world.keys.changed.set()
            raise fault
        done.set()
        return FLUSH_S

    monkeypatch.setattr(worker, "turn", turn)
    worker.start()
    async with asyncio.timeout(10):
        await done.wait()
    await worker.stop()
