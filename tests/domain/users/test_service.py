from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from alloyd.domain.idempotency.model import Once
from alloyd.domain.users.model import Membership
from alloyd.domain.users.service import HASHES_AT_ONCE, CreateUser
from alloyd.errors import AlloydError, Code
from alloyd.principal import Role
from tests.identity import PASSWORD, World, open_world

ANN = CreateUser("Ann@Example.com", PASSWORD, "acme", Role.ADMIN)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        await opened.make_org("acme")
        yield opened


async def _hash_of(world: World, user_id: str) -> str:
    row = await world.database.read(
        lambda conn: conn.execute("SELECT password_hash FROM users WHERE id = ?", (user_id,)).fetchone()
    )
    return str(row[0])


async def test_create(world: World) -> None:
    user = await world.users.create(ANN)
    org = await world.orgs.get_by_name("acme")
    assert (user.email, user.display_name, user.platform_admin, user.disabled_at) == (
        "ann@example.com",
        "ann",
        False,
        None,
    )
    assert await world.users.list_memberships(user.id) == [Membership(org.id, user.id, Role.ADMIN)]
    assert await world.users.get_by_name("ANN@example.com") == await world.users.get_by_name(user.id) == user
    told = (await world.told())[-1]
    assert told == ("user.created", user.id, {"role": "admin", "platform_admin": False})


async def test_password_is_argon2id(world: World) -> None:
    user = await world.users.create(ANN)
    stored = await _hash_of(world, user.id)
    assert extract_parameters(stored).type is Type.ID
    assert PasswordHasher().verify(stored, PASSWORD)


async def test_password_is_nowhere_to_be_read(world: World) -> None:
    await world.users.create(ANN, Once("POST /users", "k", "d"))
    files = [path.read_bytes() for path in world.database.path.parent.iterdir()]
    assert not any(PASSWORD.encode() in data for data in files)
    assert PASSWORD not in repr(ANN)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"email": "no"}, Code.BAD_REQUEST, "email"),
        ({"password": "short"}, Code.BAD_REQUEST, "password"),
        ({"display_name": ""}, Code.BAD_REQUEST, "display_name"),
        ({"organization": "nobody"}, Code.NOT_FOUND, None),
        ({"organization": "old"}, Code.CONFLICT, "organization_id"),
        ({"email": "TAKEN@example.com"}, Code.CONFLICT, "email"),
    ],
)
async def test_refused(world: World, change: dict[str, str], code: Code, field: str | None) -> None:
    await world.users.create(replace(ANN, email="taken@example.com"))
    await world.make_org("old")
    await world.orgs.archive("old")
    with pytest.raises(AlloydError) as caught:
        await world.users.create(replace(ANN, **change))
    assert (caught.value.code, caught.value.field) == (code, field)
    assert len(await world.users.list_all(None, 10)) == 1


async def test_copies_at_once_make_one(world: World) -> None:
    once = Once("POST /users", "k", "d")
    made = await asyncio.gather(*(world.users.create(ANN, once) for _ in range(2 * HASHES_AT_ONCE)))
    assert len({user.id for user in made}) == 1
    with pytest.raises(AlloydError, match="idempotency_key"):
        await world.users.create(ANN, replace(once, digest="other"))


async def test_list_of_all_and_of_one_organization(world: World) -> None:
    await world.make_org("other")
    ann = await world.users.create(ANN)
    bob = await world.users.create(replace(ANN, email="bob@example.com", organization="other"))
    eve = await world.users.create(replace(ANN, email="eve@example.com"))
    assert await world.users.list_all(None, 10) == [eve, bob, ann]
    assert await world.users.list_all(None, 10, bob.id) == [ann]
    assert await world.users.list_all("acme", 1) == [eve]
    assert await world.users.list_all("acme", 10, eve.id) == [ann]
    with pytest.raises(AlloydError, match="organization not found"):
        await world.users.list_all("nobody", 10)


async def test_set_password(world: World) -> None:
    user = await world.users.create(ANN)
    await world.users.set_password("ann@example.com", "another long one")
    assert PasswordHasher().verify(await _hash_of(world, user.id), "another long one")
    assert (await world.told())[-1] == ("user.password_changed", user.id, {})
    with pytest.raises(AlloydError, match="password"):
        await world.users.set_password(user.id, "short")
    with pytest.raises(AlloydError, match="user not found"):
        await world.users.set_password("nobody@example.com", PASSWORD)


async def test_disable_closes_streams_once(world: World) -> None:
    user = await world.users.create(ANN)
    org = await world.orgs.get_by_name("acme")
    reader = world.hub.open([org.id], tag=user.id)
    disabled = await world.users.disable("ann@example.com")
    assert disabled.disabled_at == world.clock.now_ms()
    assert reader.closed == "the user was disabled"
    world.clock.advance(5)
    assert await world.users.disable(user.id) == disabled
    assert (await world.kinds()).count("user.disabled") == 1
    with pytest.raises(AlloydError, match="user not found"):
        await world.users.disable("nobody@example.com")
