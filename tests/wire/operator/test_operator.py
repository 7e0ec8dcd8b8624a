"""The operator's surface as the command line uses it, over a real socket file."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from alloyd.wire.operator.users import CreateUserBody, PasswordBody
from tests.identity import PASSWORD, World, open_world, socket_server

# Always the same: parallel workers compare the tests' names.
SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    with tempfile.TemporaryDirectory() as short:  # a socket's path has at most 107 bytes
        runner = web.AppRunner(socket_server(world).build())
        await runner.setup()
        path = f"{short}/s"
        await web.UnixSite(runner, path).start()
        async with aiohttp.ClientSession("http://alloyd", connector=aiohttp.UnixConnector(path)) as session:
            yield session
        await runner.cleanup()


async def _ask(client: aiohttp.ClientSession, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async with client.request(method, f"/operator{path}", **more) as response:
        return response.status, await response.json()


async def _make(client: aiohttp.ClientSession, slug: str, **more: Any) -> dict[str, Any]:
    status, answer = await _ask(client, "POST", "/organizations", json={"slug": slug, "name": slug}, **more)
    assert status == 201
    return dict(answer["data"])


async def test_organizations_from_start_to_end(client: aiohttp.ClientSession) -> None:
    acme = await _make(client, "acme")
    other = await _make(client, "other")
    assert (await _ask(client, "GET", "/organizations"))[1]["data"] == [other, acme]
    assert (await _ask(client, "GET", "/organizations/acme"))[1]["data"] == acme
    renamed = (await _ask(client, "PATCH", f"/organizations/{acme['id']}", json={"slug": "umbra", "name": "U"}))[1]
    assert (renamed["data"]["id"], renamed["data"]["slug"], renamed["data"]["name"]) == (acme["id"], "umbra", "U")
    archived = await _ask(client, "POST", "/organizations/umbra/archive")
    assert archived[0] == 200
    assert archived[1]["data"]["archived_at"] is not None
    assert (await _ask(client, "POST", "/organizations/umbra/archive"))[1]["data"] == archived[1]["data"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("POST", "/organizations", {"slug": "acme", "name": "x"}, 409, "slug"),
        ("POST", "/organizations", {"slug": "Bad!", "name": "x"}, 400, "slug"),
        ("POST", "/organizations", {"slug": "good"}, 400, "name"),
        ("POST", "/organizations", {"slug": "good", "name": "x", "id": "y"}, 400, "id"),
        ("PATCH", "/organizations/acme", {}, 400, "slug"),
        ("PATCH", "/organizations/nobody", {"name": "x"}, 404, "organization"),
        ("GET", "/organizations/nobody", None, 404, "organization"),
        ("POST", "/organizations/nobody/archive", None, 404, "organization"),
        ("GET", "/organizations?limit=500", None, 400, "limit"),
        ("POST", "/users", {"email": "x", "password": PASSWORD, "organization": "acme"}, 400, "email"),
        ("POST", "/users", {"email": "a@b.c", "password": "short", "organization": "acme"}, 400, "password"),
        ("POST", "/users", {"email": "a@b.c", "password": PASSWORD, "organization": "nobody"}, 404, "organization"),
        ("POST", "/users", {"email": "a@b.c", "password": PASSWORD, "role": "king"}, 400, "role"),
        ("POST", "/users", {"email": "a@b.c", "password": PASSWORD, "platform_admin": "yes"}, 400, "platform_admin"),
        ("POST", "/users/nobody/password", {"password": PASSWORD}, 404, "user"),
        ("POST", "/users/nobody/disable", None, 404, "user"),
        ("GET", "/users?organization=nobody", None, 404, "organization"),
        ("DELETE", "/organizations/acme", None, 405, "DELETE"),
    ],
)
async def test_refusals(
    client: aiohttp.ClientSession, method: str, path: str, body: dict[str, Any] | None, status: int, word: str
) -> None:
    await _make(client, "acme")
    got, answer = await _ask(client, method, path, json=body)
    assert got == status
    assert word in answer["error"]["message"]
    assert PASSWORD not in str(answer)


async def test_users_from_start_to_end(world: World, client: aiohttp.ClientSession) -> None:
    await _make(client, "acme")
    body = {"email": "Ann@Example.com", "password": PASSWORD, "organization": "acme", "role": "admin"}
    status, answer = await _ask(client, "POST", "/users", json=body | {"platform_admin": True, "display_name": "Ann"})
    ann = answer["data"]
    assert status == 201
    assert set(ann) == {
        "id",
        "email",
        "display_name",
        "platform_admin",
        "created_at",
        "updated_at",
        "disabled_at",
    }
    assert (ann["email"], ann["display_name"], ann["platform_admin"]) == ("ann@example.com", "Ann", True)
    assert (await _ask(client, "GET", "/users?organization=acme&limit=1"))[1]["data"] == [ann]
    path = "/users/ann%40example.com"
    assert (await _ask(client, "POST", f"{path}/password", json={"password": "another long one"}))[0] == 200
    disabled = await _ask(client, "POST", f"{path}/disable")
    assert disabled[1]["data"]["disabled_at"] is not None
    assert await world.kinds() == [
        "organization.created",
        "user.created",
        "user.password_changed",
        "user.disabled",
    ]


async def test_repeats_make_one(world: World, client: aiohttp.ClientSession) -> None:
    header = {"Idempotency-Key": "k"}
    first, again = [await _make(client, "acme", headers=header) for _ in range(2)]
    assert first == again
    user = {"email": "a@b.c", "password": PASSWORD, "organization": "acme", "idempotency_key": "k"}
    made = [await _ask(client, "POST", "/users", json=user) for _ in range(2)]
    assert made[0][1]["data"] == made[1][1]["data"]
    rows = await world.database.read(
        lambda conn: conn.execute("SELECT route, request_digest FROM idempotency_keys").fetchall()
    )
    assert {route for route, _digest in rows} == {"operator POST /organizations", "operator POST /users"}


async def test_pages(client: aiohttp.ClientSession) -> None:
    made = [(await _make(client, f"org-{number}"))["slug"] for number in range(3)]
    for number in range(3):
        user = {"email": f"u{number}@b.c", "password": PASSWORD, "organization": "org-0"}
        assert (await _ask(client, "POST", "/users", json=user))[0] == 201
    for path, name, wanted in (
        ("/organizations?limit=2", "slug", made[::-1]),
        ("/users?limit=2", "email", ["u2@b.c", "u1@b.c", "u0@b.c"]),
        ("/users?limit=2&organization=org-0", "email", ["u2@b.c", "u1@b.c", "u0@b.c"]),
    ):
        status, first = await _ask(client, "GET", path)
        assert status == 200
        status, rest = await _ask(client, "GET", first["links"]["next"].removeprefix("/operator"))
        assert [item[name] for item in [*first["data"], *rest["data"]]] == wanted
        assert "next" not in rest["links"]


async def test_token_of_a_user(world: World, client: aiohttp.ClientSession) -> None:
    await world.make_org("acme")
    user = await world.make_user("ann")
    await world.make_org("other")
    for body, lifetime in ({"user": user.email}, 3600), ({"user": user.id, "organization": "acme", "ttl_s": 60}, 60):
        status, answer = await _ask(client, "POST", "/tokens", json=body)
        assert (status, answer["data"]["token_type"], answer["data"]["expires_in"]) == (201, "bearer", lifetime)
        principal = await world.sessions.authenticate(answer["data"]["access_token"])
        assert principal is not None
        assert principal.id == user.id
    assert (await world.kinds())[-2:] == ["user.token_issued"] * 2
    await world.users.disable(user.id)
    for body, expected in (
        ({"user": "nobody@example.com"}, 404),
        ({"user": user.id, "ttl_s": 59}, 400),
        ({"user": user.id, "ttl_s": 10**9}, 400),
        ({"user": user.id}, 409),
        ({"user": (await world.make_user("ben")).id, "organization": "other"}, 404),
    ):
        assert (await _ask(client, "POST", "/tokens", json=body))[0] == expected, body


def test_bodies_hide_the_password_when_shown() -> None:
    shown = repr(CreateUserBody(email="a@b.c", password=PASSWORD)) + repr(PasswordBody(password=PASSWORD))
    assert PASSWORD not in shown
