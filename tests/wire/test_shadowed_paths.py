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


class Corner(ControlSurface):
    """A part of the same prefix, with words of its own."""

    own_paths = ("/v1/corner", "/v1/things/nook")

    def describe_error(self) -> dict[str, Any]:
        return {}

    def encode_error(self, error: Any, *_args: Any, **_more: Any) -> bytes:
        return b'{"data": "corner"}'


@pytest.mark.parametrize(
    ("method", "path", "status", "is_corner"),
    [
        ("GET", "/v1/corner", 200, False),
        ("DELETE", "/v1/corner", 405, True),
        ("GET", "/v1/corner/x", 404, True),
        ("GET", "/v1/things/nook/x", 404, True),
        ("GET", "/v1/corners", 404, False),
        ("GET", "/v1/elsewhere", 404, False),
        ("PATCH", "/v1/things/a", 405, False),
        ("GET", "/elsewhere", 404, False),
    ],
)
async def test_two_surfaces_share_a_prefix(
    aiohttp_client: AiohttpClient, method: str, path: str, status: int, is_corner: bool
) -> None:
    corner = Corner([Route("GET", "/corner", tell_path, PUBLIC, "Its own")], KnownKeys(), Clock(), name="corner")
    main = ControlSurface(ROUTES, KnownKeys(), Clock())
    for surfaces in ([main, corner], [corner, main]) if path.startswith("/v1") else ([main, corner],):
        client = await aiohttp_client(Server(surfaces, authorize, WireLimits()).build())
        answer = await client.request(method, path)
        body: Any = await answer.json()
        assert (answer.status, body["data"] == "corner") == (status, is_corner)
