from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from alloyd.domain.keys.model import IssuedKey
from alloyd.domain.teams.service import TeamService
from alloyd.errors import AlloydError
from alloyd.kit.clock import rfc3339
from alloyd.kit.ids import is_uuid, new_id
from alloyd.principal import Role
from tests.identity import World, api_key, bearer, open_world, public_server, serve

Client = TestClient[Any, Any]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
async def owner(world: World) -> IssuedKey:
    return await world.issue(await world.make_org("acme"))


@pytest.fixture
async def client(world: World, owner: IssuedKey) -> AsyncIterator[Client]:
    async with serve(public_server(world)) as opened:
        opened.session.headers.update(bearer(owner))
        yield opened


async def _ask(client: Client, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async with client.request(method, path, **more) as response:
        return response.status, await response.json()


async def test_create_answers_the_whole_key_once(world: World, client: Client, owner: IssuedKey) -> None:
    expires = "2026-02-01T00:00:00+01:00"
    body = {"name": "ci", "scopes": ["runs:read"], "role": "viewer", "expires_at": expires, "description": "d"}
    status, answer = await _ask(client, "POST", "/v1/api-keys", json=body)
    key = answer["data"]
    raw = key.pop("key")
    assert status == answer["meta"]["status"] == 201
    assert is_uuid(key["id"])
    assert raw.startswith(f"{key['prefix']}_")
    assert key == {
        "id": key["id"],
        "organization_id": owner.key.org_id,
        "team_id": None,
        "teammate_id": None,
        "name": "ci",
        "description": "d",
        "prefix": raw[:14],
        "scopes": ["runs:read"],
        "role": "viewer",
        "status": "active",
        "created_by": owner.key.id,
        "created_at": rfc3339(world.clock.now_ms()),
        "expires_at": "2026-01-31T23:00:00.000Z",
        "disabled_at": None,
        "revoked_at": None,
        "last_used_at": None,
    }
    assert (await _ask(client, "GET", f"/v1/api-keys/{key['id']}"))[1]["data"] == key
    assert (await _ask(client, "GET", "/v1/api-keys"))[1]["data"][0] == key
    assert (await _ask(client, "GET", "/v1/me", headers={"Authorization": f"Bearer {raw}"}))[0] == 200


async def test_name_alone_is_enough(client: Client) -> None:
    status, answer = await _ask(client, "POST", "/v1/api-keys", json={"name": "x"})
    assert (status, answer["data"]["scopes"], answer["data"]["role"]) == (201, ["control", "private"], "member")


async def test_what_the_server_owns_cannot_be_given(client: Client) -> None:
    body = {"name": "x", "id": "mine", "key": "mine", "secret": "mine", "created_by": "mine", "last_used_at": "mine"}
    status, answer = await _ask(client, "POST", "/v1/api-keys", json=body)
    assert status == 201
    assert "mine" not in str(answer["data"])


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "name"),
        ({"name": 5}, 400, "name"),
        ({"name": ""}, 400, "name"),
        ({"name": "a\x00"}, 400, "name"),
        ({"name": "x", "scopes": "control"}, 400, "scopes"),
        ({"name": "x", "scopes": []}, 400, "scopes"),
        ({"name": "x", "scopes": ["root"]}, 400, "scopes[0]"),
        ({"name": "x", "role": "king"}, 400, "role"),
        ({"name": "x", "expires_at": "soon"}, 400, "expires_at"),
        ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, 400, "expires_at"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, 400, "expires_at"),
        ({"name": "x", "expires_at": "9999-12-31T23:59:59-10:00"}, 400, "expires_at"),
        ({"name": "x", "idempotency_key": "a b"}, 400, "idempotency_key"),
        ({"name": "x", "organization_id": new_id()}, 404, None),
        ({"name": "x", "team_id": new_id()}, 404, None),
        ({"name": "x", "teammate_id": new_id()}, 404, "teammate"),
        ({"name": "x", "teammate_id": new_id(), "scopes": ["control"]}, 400, "scopes"),
        ({"name": "x", "teammate_id": new_id(), "team_id": new_id()}, 400, "teammate_id"),
        ({"name": "x", "scopes": ["channel"]}, 400, "scopes[0]"),
    ],
)
async def test_bad_create_stores_nothing(client: Client, body: dict[str, Any], status: int, field: str | None) -> None:
    got, answer = await _ask(client, "POST", "/v1/api-keys", json=body)
    assert got == status
    if field is not None:
        assert field in answer["error"]["message"]
    assert len((await _ask(client, "GET", "/v1/api-keys"))[1]["data"]) == 1


