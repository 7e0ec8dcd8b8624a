from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from alloyd.domain.idempotency.model import Once
from alloyd.domain.keys import model
from alloyd.domain.keys.model import GRACE_MS_MAX, CreateKey, KeyState
from alloyd.domain.orgs.model import Organization
from alloyd.domain.teams.service import TeamService
from alloyd.errors import AlloydError, Code
from alloyd.kit.ids import new_id
from alloyd.principal import Principal, Role
from tests.identity import World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
async def org(world: World) -> Organization:
    return await world.make_org("acme")


async def _caller(world: World, org: Organization, role: Role, *scopes: str) -> Principal:
    principal = await world.signed_in(await world.issue(org, scopes or ["control"], role))
    assert principal is not None
    return principal


async def test_create(world: World, org: Organization) -> None:
    admin = await _caller(world, org, Role.ADMIN)
    new = CreateKey("deploy", ("runs:read",), Role.MEMBER, world.clock.now_ms() + 5, "for CI")
    issued = await world.keys.create(admin, new)
    key = issued.key
    assert (key.name, key.description, key.scopes, key.role, key.created_by) == (
        "deploy",
        "for CI",
        ("runs:read",),
        Role.MEMBER,
        admin.id,
    )
    assert issued.raw is not None
    assert issued.raw.startswith(f"{key.prefix}_")
    assert await world.keys.get(admin, key.id) == key
    payload = {"name": "deploy", "role": "member", "scopes": ["runs:read"], "created_by": admin.id}
    assert (await world.told())[-1] == ("api_key.created", key.id, payload)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"name": ""}, Code.BAD_REQUEST, "name"),
        ({"name": "x" * 201}, Code.BAD_REQUEST, "name"),
        ({"description": "a\x00b"}, Code.BAD_REQUEST, "description"),
        ({"scopes": ("nothing",)}, Code.BAD_REQUEST, "scopes[0]"),
        ({"scopes": ("private",)}, Code.FORBIDDEN, "scopes"),
        ({"role": Role.OWNER}, Code.FORBIDDEN, "role"),
        ({"expires_at": 5}, Code.BAD_REQUEST, "expires_at"),
    ],
)
async def test_refused_create(
    world: World, org: Organization, change: dict[str, object], code: Code, field: str
) -> None:
    admin = await _caller(world, org, Role.ADMIN)
    with pytest.raises(AlloydError) as caught:
        await world.keys.create(admin, replace(CreateKey("k", ("control",)), **change))  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.field) == (code, field)
    assert len(await world.keys.list_all(admin, 10)) == 1


async def test_no_key_in_an_archived_organization(world: World, org: Organization) -> None:
    await world.orgs.archive("acme")
    with pytest.raises(AlloydError, match="archived"):
        await world.issue(org)


async def test_organization_has_so_many_working_keys(
    world: World, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "KEYS_PER_ORG_MAX", 2)
    first = await world.issue(org)
    await world.issue(org)
    with pytest.raises(AlloydError, match="at most 2"):
        await world.issue(org)
    await world.keys.revoke(world.operator_of(org.id), first.key.id)
    await world.issue(org)


