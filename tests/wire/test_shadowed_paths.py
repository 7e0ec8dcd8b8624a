from __future__ import annotations

from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from alloyd.domain.authz.service import authorize
from alloyd.kit.clock import Clock
from alloyd.wire.control.codec import ControlSurface
from alloyd.wire.route import PUBLIC, Call, Route
from alloyd.wire.server import Server, WireLimits

from .conftest import KnownKeys


async def tell_path(call: Call) -> str:
    return call.route.path


ROUTES = [
    Route("GET", "/things/{id}", tell_path, PUBLIC, "One"),
    Route("DELETE", "/things/{id}", tell_path, PUBLIC, "Delete one"),
    Route("POST", "/things/check", tell_path, PUBLIC, "Check"),
]


@pytest.mark.parametrize(
    ("method", "path", "status", "told"),
    [
        ("GET", "/v1/things/a", 200, "/things/{id}"),
        ("POST", "/v1/things/check", 200, "/things/check"),
        ("POST", "/v1/things/check/", 200, "/things/check"),
        ("GET", "/v1/things/check", 405, "POST"),
        ("DELETE", "/v1/things/check/", 405, "POST"),
        ("OPTIONS", "/v1/things/check", 405, "POST"),
        ("POST", "/v1/things/a", 405, "DELETE, GET, HEAD"),
    ],
)
async def test_a_path_of_its_own_is_not_an_id(
    aiohttp_client: AiohttpClient, method: str, path: str, status: int, told: str
) -> None:
    server = Server([ControlSurface(ROUTES, KnownKeys(), Clock())], authorize, WireLimits())
    client = await aiohttp_client(server.build())
    answer = await client.request(method, path)
    body: Any = await answer.json()
    assert answer.status == status
    assert (body["data"] if status == 200 else answer.headers["Allow"]) == told
