"""``GET /v1/operations``: who may ask, and what is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from alloyd.domain.authz.service import authorize
from alloyd.domain.operations.catalogue import describe
from alloyd.principal import Role
from alloyd.wire.auth import KeyAuthenticator, read_bearer
from alloyd.wire.control import operations
from alloyd.wire.control.codec import ControlSurface
from alloyd.wire.server import Server, WireLimits
from tests.identity import bearer, open_world, serve


@pytest.mark.parametrize(
    ("scopes", "status"),
    [(("control",), 200), (("workflows:read",), 200), (("storage:read",), 403), (("private",), 401), (None, 401)],
)
async def test_list_operations(tmp_path: Path, scopes: tuple[str, ...] | None, status: int) -> None:
    async with open_world(tmp_path) as world:
        surface = ControlSurface(operations.routes(), KeyAuthenticator(world.keys, "control", read_bearer), world.clock)
        org = await world.make_org("acme")
        headers = bearer(await world.issue(org, scopes, Role.VIEWER)) if scopes else {}
        async with (
            serve(Server([surface], authorize, WireLimits())) as client,
            client.get("/v1/operations", headers=headers) as response,
        ):
            answer = await response.json()
    assert response.status == status
    if status == 200:
        assert answer["data"] == msgspec.to_builtins(describe())
        assert answer["data"][1]["name"] == "workflow.branch"
        assert answer["data"][1].keys() == {"name", "summary", "pure", "ports", "config"}
    else:
        assert answer["data"] is None