async def test_own_organization_may_be_named(client: Client, owner: IssuedKey) -> None:
    org_id = owner.key.org_id
    assert (await _ask(client, "POST", "/v1/api-keys", json={"name": "x", "organization_id": org_id}))[0] == 201
    assert (await _ask(client, "GET", f"/v1/api-keys?organization_id={org_id}"))[0] == 200
    status, answer = await _ask(client, "GET", f"/v1/api-keys?organization_id={new_id()}")
    assert (status, answer["error"]["message"]) == (404, "organization not found")


async def test_grants_only_downwards(world: World, client: Client, owner: IssuedKey) -> None:
    org = await world.orgs.get(owner.key.org_id)
    admin = bearer(await world.issue(org, ["control"], Role.ADMIN))
    for body in ({"name": "x", "role": "owner"}, {"name": "x", "scopes": ["private"]}):
        assert (await _ask(client, "POST", "/v1/api-keys", json=body, headers=admin))[0] == 403
    assert (await _ask(client, "DELETE", f"/v1/api-keys/{owner.key.id}", headers=admin))[0] == 403
    assert (await _ask(client, "POST", f"/v1/api-keys/{owner.key.id}/disable", headers=admin))[0] == 403


async def test_pages(client: Client) -> None:
    made = [(await _ask(client, "POST", "/v1/api-keys", json={"name": f"k{n}"}))[1]["data"]["id"] for n in range(4)]
    seen: list[str] = []
    path = "/v1/api-keys?limit=2"
    while path:
        status, answer = await _ask(client, "GET", path)
        assert (status, answer["links"]["self"]) == (200, path)
        seen += [key["id"] for key in answer["data"]]
        path = answer["links"].get("next", "")
    assert seen[:4] == made[::-1]
    assert len(seen) == 5


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=x", "cursor=", f"cursor={'x' * 600}"])
async def test_bad_page(client: Client, query: str) -> None:
    status, answer = await _ask(client, "GET", f"/v1/api-keys?{query}")
    assert status == 400
    assert query.partition("=")[0] in answer["error"]["message"]


async def test_repeat_by_body_or_header(client: Client) -> None:
    body = {"name": "once", "idempotency_key": "k1"}
    first_status, first = await _ask(client, "POST", "/v1/api-keys", json=body)
    again_status, again = await _ask(client, "POST", "/v1/api-keys/", json=body)
    assert (first_status, again_status) == (201, 201)
    assert first["data"].pop("key") is not None
    assert again["data"].pop("key") is None
    assert again["data"] == first["data"]
    status, answer = await _ask(client, "POST", "/v1/api-keys", json=body | {"name": "other"})
    assert (status, answer["error"]["code"]) == (409, "conflict")
    by_header = {"Idempotency-Key": "k2"}
    made = [await _ask(client, "POST", "/v1/api-keys", json={"name": "h"}, headers=by_header) for _ in range(2)]
    assert made[0][1]["data"]["id"] == made[1][1]["data"]["id"]


async def test_many_copies_at_once_make_one(client: Client) -> None:
    body = {"name": "once", "idempotency_key": "k"}
    answers = await asyncio.gather(*(_ask(client, "POST", "/v1/api-keys", json=body) for _ in range(30)))
    assert {status for status, _answer in answers} == {201}
    assert len({answer["data"]["id"] for _status, answer in answers}) == 1
    assert len([1 for _status, answer in answers if answer["data"]["key"]]) == 1


async def test_repeats_of_another_organization_are_apart(world: World, client: Client) -> None:
    other = bearer(await world.issue(await world.make_org("other")))
    body = {"name": "x", "idempotency_key": "k"}
    first = await _ask(client, "POST", "/v1/api-keys", json=body)
    second = await _ask(client, "POST", "/v1/api-keys", json=body | {"name": "y"}, headers=other)
    assert second[0] == 201
    assert second[1]["data"]["organization_id"] != first[1]["data"]["organization_id"]


