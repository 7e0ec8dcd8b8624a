"""`/v1/organizations` for users, and who belongs to one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from alloyd.domain.sessions.model import IssuedToken
from alloyd.domain.users.model import User
from alloyd.kit.clock import rfc3339
from alloyd.principal import ACTIONS, Role
from tests.identity import World, bearer, open_world, public_server, serve

Client = TestClient[Any, Any]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        await opened.make_org("acme")
        yield opened


@pytest.fixture
async def ann(world: World) -> User:
    return await world.make_user("ann", role=Role.OWNER)


@pytest.fixture
async def token(world: World, ann: User) -> IssuedToken:
    return await world.token(ann)


@pytest.fixture
async def client(world: World, token: IssuedToken) -> AsyncIterator[Client]:
    async with serve(public_server(world)) as opened:
        opened.session.headers.update(bearer(token))
        yield opened


async def _ask(client: Client, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async with client.request(method, path, **more) as response:
        return response.status, await response.json()


async def test_found_one(world: World, client: Client, ann: User) -> None:
    body = {"slug": "mine", "name": "Mine", "idempotency_key": "k"}
    status, answer = await _ask(client, "POST", "/v1/organizations", json=body)
    assert (status, answer["data"]["slug"], answer["data"]["name"]) == (201, "mine", "Mine")
    made = answer["data"]["id"]
    assert (await _ask(client, "POST", "/v1/organizations", json=body))[1]["data"]["id"] == made
    assert (await _ask(client, "POST", "/v1/organizations", json={**body, "name": "X"}))[0] == 409
    assert (await _ask(client, "POST", "/v1/organizations", json={"slug": "mine", "name": "X"}))[0] == 409
    assert (await _ask(client, "POST", "/v1/organizations", json={"slug": "-", "name": "X"}))[0] == 400
    status, answer = await _ask(client, "GET", f"/v1/organizations/{made}")
    assert (status, answer["context"]["organization_id"]) == (200, made)
    key = await world.issue(await world.orgs.get_by_name("acme"))
    status, _answer = await _ask(
        client, "POST", "/v1/organizations", json={"slug": "k", "name": "K"}, headers=bearer(key)
    )
    assert status == 403


async def test_rename(world: World, client: Client, ann: User) -> None:
    acme = await world.orgs.get_by_name("acme")
    path = f"/v1/organizations/{acme.id}"
    status, answer = await _ask(client, "PATCH", path, json={"name": "Acme Europe"})
    assert (status, answer["data"]["slug"], answer["data"]["name"]) == (200, "acme", "Acme Europe")
    await world.make_org("taken")
    for body, expected in (({"slug": "taken"}, 409), ({}, 400), ({"slug": "!"}, 400)):
        assert (await _ask(client, "PATCH", path, json=body))[0] == expected
    admin = await world.token(await world.make_user("admin", role=Role.ADMIN))
    assert (await _ask(client, "PATCH", path, json={"name": "x"}, headers=bearer(admin)))[0] == 403


async def test_members(world: World, client: Client, ann: User) -> None:
    acme = await world.orgs.get_by_name("acme")
    path, joined_at = f"/v1/organizations/{acme.id}/members", rfc3339(world.clock.now_ms())
    world.clock.advance(5)
    ben = await world.make_user("ben", role=Role.VIEWER)
    status, answer = await _ask(client, "GET", path, params={"limit": "1"})
    assert (status, [member["user_id"] for member in answer["data"]]) == (200, [ben.id])
    status, answer = await _ask(client, "GET", answer["links"]["next"])
    assert answer["data"] == [
        {
            "user_id": ann.id,
            "email": "ann@example.com",
            "display_name": "ann",
            "role": "owner",
            "joined_at": joined_at,
            "disabled": False,
        }
    ]
    assert "next" not in answer["links"]
    status, answer = await _ask(client, "PATCH", f"{path}/{ben.id}", json={"role": "member"})
    assert (status, answer["data"]["role"]) == (200, "member")
    for body in ({}, {"role": "king"}, {"role": None}):
        assert (await _ask(client, "PATCH", f"{path}/{ben.id}", json=body))[0] == 400
    status, answer = await _ask(client, "DELETE", f"{path}/{ben.id}")
    assert (status, answer["data"]["user_id"]) == (200, ben.id)
    assert (await _ask(client, "DELETE", f"{path}/{ben.id}"))[0] == 404
    assert (await _ask(client, "DELETE", f"{path}/{ann.id}"))[0] == 409
    assert (await _ask(client, "PATCH", f"{path}/{ann.id}", json={"role": "admin"}))[0] == 409


async def test_each_role_at_the_members(world: World, client: Client, ann: User) -> None:
    acme = await world.orgs.get_by_name("acme")
    path, victim = f"/v1/organizations/{acme.id}/members", await world.make_user("victim", role=Role.VIEWER)
    for role, reads, writes in (("viewer", 200, 403), ("member", 200, 403), ("admin", 200, 200)):
        headers = bearer(await world.token(await world.make_user(role, role=Role(role))))
        assert (await _ask(client, "GET", path, headers=headers))[0] == reads
        body = {"role": "viewer"}
        assert (await _ask(client, "PATCH", f"{path}/{victim.id}", json=body, headers=headers))[0] == writes
        for above in (("PATCH", {"role": "viewer"}), ("DELETE", None)):
            status = (await _ask(client, above[0], f"{path}/{ann.id}", json=above[1], headers=headers))[0]
            assert status == 403
        assert (await _ask(client, "PATCH", f"{path}/{victim.id}", json={"role": "owner"}, headers=headers))[0] == 403


async def test_user_of_two_organizations(world: World, client: Client) -> None:
    """By id the user acts where the thing is, with the role there; elsewhere there is nothing."""
    await world.make_org("second")
    world.clock.advance(1)
    user = await world.make_user("two", role=Role.VIEWER)
    world.clock.advance(1)
    await world.join(user, "second", Role.ADMIN)
    acme, second = [(await world.orgs.get_by_name(slug)).id for slug in ("acme", "second")]
    foreign = (await world.make_org("foreign")).id
    headers = bearer(await world.token(user))
    for org_id, reads, invites in ((acme, 200, 403), (second, 200, 404), (foreign, 404, 403)):
        path = f"/v1/organizations/{org_id}/members"
        status, answer = await _ask(client, "GET", path, headers=headers)
        assert status == reads, org_id
        if status == 200:
            assert answer["context"]["organization_id"] == org_id
        status, _answer = await _ask(client, "PATCH", f"{path}/nobody", json={"role": "viewer"}, headers=headers)
        assert status == invites, org_id
    for named, expected in ((acme, 403), (second, 201), (foreign, 404)):
        body = {"name": "x", "role": "viewer", "organization_id": named}
        status, answer = await _ask(client, "POST", "/v1/api-keys", json=body, headers=headers)
        assert status == expected, named
    key = (await _ask(client, "GET", f"/v1/api-keys?organization_id={second}", headers=headers))[1]["data"][0]
    assert key["organization_id"] == second
    assert (await _ask(client, "GET", f"/v1/api-keys/{key['id']}", headers=headers))[0] == 200
    assert (await _ask(client, "DELETE", f"/v1/api-keys/{key['id']}", headers=headers))[0] == 200


async def test_me(world: World, client: Client, ann: User) -> None:
    acme = (await world.orgs.get_by_name("acme")).id
    status, answer = await _ask(client, "GET", "/v1/me")
    data = answer["data"]
    assert status == 200
    assert (data["principal_id"], data["kind"], data["authenticated"]) == (ann.id, "user", True)
    assert (data["email"], data["display_name"], data["organization_id"], data["role"]) == (
        "ann@example.com",
        "ann",
        acme,
        "owner",
    )
    world.clock.advance(1)
    second = (await world.make_org("second")).id
    await world.join(ann, "second", Role.VIEWER)
    status, answer = await _ask(client, "GET", "/v1/me/organizations")
    assert [(org["id"], org["slug"], org["role"]) for org in answer["data"]] == [
        (second, "second", "viewer"),
        (acme, "acme", "owner"),
    ]
    answer = (await _ask(client, "GET", "/v1/me/organizations?limit=1"))[1]
    assert [org["slug"] for org in answer["data"]] == ["second"]
    assert [org["slug"] for org in (await _ask(client, "GET", answer["links"]["next"]))[1]["data"]] == ["acme"]
    here, there = reversed((await _ask(client, "GET", "/v1/me/permissions"))[1]["data"])
    assert (here["organization_id"], here["team_id"], here["role"]) == (acme, None, "owner")
    assert here["actions"] == sorted(ACTIONS)
    assert (there["organization_id"], there["role"]) == (second, "viewer")
    assert there["actions"] == sorted(action for action, rule in ACTIONS.items() if rule.role is Role.VIEWER)
    await world.orgs.archive("second")
    assert len((await _ask(client, "GET", "/v1/me/organizations"))[1]["data"]) == 1


async def test_a_key_has_its_one_organization(world: World, client: Client) -> None:
    acme = await world.orgs.get_by_name("acme")
    headers = bearer(await world.issue(acme, ["runs:read", "workflows:run"], Role.MEMBER))
    organizations = (await _ask(client, "GET", "/v1/me/organizations", headers=headers))[1]["data"]
    assert [(org["id"], org["role"]) for org in organizations] == [(acme.id, "member")]
    permissions = (await _ask(client, "GET", "/v1/me/permissions", headers=headers))[1]["data"]
    scopes = {"runs:read", "workflows:run"}
    assert [(each["role"], set(each["actions"])) for each in permissions] == [
        ("member", {action for action, rule in ACTIONS.items() if rule.scope in scopes and rule.role is not Role.ADMIN})
    ]


async def test_user_of_no_organization(world: World, client: Client, ann: User) -> None:
    acme = await world.orgs.get_by_name("acme")
    await world.make_user("heir", role=Role.OWNER)
    await world.database.write(lambda tx: world.users.members.remove(tx, acme.id, ann.id))
    headers = bearer(await world.token(ann))
    status, answer = await _ask(client, "GET", "/v1/me", headers=headers)
    assert (status, answer["data"]["organization_id"], answer["data"]["role"]) == (200, None, None)
    assert answer["context"] == {"principal_id": ann.id, "organization_id": None, "team_id": None}
    for path in ("/v1/me/organizations", "/v1/me/permissions"):
        assert (await _ask(client, "GET", path, headers=headers))[1]["data"] == []
    for path in (
        "/v1/api-keys",
        f"/v1/organizations/{acme.id}",
        "/v1/organizations/",
        f"/v1/organizations/{acme.id}/members",
    ):
        assert (await _ask(client, "GET", path, headers=headers))[0] in (403, 405), path
    status, answer = await _ask(client, "GET", "/v1/api-keys?organization_id=", headers=headers)
    assert (status, answer["data"]) == (403, None)
    body = {"slug": "mine", "name": "Mine", "idempotency_key": "k"}
    status, answer = await _ask(client, "POST", "/v1/organizations", json=body, headers=headers)
    assert status == 201
    assert (await _ask(client, "POST", "/v1/organizations", json=body, headers=headers))[1]["data"] == answer["data"]
    status, listed = await _ask(client, "GET", "/v1/api-keys", headers=headers)
    assert (status, listed["context"]["organization_id"]) == (200, answer["data"]["id"])
