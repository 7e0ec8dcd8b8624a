"""Memberships: who may change them, what never happens, and who is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from alloyd.db import Tx
from alloyd.domain.idempotency.model import Once
from alloyd.domain.users import members as door
from alloyd.domain.users.members import Members
from alloyd.domain.users.model import Member, User
from alloyd.errors import AlloydError, Code
from alloyd.principal import SCOPES, Kind, Principal, Role
from tests.identity import World, open_world

RANKS = [Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        await opened.make_org("acme")
        yield opened


@pytest.fixture
async def owner(world: World) -> User:
    return await world.make_user("owner", role=Role.OWNER)


async def _as(world: World, role: Role) -> Principal:
    return Principal(Kind.USER, "caller", (await world.orgs.get_by_name("acme")).id, role, SCOPES)


async def _refused(awaited: Awaitable[Any]) -> tuple[Code, str]:
    with pytest.raises(AlloydError) as caught:
        await awaited
    return caught.value.code, caught.value.message


async def _members(world: World, slug: str = "acme") -> list[tuple[str, Role]]:
    org = await world.orgs.get_by_name(slug)
    principal = Principal(Kind.USER, "caller", org.id, Role.OWNER, SCOPES)
    return [(member.user_id, member.role) for member in await world.users.members.list_all(principal, 100)]


async def test_add(world: World, owner: User) -> None:
    other = await world.make_org("other")
    told: list[str] = []
    world.users.members.on_change(told.append)
    reader = world.hub.open({"any"}, tag=owner.id)
    await world.join(owner, "other", Role.VIEWER)
    assert await _members(world, "other") == [(owner.id, Role.VIEWER)]
    assert (await world.told())[-1] == ("member.added", owner.id, {"role": "viewer"})
    assert told == [owner.id]
    assert reader.closed == "the memberships changed"
    found = await world.database.read(lambda conn: door.find_membership(conn, other.id, owner.id))
    assert found is not None
    assert found.role is Role.VIEWER
    assert await world.database.read(lambda conn: door.find_membership(conn, other.id, "nobody")) is None


async def test_refused_adds(world: World, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    members, acme = world.users.members, (await world.orgs.get_by_name("acme")).id
    other = (await world.make_org("other")).id
    old = (await world.make_org("old")).id
    await world.orgs.archive(old)

    async def add(org_id: str, user_id: str) -> tuple[Code, str]:
        return await _refused(world.database.write(lambda tx: members.add(tx, org_id, user_id, Role.MEMBER)))

    assert await add(acme, owner.id) == (Code.CONFLICT, "the user is a member already")
    assert await add(other, "nobody") == (Code.NOT_FOUND, "user not found")
    assert await add("nowhere", owner.id) == (Code.NOT_FOUND, "organization not found")
    assert await add(old, owner.id) == (Code.CONFLICT, "the organization is archived")
    monkeypatch.setattr(door, "MEMBERSHIPS_PER_USER_MAX", 1)
    assert await add(other, owner.id) == (Code.CONFLICT, "a user belongs to at most 1 organizations")
    assert (await world.kinds()).count("member.added") == 0


async def test_list_is_by_the_time_of_joining(world: World, owner: User) -> None:
    world.clock.advance(1000)
    others = [await world.make_user(name, role=Role.VIEWER) for name in ("b", "a", "c")]
    await world.users.disable(others[0].id)
    principal, members = await _as(world, Role.VIEWER), world.users.members
    found = await members.list_all(principal, 10)
    wanted = [*sorted((user.id for user in others), reverse=True), owner.id]
    assert [member.user_id for member in found] == wanted
    assert found[-1] == Member(
        owner.id, owner.email, owner.display_name, Role.OWNER, world.clock.now_ms() - 1000, disabled=False
    )
    assert [member.user_id for member in found if member.disabled] == [others[0].id]
    walked: list[Member] = []
    while page := await members.list_all(principal, 1, (walked[-1].joined_at, walked[-1].user_id) if walked else None):
        walked += page
    assert walked == found


async def test_nobody_rules_or_grants_above_their_own_role(world: World, owner: User) -> None:
    user, acme, members = await world.make_user("ann"), await world.orgs.get_by_name("acme"), world.users.members

    def reset(tx: Tx, role: Role) -> None:
        if door.find_membership(tx.conn, acme.id, user.id) is not None:
            members.remove(tx, acme.id, user.id)
        members.add(tx, acme.id, user.id, role)

    for mine, theirs, wanted in product(RANKS, RANKS, RANKS):
        await world.database.write(lambda tx, role=theirs: reset(tx, role))
        before = (await world.kinds()).count("member.role_changed")
        principal = await _as(world, mine)
        if mine.includes(theirs) and mine.includes(wanted):
            assert (await members.set_role(principal, user.id, wanted)).role is wanted
            assert (await world.kinds()).count("member.role_changed") - before == (wanted is not theirs)
        else:
            refused = await _refused(members.set_role(principal, user.id, wanted))
            assert refused == (Code.FORBIDDEN, "role: above your own")
        now = dict(await _members(world))[user.id]
        if mine.includes(now):
            assert (await members.expel(principal, user.id)).role is now
            assert user.id not in dict(await _members(world))
        else:
            assert (await _refused(members.expel(principal, user.id)))[0] is Code.FORBIDDEN
            assert user.id in dict(await _members(world))


async def test_never_without_an_owner(world: World, owner: User) -> None:
    principal, members = await _as(world, Role.OWNER), world.users.members
    message = "an organization keeps at least one owner: make another member owner first"
    second = await world.make_user("second", role=Role.OWNER)
    await world.users.disable(second.id)  # who can't sign in is no owner to rely on
    assert await _refused(members.expel(principal, owner.id)) == (Code.CONFLICT, message)
    assert await _refused(members.set_role(principal, owner.id, Role.ADMIN)) == (Code.CONFLICT, message)
    assert (await members.set_role(principal, owner.id, Role.OWNER)).role is Role.OWNER
    await members.expel(principal, second.id)
    third = await world.make_user("third", role=Role.OWNER)
    await members.set_role(principal, owner.id, Role.ADMIN)
    assert await _refused(members.expel(principal, third.id)) == (Code.CONFLICT, message)


async def test_other_organizations_are_not_touched(world: World, owner: User) -> None:
    await world.make_org("other")
    stranger = await world.make_user("stranger", "other", Role.OWNER)
    principal, members = await _as(world, Role.OWNER), world.users.members
    for user_id in (stranger.id, "nobody", ""):
        assert await _refused(members.expel(principal, user_id)) == (Code.NOT_FOUND, "member not found")
        assert await _refused(members.set_role(principal, user_id, Role.VIEWER)) == (Code.NOT_FOUND, "member not found")
    await world.join(stranger, "acme", Role.VIEWER)
    await members.set_role(principal, stranger.id, Role.MEMBER)
    await members.expel(principal, stranger.id)
    assert await _members(world, "other") == [(stranger.id, Role.OWNER)]


async def test_leaving_runs_the_hooks_in_the_same_transaction(world: World, owner: User) -> None:
    user = await world.make_user("ann")
    seen: list[tuple[str, str]] = []

    def refuse(_tx: Tx, org_id: str, user_id: str) -> None:
        seen.append((org_id, user_id))
        raise AlloydError(Code.CONFLICT, "no")

    world.users.members.on_leave(refuse)
    principal = await _as(world, Role.OWNER)
    assert (await _refused(world.users.members.expel(principal, user.id)))[1] == "no"
    assert seen == [(principal.org_id, user.id)]
    assert user.id in dict(await _members(world))


async def test_archived_organization_changes_no_more(world: World, owner: User) -> None:
    user, principal, members = await world.make_user("ann"), await _as(world, Role.OWNER), world.users.members
    told: list[str] = []
    members.on_change(told.append)
    readers = [world.hub.open({"any"}, tag=tag) for tag in (user.id, owner.id, "stranger")]
    await world.orgs.archive("acme")
    assert sorted(told) == sorted([user.id, owner.id])
    assert [bool(reader.closed) for reader in readers] == [True, True, False]
    for attempt in (members.expel(principal, user.id), members.set_role(principal, user.id, Role.VIEWER)):
        assert await _refused(attempt) == (Code.CONFLICT, "the organization is archived")


async def test_found_an_organization(world: World, owner: User) -> None:
    once = Once("POST /organizations", "k", "digest")
    made = await world.users.found_organization(owner.id, "mine", "Mine", once)
    assert await world.users.found_organization(owner.id, "mine", "Mine", once) == made
    assert await _members(world, "mine") == [(owner.id, Role.OWNER)]
    assert (await world.kinds())[-2:] == ["organization.created", "member.added"]
    ann = await world.make_user("ann")
    for slug, name, code in (
        ("mine", "Taken", Code.CONFLICT),
        ("acme", "Taken", Code.CONFLICT),
        ("No Slug", "x", Code.BAD_REQUEST),
        ("fine", "", Code.BAD_REQUEST),
    ):
        assert (await _refused(world.users.found_organization(ann.id, slug, name)))[0] is code
    # The same key of another user is another request.
    assert (await world.users.found_organization(ann.id, "hers", "Hers", once)).slug == "hers"


async def test_a_rolled_back_change_is_not_told(world: World, owner: User) -> None:
    other = await world.make_org("other")
    told: list[str] = []
    members: Members = world.users.members
    members.on_change(told.append)
    reader = world.hub.open({"any"}, tag=owner.id)

    def write(tx: Tx) -> None:
        members.add(tx, other.id, owner.id, Role.MEMBER)
        raise AlloydError(Code.CONFLICT, "no")

    assert (await _refused(world.database.write(write)))[1] == "no"
    assert (told, reader.closed) == ([], None)