async def test_id_in_use_is_drawn_again(world: World, org: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await world.issue(org)
    drawn = iter([first.raw, model.new_raw_key()])
    monkeypatch.setattr(model, "new_raw_key", lambda: next(drawn))
    second = await world.issue(org)
    assert second.key.key_id != first.key.key_id


async def test_repeat_answers_with_the_key_but_never_its_secret(world: World, org: Organization) -> None:
    operator, once = world.operator_of(org.id), Once("POST /api-keys", "k", "d")
    made = await asyncio.gather(*(world.keys.create(operator, CreateKey("k"), once) for _ in range(100)))
    assert len({issued.key.id for issued in made}) == 1
    assert len([issued for issued in made if issued.raw is not None]) == 1
    assert (await world.kinds()).count("api_key.created") == 1
    with pytest.raises(AlloydError, match="idempotency_key"):
        await world.keys.create(operator, CreateKey("k"), replace(once, digest="e"))


async def test_list_is_newest_first_pages_and_keeps_ended_ones(world: World, org: Organization) -> None:
    operator = world.operator_of(org.id)
    made = [(await world.issue(org)).key.id for _ in range(5)]
    await world.issue(await world.make_org("other"))
    await world.keys.revoke(operator, made[2])
    first = await world.keys.list_all(operator, 3)
    rest = await world.keys.list_all(operator, 3, first[-1].id)
    assert [key.id for key in [*first, *rest]] == made[::-1]
    assert first[2].state(world.clock.now_ms()) is KeyState.REVOKED


@pytest.mark.parametrize("verb", ["get", "disable", "revoke", "rotate"])
async def test_another_organizations_key_is_not_there(world: World, org: Organization, verb: str) -> None:
    theirs = await world.issue(await world.make_org("other"))
    messages = set()
    for id_ in (theirs.key.id, new_id()):
        with pytest.raises(AlloydError) as caught:
            await getattr(world.keys, verb)(world.operator_of(org.id), id_)
        messages.add((caught.value.code, caught.value.message))
    assert messages == {(Code.NOT_FOUND, "api key not found")}
    assert await world.signed_in(theirs) is not None


@pytest.mark.parametrize("verb", ["disable", "revoke", "rotate"])
async def test_nobody_ends_or_renews_a_key_above_themselves(world: World, org: Organization, verb: str) -> None:
    owners = await world.issue(org, ["control"], Role.OWNER)
    admin = await _caller(world, org, Role.ADMIN)
    with pytest.raises(AlloydError) as caught:
        await getattr(world.keys, verb)(admin, owners.key.id)
    assert (caught.value.code, caught.value.field) == (Code.FORBIDDEN, "role")
    assert await world.signed_in(owners) is not None


async def test_nobody_renews_a_key_with_scopes_they_lack(world: World, org: Organization) -> None:
    issued = await world.issue(org, ["private"], Role.MEMBER)
    admin = await _caller(world, org, Role.ADMIN)
    with pytest.raises(AlloydError) as caught:
        await world.keys.rotate(admin, issued.key.id)
    assert (caught.value.code, caught.value.field) == (Code.FORBIDDEN, "scopes")


@pytest.mark.parametrize("verb", ["disable", "revoke", "rotate"])
async def test_the_service_asks_for_the_right_too(world: World, org: Organization, verb: str) -> None:
    issued = await world.issue(org, ["control"], Role.MEMBER)
    reader = await _caller(world, org, Role.ADMIN, "keys:read")
    with pytest.raises(AlloydError) as caught:
        await getattr(world.keys, verb)(reader, issued.key.id)
    assert caught.value.code is Code.FORBIDDEN


async def test_disable_and_revoke_are_told_once(world: World, org: Organization) -> None:
    operator, issued = world.operator_of(org.id), await world.issue(org)
    disabled = await world.keys.disable(operator, issued.key.id)
    assert disabled.state(world.clock.now_ms()) is KeyState.DISABLED
    world.clock.advance(1)
    assert await world.keys.disable(operator, issued.key.id) == disabled
    revoked = await world.keys.revoke(operator, issued.key.id)
    assert revoked.state(world.clock.now_ms()) is KeyState.REVOKED
    world.clock.advance(1)
    assert await world.keys.revoke(operator, issued.key.id) == revoked
    with pytest.raises(AlloydError) as caught:
        await world.keys.disable(operator, issued.key.id)
    assert caught.value.code is Code.CONFLICT
    assert (await world.told())[2:] == [
        ("api_key.disabled", issued.key.id, {"name": "test"}),
        ("api_key.revoked", issued.key.id, {"name": "test"}),
    ]


async def test_rotate_with_grace(world: World, org: Organization) -> None:
    ends_at = world.clock.now_ms() + 100_000
    old = await world.issue(org, ["private"], Role.MEMBER, expires_at=ends_at, description="d")
    await world.signed_in(old)
    stream = world.hub.open([org.id], tag=old.key.id)
    new = await world.keys.rotate(world.operator_of(org.id), old.key.id, grace_ms=1000)
    assert replace(new.key, id=old.key.id, key_id=old.key.key_id, created_at=old.key.created_at) == replace(
        old.key, created_by="operator"
    )
    assert await world.signed_in(new) is not None
    assert await world.signed_in(old) is not None
    assert stream.closed is None
    assert (await world.told())[-2][:2] == ("api_key.created", new.key.id)
    assert (await world.told())[-1] == ("api_key.rotated", old.key.id, {"name": "test", "replaced_by": new.key.id})
    world.clock.advance(1000)
    assert world.cached(old) is None
    assert await world.signed_in(old) is None
    assert await world.signed_in(new) is not None


async def test_grace_does_not_lengthen_a_life(world: World, org: Organization) -> None:
    operator = world.operator_of(org.id)
    old = await world.issue(org, expires_at=world.clock.now_ms() + 10)
    await world.keys.rotate(operator, old.key.id, grace_ms=1000)
    assert (await world.keys.get(operator, old.key.id)).expires_at == old.key.expires_at


async def test_refused_rotate(world: World, org: Organization) -> None:
    operator, issued = world.operator_of(org.id), await world.issue(org)
    for grace_ms in (-1, GRACE_MS_MAX + 1):
        with pytest.raises(AlloydError, match="grace_ms"):
            await world.keys.rotate(operator, issued.key.id, grace_ms)
    await world.keys.disable(operator, issued.key.id)
    with pytest.raises(AlloydError, match="the key is disabled") as caught:
        await world.keys.rotate(operator, issued.key.id)
    assert caught.value.code is Code.CONFLICT


async def test_repeated_rotate_makes_one_key(world: World, org: Organization) -> None:
    operator, issued, once = world.operator_of(org.id), await world.issue(org), Once("r", "k", "d")
    first = await world.keys.rotate(operator, issued.key.id, once=once)
    again = await world.keys.rotate(operator, issued.key.id, once=once)
    assert (again.key, again.raw) == (first.key, None)


async def test_bootstrap_once(world: World) -> None:
    first = await world.keys.bootstrap()
    assert first is not None
    assert (first.org.slug, first.issued.key.role, first.issued.key.scopes) == (
        "default",
        Role.OWNER,
        ("control", "embedded", "private"),
    )
    assert await world.signed_in(first.issued, "private") is not None
    assert await world.orgs.get_default() == first.org
    await world.keys.note_first_key_told()
    assert await world.keys.bootstrap() is None
    await world.orgs.archive("default")
    assert await world.keys.bootstrap() is None
    assert await world.kinds() == ["organization.created", "api_key.created", "organization.archived"]


async def test_a_first_key_that_may_not_have_been_shown_is_made_anew(world: World) -> None:
    first = await world.keys.bootstrap()
    again = await world.keys.bootstrap()
    assert first is not None
    assert again is not None
    assert again.org == first.org
    assert again.issued.raw != first.issued.raw
    for issued in (first.issued, again.issued):  # the first one may have been shown after all
        assert await world.signed_in(issued, "private") is not None
    await world.keys.note_first_key_told()
    assert await world.keys.bootstrap() is None


async def test_an_archived_organization_gets_no_first_key(world: World) -> None:
    assert await world.keys.bootstrap() is not None
    await world.orgs.archive("default")
    assert await world.keys.bootstrap() is None


async def test_raw_key_is_nowhere_to_be_read(world: World, org: Organization, caplog: pytest.LogCaptureFixture) -> None:
    operator = world.operator_of(org.id)
    once = Once("r", "k", "d")
    first = await world.issue(org)
    second = await world.keys.rotate(operator, first.key.id, 1000, once)
    for issued in (first, second):
        await world.signed_in(issued)
        world.cached(issued)
    await world.keys.flush_last_used()
    await world.keys.revoke(operator, first.key.id)
    files = [path.read_bytes() for path in world.database.path.parent.iterdir()]
    assert files
    told = str(await world.told())
    for issued in (first, second):
        secret = (issued.raw or "")[15:]
        assert len(secret) == 43
        assert not any(secret.encode() in data for data in files)
        assert secret not in told
        assert secret not in repr(issued) + repr(issued.key) + repr(await world.signed_in(issued))
        assert secret not in caplog.text


async def test_a_team_with_working_keys_stays(world: World, org: Organization) -> None:
    teams, operator = TeamService(world.database), world.operator_of(org.id)
    teams.on_delete(world.keys.keep_team)
    team = await teams.create(operator, "red", "Red")
    other = await teams.create(operator, "blue", "Blue")
    issued = await world.issue(org, team_id=team.id)
    principal = await world.signed_in(issued)
    assert principal is not None
    assert principal.team_id == issued.key.team_id == team.id
    await teams.delete(operator, other.id)
    with pytest.raises(AlloydError, match="keys are bound to the team") as refused:
        await teams.delete(operator, team.id)
    assert refused.value.code is Code.CONFLICT
    await world.keys.revoke(operator, issued.key.id)
    await teams.delete(operator, team.id)
    with pytest.raises(AlloydError, match="team not found"):
        await world.issue(org, team_id=team.id)
