from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from multidict import CIMultiDict

from alloyd.domain.keys.model import IssuedKey
from alloyd.wire.auth import OPERATOR_ORG_HEADER
from tests.identity import World, api_key, bearer, open_world, public_server, serve, socket_server

Client = TestClient[Any, Any]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
async def issued(world: World) -> IssuedKey:
    return await world.issue(await world.make_org("acme"))


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with serve(public_server(world)) as opened:
        yield opened


@pytest.fixture
async def socket(world: World) -> AsyncIterator[Client]:
    async with serve(socket_server(world)) as opened:
        yield opened


async def _status(client: Client, path: str, headers: Any) -> int:
    async with client.get(path, headers=headers) as response:
        await response.json()
        return int(response.status)


async def test_each_surface_by_its_own_header(client: Client, issued: IssuedKey) -> None:
    for _ in range(2):  # from the database, then from the cache
        assert await _status(client, "/v1/me", bearer(issued)) == 200
        assert await _status(client, "/api/private/probe", api_key(issued)) == 200
    assert await _status(client, "/v1/me", api_key(issued)) == 401
    assert await _status(client, "/api/private/probe", bearer(issued)) == 401
    assert await _status(client, "/api/private/probe", bearer(issued) | api_key(issued)) == 200


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
async def test_scheme_in_any_case(client: Client, issued: IssuedKey, scheme: str) -> None:
    assert await _status(client, "/v1/me", {"Authorization": f"{scheme} {issued.raw}"}) == 200


@pytest.mark.parametrize(
    "template", ["{}", "Basic {}", "Bearer", "Bearer{}", "Bearer x {}", "Bearer {} x", "Bearer '{}'"]
)
async def test_other_authorization(client: Client, issued: IssuedKey, template: str) -> None:
    assert await _status(client, "/v1/me", {"Authorization": template.format(issued.raw)}) == 401


@pytest.mark.parametrize("value", ["", " ", "x" * 8000, "ä" * 58, "\udcff" * 29, "'; DROP TABLE api_keys; --"])
async def test_nonsense_in_the_key_header(client: Client, issued: IssuedKey, value: str) -> None:
    sent = CIMultiDict({"api-key": value})
    assert await _status(client, "/api/private/probe", sent) == 401
    assert await _status(client, "/api/private/probe", api_key(issued)) == 200


async def test_several_keys_are_none(client: Client, issued: IssuedKey) -> None:
    both = CIMultiDict([("api-key", issued.raw or ""), ("api-key", issued.raw or "")])
    assert await _status(client, "/api/private/probe", both) == 401
    both = CIMultiDict([("Authorization", f"Bearer {issued.raw}"), ("Authorization", "Bearer x")])
    assert await _status(client, "/v1/me", both) == 401


async def test_key_in_the_query_is_not_taken(client: Client, issued: IssuedKey) -> None:
    assert await _status(client, f"/v1/me?api-key={issued.raw}&token={issued.raw}", {}) == 401


async def test_header_over_the_servers_bound_is_no_500(client: Client) -> None:
    port = client.server.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/private/probe HTTP/1.1\r\nHost: x\r\napi-key: " + b"a" * 100_000 + b"\r\n\r\n")
    async with asyncio.timeout(10):
        status = (await reader.readline()).split()[1]
    writer.close()
    assert status in (b"400", b"401")


async def test_operator_acts_in_the_organization_it_names(world: World, socket: Client, issued: IssuedKey) -> None:
    other = await world.make_org("other")
    for named, org_id in ((None, issued.key.org_id), ("other", other.id), (other.id, other.id)):
        headers = {} if named is None else {OPERATOR_ORG_HEADER: named}
        async with socket.get("/v1/me", headers=headers) as response:
            body = await response.json()
        assert (body["data"]["kind"], body["data"]["organization_id"]) == ("operator", org_id)
        assert body["context"]["organization_id"] == org_id


@pytest.mark.parametrize("named", ["nobody", "", "\udcff", "x" * 5000])
async def test_operator_names_an_organization_that_is_not_there(socket: Client, issued: IssuedKey, named: str) -> None:
    assert await _status(socket, "/v1/me", {OPERATOR_ORG_HEADER: named}) == 404
    assert await _status(socket, "/operator/users", {OPERATOR_ORG_HEADER: named}) == 404


async def test_without_any_organization_only_the_operators_surface_works(socket: Client) -> None:
    assert await _status(socket, "/v1/me", {}) == 404
    assert await _status(socket, "/operator/organizations", {}) == 200
    async with socket.post("/operator/organizations", json={"slug": "first", "name": "First"}) as response:
        assert response.status == 201
    assert await _status(socket, "/v1/me", {}) == 200


async def test_operator_only_reads_in_an_archived_organization(world: World, socket: Client, issued: IssuedKey) -> None:
    await world.make_org("other")
    await world.orgs.archive("acme")
    headers = {OPERATOR_ORG_HEADER: "acme"}
    assert await _status(socket, "/v1/api-keys", headers) == 200
    async with socket.post("/v1/api-keys", json={"name": "x"}, headers=headers) as response:
        assert response.status == 409
        assert "archived" in (await response.json())["error"]["message"]


async def test_operators_surface_is_not_on_the_network(client: Client, issued: IssuedKey) -> None:
    assert await _status(client, "/operator/organizations", bearer(issued)) == 404
