from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alloyd.principal import Role
from tests.identity import World, bearer, open_world, public_server, serve, socket_server


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(("role", "scopes"), [(Role.OWNER, ["control"]), (Role.VIEWER, ["runs:read"])])
async def test_me(world: World, role: Role, scopes: list[str]) -> None:
    org = await world.make_org("acme")
    issued = await world.issue(org, scopes, role)
    async with serve(public_server(world)) as client, client.get("/v1/me", headers=bearer(issued)) as response:
        body = await response.json()
    assert response.status == 200
    assert body["data"] == {
        "principal_id": issued.key.id,
        "kind": "api_key",
        "authenticated": True,
        "organization_id": org.id,
        "role": role.value,
        "scopes": scopes,
        "display_name": "test",
    }
    assert body["context"] == {"principal_id": issued.key.id, "organization_id": org.id, "team_id": None}


async def test_operator(world: World) -> None:
    await world.make_org("acme")
    async with serve(socket_server(world)) as client, client.get("/v1/me") as response:
        body = await response.json()
    assert (body["data"]["principal_id"], body["data"]["kind"]) == ("operator", "operator")