@pytest.mark.parametrize(("method", "suffix", "state"), [("DELETE", "", "revoked"), ("POST", "/disable", "disabled")])
async def test_end_at_once_and_stay_in_the_list(
    world: World, client: Client, owner: IssuedKey, method: str, suffix: str, state: str
) -> None:
    victim = await world.issue(await world.orgs.get(owner.key.org_id))
    assert (await _ask(client, "GET", "/api/private/probe", headers=api_key(victim)))[0] == 200
    stream = world.hub.open([owner.key.org_id], tag=victim.key.id)
    for _ in range(2):
        status, answer = await _ask(client, method, f"/v1/api-keys/{victim.key.id}{suffix}")
        assert (status, answer["data"]["status"]) == (200, state)
    assert (await _ask(client, "GET", "/api/private/probe", headers=api_key(victim)))[0] == 401
    assert (await _ask(client, "GET", "/v1/me", headers=bearer(victim)))[0] == 401
    assert stream.closed is not None
    listed = (await _ask(client, "GET", "/v1/api-keys"))[1]["data"]
    assert [key["status"] for key in listed if key["id"] == victim.key.id] == [state]
    assert "key" not in listed[0]


async def test_disable_of_a_revoked_key(world: World, client: Client, owner: IssuedKey) -> None:
    victim = await world.issue(await world.orgs.get(owner.key.org_id))
    await _ask(client, "DELETE", f"/v1/api-keys/{victim.key.id}")
    assert (await _ask(client, "POST", f"/v1/api-keys/{victim.key.id}/disable"))[0] == 409


async def test_key_may_end_itself(world: World, client: Client, owner: IssuedKey) -> None:
    assert (await _ask(client, "DELETE", f"/v1/api-keys/{owner.key.id}"))[0] == 200
    assert (await _ask(client, "GET", "/v1/me"))[0] == 401
    assert await world.signed_in(owner) is None


async def test_archived_organizations_keys_stop(world: World, client: Client, owner: IssuedKey) -> None:
    assert (await _ask(client, "GET", "/v1/me"))[0] == 200
    await world.orgs.archive("acme")
    assert (await _ask(client, "GET", "/v1/me"))[0] == 401
    with pytest.raises(AlloydError, match="archived"):
        await world.issue(await world.orgs.get(owner.key.org_id))


async def test_rotate(world: World, client: Client, owner: IssuedKey) -> None:
    org = await world.orgs.get_by_name("acme")
    old = await world.issue(org)
    path, body = f"/v1/api-keys/{old.key.id}/rotate", {"grace_ms": 1000, "idempotency_key": "k"}
    status, answer = await _ask(client, "POST", path, json=body)
    assert status == 201
    assert answer["data"]["key"].startswith(answer["data"]["prefix"])
    assert await world.signed_in(old) is not None
    world.clock.advance(1000)
    assert await world.signed_in(old) is None
    again = (await _ask(client, "POST", path, json=body))[1]
    assert (again["data"]["id"], again["data"]["key"]) == (answer["data"]["id"], None)
    theirs = await world.issue(await world.make_org("other"))
    for id_, sent, expected in ((theirs.key.id, {}, 404), (new_id(), {}, 404), (old.key.id, {"grace_ms": -1}, 400)):
        assert (await _ask(client, "POST", f"/v1/api-keys/{id_}/rotate", json=sent))[0] == expected
    admin = await world.issue(org, role=Role.ADMIN)
    assert (await _ask(client, "POST", f"/v1/api-keys/{owner.key.id}/rotate", headers=bearer(admin)))[0] == 403


async def test_key_of_a_team(world: World, client: Client, owner: IssuedKey) -> None:
    teams = TeamService(world.database)
    mine = await teams.create(world.operator_of(owner.key.org_id), "red", "Red")
    theirs = await teams.create(world.operator_of((await world.make_org("other")).id), "red", "Red")
    made = (await _ask(client, "POST", "/v1/api-keys", json={"name": "x", "team_id": mine.id}))[1]["data"]
    assert made["team_id"] == mine.id
    for raw in (made["key"], (await _ask(client, "POST", f"/v1/api-keys/{made['id']}/rotate"))[1]["data"]["key"]):
        status, answer = await _ask(client, "GET", "/v1/api-keys", headers={"Authorization": f"Bearer {raw}"})
        assert answer["context"]["team_id"] == (mine.id if raw != made["key"] else None)
        assert status == (403 if raw != made["key"] else 401)  # a member; the old key ended as it was rotated
    status, answer = await _ask(client, "POST", "/v1/api-keys", json={"name": "x", "team_id": theirs.id})
    assert (status, answer["error"]["message"]) == (404, "team not found")
