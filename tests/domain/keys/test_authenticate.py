"""Each way a key can be invalid, with the key in the cache and without."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from alloyd.domain.keys.model import IssuedKey, new_raw_key
from alloyd.domain.orgs.model import Organization
from alloyd.errors import AlloydError, Code
from alloyd.principal import Kind, Principal, Role
from tests.identity import World, open_world

PRIVATE = frozenset({"private"})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, cache_max=3) as opened:
        yield opened


@pytest.fixture
async def org(world: World) -> Organization:
    return await world.make_org("acme")


async def test_principal(world: World, org: Organization) -> None:
    issued = await world.issue(org, ["private", "runs:read"], Role.MEMBER)
    assert world.cached(issued) is None
    principal = await world.signed_in(issued, "private")
    assert principal == Principal(
        Kind.KEY, issued.key.id, org.id, Role.MEMBER, frozenset({"private", "runs:read"}), surface="private"
    )
    assert world.cached(issued, "private") == principal
    control = world.cached(issued, "control")
    assert control is not None
    assert control.surface == "control"


Ending = Callable[[World, IssuedKey], Awaitable[object]]


async def _disable(world: World, issued: IssuedKey) -> None:
    await world.keys.disable(world.operator_of(issued.key.org_id), issued.key.id)


async def _revoke(world: World, issued: IssuedKey) -> None:
    await world.keys.revoke(world.operator_of(issued.key.org_id), issued.key.id)


async def _rotate(world: World, issued: IssuedKey) -> None:
    await world.keys.rotate(world.operator_of(issued.key.org_id), issued.key.id)


async def _archive(world: World, issued: IssuedKey) -> None:
    await world.orgs.archive(issued.key.org_id)


async def _expire(world: World, _issued: IssuedKey) -> None:
    world.clock.advance(1000)


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("end", [_disable, _revoke, _rotate, _archive, _expire])
async def test_ended_key_stops_at_once(world: World, org: Organization, end: Ending, warm: bool) -> None:
    issued = await world.issue(org, expires_at=world.clock.now_ms() + 1000)
    if warm:
        await world.signed_in(issued)
        assert world.cached(issued) is not None
    await end(world, issued)
    assert world.cached(issued) is None
    assert await world.signed_in(issued) is None
    assert world.cached(issued) is None


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (_disable, "the key was disabled"),
        (_revoke, "the key was revoked"),
        (_rotate, "the key was rotated"),
        (_archive, "the organization was archived"),
    ],
)
async def test_open_streams_of_an_ended_key_close(world: World, org: Organization, end: Ending, reason: str) -> None:
    issued, other = await world.issue(org), await world.issue(await world.make_org("other"))
    mine = world.hub.open([org.id], tag=issued.key.id)  # the key itself is not cached: the stream outlived that
    theirs = world.hub.open([org.id], tag=other.key.id)
    await end(world, issued)
    assert (mine.closed, theirs.closed) == (reason, None)


async def test_wrong_secret_under_a_known_id(world: World, org: Organization) -> None:
    issued = await world.issue(org)
    raw = issued.raw or ""
    forged = raw[:15] + new_raw_key()[15:]
    for _ in range(2):  # cold, then with the right key cached
        assert world.keys.find_cached(forged, "private", PRIVATE) is None
        assert await world.keys.authenticate(forged, "private", PRIVATE) is None
        assert await world.keys.authenticate(raw, "private", PRIVATE) is not None
    assert world.keys.find_cached(raw, "private", PRIVATE) is not None


async def test_only_the_whole_key_opens_its_cache_entry(world: World, org: Organization) -> None:
    issued = await world.issue(org)
    await world.signed_in(issued)
    raw = issued.raw or ""
    for at in range(len(raw)):
        other = "A" if raw[at] != "A" else "B"
        assert world.keys.find_cached(raw[:at] + other + raw[at + 1 :], "private", PRIVATE) is None


@pytest.mark.parametrize("raw", ["", "x", "alloy_", "alloy_" + "a" * 52, "ä" * 58, "\udcff" * 58, "a" * 100_000])
async def test_malformed(world: World, raw: str) -> None:
    assert world.keys.find_cached(raw, "private", PRIVATE) is None
    assert await world.keys.authenticate(raw, "private", PRIVATE) is None


async def test_surface_wants_a_scope_of_its_own(world: World, org: Organization) -> None:
    issued = await world.issue(org, ["control"])
    raw = issued.raw or ""
    assert await world.keys.authenticate(raw, "private", PRIVATE) is None
    assert await world.keys.authenticate(raw, "control", frozenset({"control"})) is not None
    assert world.keys.find_cached(raw, "private", PRIVATE) is None


async def test_unknown_ids_leave_nothing_behind_and_cost_the_same_look_up(world: World, org: Organization) -> None:
    issued = await world.issue(org)
    known_id_forged = (issued.raw or "")[:15] + new_raw_key()[15:]
    reads = 0
    read = world.database.read

    async def counting(fn: object) -> object:
        nonlocal reads
        reads += 1
        return await read(fn)  # type: ignore[arg-type]

    world.database.read = counting  # type: ignore[method-assign,assignment]
    for raw in (new_raw_key(), known_id_forged):
        before = reads
        assert await world.keys.authenticate(raw, "private", PRIVATE) is None
        assert reads - before == 1
    assert len(world.keys._cache) == 0


async def test_cache_keeps_the_keys_used_last(world: World, org: Organization) -> None:
    issued = [await world.issue(org) for _ in range(4)]
    for one in issued[:3]:
        await world.signed_in(one)
    assert world.cached(issued[0]) is not None  # now the one used last
    await world.signed_in(issued[3])
    assert [world.cached(one) is not None for one in issued] == [True, False, True, True]


async def test_key_revoked_during_its_look_up_is_not_let_in(world: World, org: Organization) -> None:
    issued = await world.issue(org)
    read = world.database.read

    async def late(fn: object) -> object:
        found = await read(fn)  # type: ignore[arg-type]
        world.database.read = read  # type: ignore[method-assign]
        await _revoke(world, issued)
        return found

    world.database.read = late  # type: ignore[method-assign,assignment]
    assert await world.signed_in(issued) is None
    assert world.cached(issued) is None


async def test_endless_changes_end_the_look_up(world: World, org: Organization) -> None:
    issued = await world.issue(org)
    read = world.database.read

    async def changed(fn: object) -> object:
        found = await read(fn)  # type: ignore[arg-type]
        world.keys._cache.drop([])
        return found

    world.database.read = changed  # type: ignore[method-assign,assignment]
    with pytest.raises(AlloydError) as caught:
        await world.signed_in(issued)
    assert (caught.value.code, caught.value.retry_after_s) == (Code.UNAVAILABLE, 1)
