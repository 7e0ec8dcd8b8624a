"""Pages of other origins: who may call from a browser, and that nobody else learns anything."""

from __future__ import annotations

import pytest

from tests.wire.embedded.world import ORIGIN, PREFIX, Room

PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-alloy-user-token"}
STRANGERS = ["https://evil.example.com", "https://app.example.com.evil.com", "http://app.example.com", "null", "*", ""]
ALLOWED = "Access-Control-Allow-Origin"


@pytest.mark.parametrize("path", ["/workflows/activate", "//workflows//activate/", "/users/x/token", "/nothing"])
@pytest.mark.parametrize("prefix", [PREFIX, "/2023-06", "/2024-03"])
async def test_preflight_of_a_known_origin(room: Room, path: str, prefix: str) -> None:
    answer = await room.ask("OPTIONS", path, key=None, headers={"Origin": ORIGIN, **PREFLIGHT}, prefix=prefix)
    assert answer.status == 204
    assert answer.headers[ALLOWED] == ORIGIN
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"x-alloy-user-token", "content-type", "authorization", "x-api-version"} <= set(allowed)
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", STRANGERS)
async def test_strangers_get_no_permission(room: Room, origin: str) -> None:
    asked = await room.ask("OPTIONS", "/integrations", key=None, headers={"Origin": origin, **PREFLIGHT})
    answered = await room.ask("GET", "/users", headers={"Origin": origin})
    assert (asked.status, answered.status) == (204, 200)
    for answer in (asked, answered):
        assert ALLOWED not in answer.headers
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/users", "acme", 200),
        ("GET", "/users", None, 401),
        ("GET", "/users/nobody", "acme", 404),
        ("GET", "/nothing", "acme", 404),
        ("PATCH", "/users", "acme", 405),
        ("POST", "/users", "acme", 400),
        ("GET", "/users/%ff", "acme", 400),
        ("POST", "/users", "acme viewer", 403),
        ("GET", "//users//", "acme", 200),
    ],
)
async def test_every_answer_can_be_read(room: Room, method: str, path: str, key: str | None, status: int) -> None:
    answer = await room.ask(method, path, key=key, headers={"Origin": ORIGIN})
    assert answer.status == status
    assert answer.headers.getall(ALLOWED) == [ORIGIN]
    assert answer.headers["Vary"] == "Origin"
    assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]


async def test_no_other_surface_has_it(room: Room) -> None:
    for path in ("/v1/workflow-definitions", "/api/private/storage", "/healthz"):
        headers = {"Origin": ORIGIN, **PREFLIGHT}
        async with room.served.session.options(f"{room.served.url}{path}", headers=headers) as response:
            assert response.status == 405
            assert ALLOWED not in response.headers


async def test_options_that_is_no_preflight(room: Room) -> None:
    for headers in ({}, {"Origin": ORIGIN}, {"Access-Control-Request-Method": "PUT"}):
        assert (await room.ask("OPTIONS", "/users", headers=headers)).status == 405


async def test_preflight_needs_a_host_that_is_ours(room: Room) -> None:
    headers = {"Origin": ORIGIN, **PREFLIGHT, "Host": "bad host"}
    answer = await room.ask("OPTIONS", "/users", key=None, headers=headers)
    assert answer.status == 400
