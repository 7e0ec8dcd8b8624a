"""A shortcut finds what aiohttp's router would find, for every route of the whole program, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from alloyd.wire.shortcuts import Shortcuts
from tests.app import open_app


async def test_finds_what_the_router_finds(tmp_path: Path) -> None:
    async with open_app(tmp_path) as door:
        server = door.app.server
        app, tried = server._app, 0
        for bound in server.bound_routes():
            for last in ("one", "check", "ws", "a_b-1"):
                path = bound.path.replace("{id}", last).replace("{workflow_id}", last)
                request = make_mocked_request(bound.route.method, path)
                work = server._shortcuts.take(request)
                if work is None:
                    continue
                work.close()  # type: ignore[attr-defined]  # a coroutine that is not to run
                tried += 1
                routed = await app.router.resolve(make_mocked_request(bound.route.method, path))
                assert request.match_info.route is routed.route, path
                assert dict(request.match_info) == dict(routed), path
        assert tried > len(server.bound_routes())


@pytest.mark.parametrize(
    "target",
    [
        "/x/%41",
        "/x/a?b=c",
        "/x/a b",
        "/x/",
        "/x",
        "/x/a/b",
        "//x/a",
        "/x/a.b",
        "http://h/x/a",
        "/X/a",
        "/x/é",
        "/x/a\n",
    ],
)
async def test_leaves_the_rest_to_the_router(target: str) -> None:
    shortcuts = Shortcuts()

    async def pipeline(_request: web.Request) -> web.StreamResponse:
        raise AssertionError("not to be called")

    app = web.Application()
    shortcuts.add("GET", "/x/{id}", pipeline, app.router.add_route("GET", "/x/{id}", pipeline))
    shortcuts.add("GET", "/x/{id}/y/{other}", pipeline, app.router.add_route("GET", "/x/{id}/y/{other}", pipeline))
    assert shortcuts.take(make_mocked_request("GET", target)) is None
    assert shortcuts.take(make_mocked_request("POST", "/x/a")) is None
    assert shortcuts.take(make_mocked_request("GET", "/x/a", headers={"Expect": "100-continue"})) is None
