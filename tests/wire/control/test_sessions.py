"""`/v1/auth/token` and `/v1/auth/revoke`, and what a token opens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from alloyd.domain.sessions.model import SessionSettings, Use
from alloyd.domain.users.model import User
from alloyd.errors import AlloydError, Code
from alloyd.principal import Role
from alloyd.wire.control.sessions import SignInBody
from alloyd.wire.server import Server
from tests.identity import PASSWORD, World, api_key, bearer, open_world, public_server, serve

Client = TestClient[Any, Any]
SETTINGS = SessionSettings(attempts_per_account=2, attempts_per_address=3, attempts_window_s=60)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, settings=SETTINGS) as opened:
        await opened.make_org("acme")
        yield opened


@pytest.fixture
def server(world: World) -> Server:
    return public_server(world)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with serve(server) as opened:
        yield opened


@pytest.fixture
async def ann(world: World) -> User:
    return await world.make_user("ann", role=Role.ADMIN)


async def _ask(client: Client, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async with client.request(method, path, **more) as response:
        return response.status, await response.json()


async def _sign_in(client: Client, **body: Any) -> tuple[int, dict[str, Any]]:
    return await _ask(client, "POST", "/v1/auth/token", json={"email": "ann@example.com", "password": PASSWORD, **body})


async def test_sign_in_and_go_on(world: World, client: Client, ann: User) -> None:
    async with client.post("/v1/auth/token", json={"email": ann.email, "password": PASSWORD}) as response:
        answer = await response.json()
        assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
    assert set(answer["data"]) == {"access_token", "token_type", "expires_in"}
    assert (answer["data"]["token_type"], answer["data"]["expires_in"]) == ("bearer", 3600)
    assert answer["context"] == {"principal_id": None, "organization_id": None, "team_id": None}
    status, answer = await _ask(
        client, "GET", "/v1/me", headers={"Authorization": f"bearer {answer['data']['access_token']}"}
    )
    org = await world.orgs.get_by_name("acme")
    assert (status, answer["context"]["principal_id"], answer["context"]["organization_id"]) == (200, ann.id, org.id)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": 7}, "password"),
        ({"email": None}, "email"),
        ({"email": "x" * 255}, "email"),
        ({"password": "x" * 1025}, "password"),
        ({"organization_id": 1}, "organization_id"),
    ],
)
async def test_malformed(client: Client, ann: User, body: dict[str, Any], field: str) -> None:
    status, answer = await _sign_in(client, **body)
    assert status == 400
    assert answer["error"]["details"]["field"] == field
    assert PASSWORD not in str(answer)


@pytest.mark.parametrize(
    "data", [b'{"email": "ann@example.com", "password": "\\ud800"}', b'{"email": "\\u0000", "password": "x"}']
)
async def test_text_that_nobody_has(client: Client, ann: User, data: bytes) -> None:
    status, _answer = await _ask(
        client, "POST", "/v1/auth/token", data=data, headers={"Content-Type": "application/json"}
    )
    assert status in (400, 401)


async def test_refusals(world: World, client: Client, ann: User) -> None:
    foreign = await world.make_org("foreign")
    said = [
        await _sign_in(client, password="wrong"),  # not a password of anybody
        await _sign_in(client, email="nobody@example.com"),
    ]
    assert [status for status, _answer in said] == [401, 401]
    assert said[0][1]["error"] == said[1][1]["error"]
    assert (await _sign_in(client, organization_id=foreign.id))[0] == 404


async def test_too_many(world: World, server: Server, client: Client, ann: User) -> None:
    for _ in range(2):
        assert (await _sign_in(client, password="wrong"))[0] == 401
    async with client.post("/v1/auth/token", json={"email": ann.email, "password": PASSWORD}) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "30")
        assert (await response.json())["error"]["code"] == "rate_limited"
    assert (await _sign_in(client, email="b@example.com"))[0] == 401
    assert (await _sign_in(client, email="c@example.com"))[0] == 429  # by its address
    forwarded = {"X-Forwarded-For": "198.51.100.7"}
    body = {"email": "d@example.com", "password": "x"}
    assert (await _ask(client, "POST", "/v1/auth/token", json=body, headers=forwarded))[0] == 429  # anybody can say so
    server.trust_proxies(["127.0.0.0/8"])
    assert (await _ask(client, "POST", "/v1/auth/token", json=body, headers=forwarded))[0] == 401


async def test_a_password_in_the_query_is_not_taken(client: Client, ann: User) -> None:
    assert (await _ask(client, "POST", f"/v1/auth/token?email={ann.email}&password={PASSWORD}"))[0] == 400


def test_body_hides_the_password_when_shown() -> None:
    assert PASSWORD not in repr(SignInBody(email="a@b.c", password=PASSWORD))


async def test_sign_out(world: World, client: Client, ann: User) -> None:
    first, second = await world.token(ann), await world.token(ann)
    status, answer = await _ask(client, "POST", "/v1/auth/revoke", headers=bearer(first))
    assert (status, answer["data"]) == (200, {"everywhere": False})
    assert (await _ask(client, "GET", "/v1/me", headers=bearer(first)))[0] == 401
    assert (await _ask(client, "POST", "/v1/auth/revoke", headers=bearer(first)))[0] == 401
    assert (await _ask(client, "GET", "/v1/me", headers=bearer(second)))[0] == 200
    status, answer = await _ask(client, "POST", "/v1/auth/revoke", headers=bearer(second), json={"everywhere": True})
    assert (status, answer["data"]) == (200, {"everywhere": True})
    assert (await _ask(client, "GET", "/v1/me", headers=bearer(second)))[0] == 401


async def test_a_key_does_not_sign_out(world: World, client: Client) -> None:
    issued = await world.issue(await world.orgs.get_by_name("acme"))
    assert (await _ask(client, "POST", "/v1/auth/revoke", headers=bearer(issued)))[0] == 403
    assert (await _ask(client, "GET", "/v1/me", headers=bearer(issued)))[0] == 200


async def test_token_opens_the_control_plane_only(world: World, client: Client, ann: User) -> None:
    issued = await world.token(ann)
    for headers in ({"api-key": issued.token}, bearer(issued), {"api-key": f"Bearer {issued.token}"}):
        assert (await _ask(client, "GET", "/api/private/probe", headers=headers))[0] == 401
    assert (await _ask(client, "GET", "/v1/me", headers={"api-key": issued.token}))[0] == 401
    assert (await _ask(client, "GET", f"/v1/me?access_token={issued.token}"))[0] == 401


async def test_what_begins_like_a_key_is_no_token(
    world: World, client: Client, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await world.token(ann)
    asked: list[str] = []
    tokens = world.sessions._tokens[Use.CONTROL]
    find_claims = tokens.find_claims
    monkeypatch.setattr(tokens, "find_claims", lambda token: asked.append(token) or find_claims(token))
    for raw in (f"alloy_{issued.token}", "alloy_", "alloy_x", f"alloy_{'a' * 8}_{'b' * 43}"):
        assert (await _ask(client, "GET", "/v1/me", headers={"Authorization": f"Bearer {raw}"}))[0] == 401
    assert asked == []
    assert (await _ask(client, "GET", "/v1/me", headers=bearer(issued)))[0] == 200
    assert asked
    key = await world.issue(await world.orgs.get_by_name("acme"))
    asked.clear()
    assert (await _ask(client, "GET", "/api/private/probe", headers=api_key(key)))[0] == 200
    assert (await _ask(client, "GET", "/v1/me", headers=bearer(key)))[0] == 200
    assert asked == []


NEW = "another battery staple"


async def _change(client: Client, token: str, current: str = PASSWORD, new: str = NEW) -> tuple[int, dict[str, Any]]:
    body = {"current_password": current, "new_password": new}
    return await _ask(client, "PATCH", "/v1/me/password", json=body, headers={"Authorization": f"Bearer {token}"})


async def test_change_of_the_own_password(world: World, client: Client, ann: User) -> None:
    mine, other = [(await world.token(ann)).token for _ in range(2)]
    world.clock.advance(600_000)
    status, answer = await _change(client, mine)
    assert status == 200
    renewed = answer["data"]["access_token"]
    assert answer["data"]["expires_in"] == 3000
    for token, expected in ((mine, 401), (other, 401), (renewed, 200)):
        assert (await _ask(client, "GET", "/v1/me", headers={"Authorization": f"Bearer {token}"}))[0] == expected
    assert (await _sign_in(client))[0] == 401
    assert (await _sign_in(client, password=NEW))[0] == 200
    kinds = await world.kinds()
    assert kinds.count("user.password_changed") == 1
    assert NEW not in str(await world.told())


@pytest.mark.parametrize(
    ("current", "new", "status", "field"),
    [
        ("wrong", NEW, 403, "current_password"),
        ("", NEW, 403, "current_password"),
        (PASSWORD, "short", 400, "new_password"),
        (PASSWORD, f"{NEW}\n", 400, "new_password"),
        (PASSWORD, "x" * 1025, 400, "new_password"),
        ("x" * 1025, NEW, 400, "current_password"),
    ],
)
async def test_a_change_that_is_refused_ends_nothing(
    world: World, client: Client, ann: User, current: str, new: str, status: int, field: str
) -> None:
    token = (await world.token(ann)).token
    got, answer = await _change(client, token, current, new)
    assert got == status
    assert answer["error"]["message"].startswith(field)
    assert (await _ask(client, "GET", "/v1/me", headers={"Authorization": f"Bearer {token}"}))[0] == 200
    assert (await _sign_in(client))[0] == 200


async def test_guessing_the_present_password_is_throttled_with_signing_in(
    world: World, client: Client, ann: User
) -> None:
    token = (await world.token(ann)).token
    assert [(await _change(client, token, "wrong"))[0] for _ in range(3)] == [403, 403, 429]
    assert (await _change(client, token))[0] == 429
    assert (await _sign_in(client))[0] == 429
    world.clock.advance(60_000)
    assert (await _change(client, token))[0] == 200


async def test_a_key_has_no_password(world: World, client: Client) -> None:
    issued = await world.issue(await world.orgs.get_by_name("acme"))
    status, answer = await _change(client, issued.raw or "")
    assert (status, answer["error"]["code"]) == (403, "forbidden")


async def test_a_password_that_changes_meanwhile_is_not_overwritten(world: World, ann: User) -> None:
    account = await world.users.find_account(ann.id)
    assert account is not None
    await world.users.set_password(ann.id, f"{PASSWORD}!")
    with pytest.raises(AlloydError) as refused:
        await world.users.change_password(account, NEW)
    assert refused.value.code is Code.CONFLICT
    assert await world.users.check_password(ann.email, f"{PASSWORD}!") is not None
