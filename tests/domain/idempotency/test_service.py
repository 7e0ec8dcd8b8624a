from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alloyd.db import Database, Tx
from alloyd.db.migrate import migrate
from alloyd.domain.idempotency import service
from alloyd.domain.idempotency.model import check_key
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import ManualClock

HOUR_MS = 3_600_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def database(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Database]:
    migrate(tmp_path / "alloyd.db")
    opened = await Database.open(tmp_path / "alloyd.db", clock)
    yield opened
    await opened.close()


async def _claim(
    database: Database, key: str = "k", digest: str = "d", org: str = "o", route: str = "r"
) -> bytes | None:
    return await database.write(lambda tx: service.claim(tx, org, route, key, digest))


async def _record(database: Database, key: str = "k") -> None:
    await database.write(lambda tx: service.record(tx, "o", "r", key, "d", b'{"id":"1"}'))


async def test_answer_comes_back(database: Database) -> None:
    assert await _claim(database) is None
    await _record(database)
    assert await _claim(database) == b'{"id":"1"}'


@pytest.mark.parametrize("other", [{"org": "p"}, {"route": "s"}, {"key": "l"}])
async def test_keys_are_apart_by_organization_route_and_key(database: Database, other: dict[str, str]) -> None:
    await _record(database)
    assert await _claim(database, **other) is None


async def test_other_request_under_the_same_key(database: Database) -> None:
    await _record(database)
    with pytest.raises(AlloydError) as caught:
        await _claim(database, digest="e")
    assert (caught.value.code, caught.value.field) == (Code.CONFLICT, "idempotency_key")


async def test_failed_request_leaves_no_memory(database: Database) -> None:
    def fail(tx: Tx) -> None:
        service.record(tx, "o", "r", "k", "d", b"{}")
        raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        await database.write(fail)
    assert await _claim(database) is None


async def test_a_hundred_at_once_take_effect_once(database: Database) -> None:
    done = []

    def make(tx: Tx) -> bytes:
        answer = service.claim(tx, "o", "r", "k", "d")
        if answer is None:
            done.append(1)
            answer = b'{"id":"1"}'
            service.record(tx, "o", "r", "k", "d", answer)
        return answer

    assert set(await asyncio.gather(*(database.write(make) for _ in range(100)))) == {b'{"id":"1"}'}
    assert len(done) == 1


async def test_memory_outlives_a_restart(tmp_path: Path, clock: ManualClock, database: Database) -> None:
    await _record(database)
    await database.close()
    again = await Database.open(tmp_path / "alloyd.db", clock)
    assert await _claim(again) == b'{"id":"1"}'
    await again.close()


async def test_purge_takes_the_oldest_but_none_under_a_day(database: Database, clock: ManualClock) -> None:
    for key in ("a", "b", "c"):
        await _record(database, key)
        clock.advance(HOUR_MS)

    async def purge(limit: int) -> int:
        return await database.write(lambda tx: service.purge(tx, clock.now_ms(), limit))

    assert await purge(10) == 0
    clock.advance(21 * HOUR_MS + 1)  # a is over 24 h old, b over 23
    assert await purge(10) == 1
    assert await _claim(database, "a") is None
    assert await _claim(database, "b") is not None
    clock.advance(24 * HOUR_MS)
    assert [await purge(1), await purge(1), await purge(1)] == [1, 1, 0]


@pytest.mark.parametrize("key", ["a", "x" * 255, "!~-_:/"])
def test_key(key: str) -> None:
    assert check_key(key, "idempotency_key") == key


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "a\n", "a\x00", "ä", "\udcff"])
def test_refused_key_names_its_field(key: str) -> None:
    with pytest.raises(AlloydError) as caught:
        check_key(key, "Idempotency-Key")
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "Idempotency-Key")
