"""Keys that are bound to a teammate: its channel is all that they open."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alloyd.domain.keys.model import CreateKey, IssuedKey
from alloyd.domain.orgs.model import Organization
from alloyd.errors import AlloydError, Code, not_found
from alloyd.principal import SCOPES, Kind, Principal, Role
from alloyd.wire.auth import SURFACE_ACCEPTS
from tests.identity import World, open_world

MATE, OTHER = "mate-1", "mate-2"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
async def org(world: World) -> Organization:
    """An organization with the teammates :data:`MATE` and :data:`OTHER`."""
    org = await world.make_org("acme")

    def require(_conn: sqlite3.Connection, org_id: str, id_: str) -> None:
        if org_id != org.id or id_ not in (MATE, OTHER):
            raise not_found("teammate")

    world.keys.bind_to(require)
    return org


async def _bind(world: World, org: Organization, teammate_id: str = MATE, role: Role = Role.MEMBER) -> IssuedKey:
    new = CreateKey("bound", role=role, teammate_id=teammate_id)
    return await world.keys.create(world.operator_of(org.id), new)


async def _opens(world: World, issued: IssuedKey) -> set[str]:
    """The surfaces that let the key in, asked twice each: from the database, and from the cache."""
    raw, opened = issued.raw or "", set()
    for surface, accepts in SURFACE_ACCEPTS.items():
        waited = await world.keys.authenticate(raw, surface, accepts)
        assert (world.keys.find_cached(raw, surface, accepts) is None) is (waited is None), surface
        if waited is not None:
            opened.add(surface)
    return opened


async def test_opens_the_channel_alone(world: World, org: Organization) -> None:
    issued = await _bind(world, org, role=Role.OWNER)
    assert issued.key.teammate_id == MATE
    assert issued.key.scopes == ("channel",)
    assert await _opens(world, issued) == {"channel"}
    assert await world.keys.authenticate(issued.raw or "", "control", SCOPES) is None
    principal = await world.keys.authenticate(issued.raw or "", "channel", SURFACE_ACCEPTS["channel"])
    assert principal is not None
    assert (principal.teammate_id, principal.org_id, principal.surface) == (MATE, org.id, "channel")
    assert principal.may("teammate.message")


async def test_what_a_row_says_does_not_widen_it(world: World, org: Organization) -> None:
    issued = await _bind(world, org)
    await world.database.write(
        lambda tx: tx.execute(
            "UPDATE api_keys SET scopes = ? WHERE org_id = ? AND id = ?", ('["control"]', org.id, issued.key.id)
        )
    )
    assert await _opens(world, issued) == {"channel"}


async def test_private_scope_opens_every_teammates_channel(world: World, org: Organization) -> None:
    private, control = await world.issue(org, ["private"]), await world.issue(org, ["control", "embedded"])
    assert await _opens(world, private) == {"private", "channel"}
    assert await _opens(world, control) == {"control", "embedded"}
    channel = world.keys.find_cached(private.raw or "", "channel", SURFACE_ACCEPTS["channel"])
    assert channel is not None
    assert channel.teammate_id is None
    assert channel.may("teammate.message")
    on_private = world.keys.find_cached(private.raw or "", "private", SURFACE_ACCEPTS["private"])
    assert on_private is not None
    assert on_private.scopes == {"private"}


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ({"control"}, True),
        ({"private", "keys:write"}, True),
        ({"keys:write", "teammates:message"}, True),
        ({"keys:write"}, False),
    ],
)
async def test_who_may_not_talk_to_a_teammate_makes_no_key_for_it(
    world: World, org: Organization, scopes: set[str], allowed: bool
) -> None:
    caller = Principal(Kind.KEY, "k", org.id, Role.ADMIN, frozenset(scopes))
    if allowed:
        assert (await world.keys.create(caller, CreateKey("bound", teammate_id=MATE))).key.teammate_id == MATE
        return
    with pytest.raises(AlloydError) as refused:
        await world.keys.create(caller, CreateKey("bound", teammate_id=MATE))
    assert (refused.value.code, refused.value.field) == (Code.FORBIDDEN, "teammate_id")


@pytest.mark.parametrize(
    ("new", "code", "field"),
    [
        (CreateKey("k", teammate_id="nobody"), Code.NOT_FOUND, None),
        (CreateKey("k", ("private",), teammate_id=MATE), Code.BAD_REQUEST, "scopes"),
        (CreateKey("k", team_id="t", teammate_id=MATE), Code.BAD_REQUEST, "teammate_id"),
    ],
)
async def test_refused(world: World, org: Organization, new: CreateKey, code: Code, field: str | None) -> None:
    for owner in (org, await world.make_org("other")):
        with pytest.raises(AlloydError) as refused:
            await world.keys.create(world.operator_of(owner.id), new)
        assert (refused.value.code, refused.value.field) == (code, field)
        assert await world.keys.list_all(world.operator_of(owner.id), 10) == []


async def test_nothing_is_bound_where_nobody_knows_teammates(world: World) -> None:
    org = await world.make_org("acme")
    with pytest.raises(AlloydError, match="teammate not found"):
        await _bind(world, org)


async def test_rotated_stays_bound(world: World, org: Organization) -> None:
    issued = await _bind(world, org)
    rotated = await world.keys.rotate(world.operator_of(org.id), issued.key.id)
    assert (rotated.key.teammate_id, rotated.key.scopes) == (MATE, ("channel",))
    assert await _opens(world, rotated) == {"channel"}
    assert await _opens(world, issued) == set()


async def test_ends_with_its_teammate(world: World, org: Organization) -> None:
    mine, ended, others = await _bind(world, org), await _bind(world, org), await _bind(world, org, OTHER)
    unbound = await world.issue(org)
    operator = world.operator_of(org.id)
    await world.keys.revoke(operator, ended.key.id)
    for issued in (mine, others):
        assert await _opens(world, issued) == {"channel"}
    before = await world.told()
    await world.database.write(lambda tx: world.keys.end_of_teammate(tx, org.id, MATE))
    payload = {"name": "bound", "teammate_id": MATE}
    assert (await world.told())[len(before) :] == [("api_key.revoked", mine.key.id, payload)]
    assert await _opens(world, mine) == set()
    assert await _opens(world, others) == {"channel"}
    assert await _opens(world, unbound) == {"private", "control", "channel"}
    assert (await world.keys.get(operator, mine.key.id)).revoked_at is not None


async def test_a_failing_delete_ends_no_key(world: World, org: Organization) -> None:
    issued = await _bind(world, org)

    def fail(tx: object) -> None:
        world.keys.end_of_teammate(tx, org.id, MATE)  # type: ignore[arg-type]
        raise not_found("teammate")

    with pytest.raises(AlloydError):
        await world.database.write(fail)
    assert await _opens(world, issued) == {"channel"}
