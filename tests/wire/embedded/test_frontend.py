"""Credentials: what a key opens, what an end user's token opens, and for whom."""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import product

import jwt
import msgspec
import pytest

from alloyd.domain.keys.model import new_raw_key
from tests.wire.embedded.world import Room

OPEN = [("GET", "/integrations"), ("PUT", "/workflows/activate"), ("PUT", "/workflows/deactivate")]
CLOSED = [
    ("POST", "/users"),
    ("GET", "/users"),
    ("GET", "/users/{user}"),
    ("PUT", "/users/{user}"),
    ("DELETE", "/users/{user}"),
    ("GET", "/users/{user}/token"),
    ("DELETE", "/users/{user}/logs"),
    ("POST", "/run/event"),
    ("GET", "/workflows"),
    ("GET", "/workflows/{workflow}/logs?userId={user}"),
    ("GET", "/workflows/{workflow}/errors?userId={user}"),
    ("PUT", "/workflows/{workflow}/upgrade"),
    ("POST", "/workflows/{workflow}/install"),
    ("DELETE", "/workflows/{workflow}?userId={user}"),
]
FORGED = "x" * 43


def _carry(where: str, token: str) -> dict[str, str]:
    return {"x-alloy-user-token": token} if where == "header" else {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("where", ["header", "bearer"])
async def test_a_token_acts_for_its_own_user(room: Room, where: str) -> None:
    workflow = await room.workflow()
    await room.integration("shopify", "acme", workflow)
    jane, joe = await room.user("jane"), await room.user("joe")
    headers = _carry(where, await room.token(jane))
    for named in ("", f"?userId={jane}", f"?userId={joe}", "?userId=nobody"):
        (found,) = (await room.good("GET", f"/integrations{named}", key=None, headers=headers))["integrations"]
        assert found["installed"] is False
    for body in ({"workflowId": workflow}, {"workflowId": workflow, "userId": joe}):
        await room.good("PUT", "/workflows/activate", body, key=None, headers=headers)
    (other,) = (await room.good("GET", f"/workflows?userId={joe}"))["workflows"]
    assert other["installed"] is False
    (found,) = (await room.good("GET", "/integrations", key=None, headers=headers))["integrations"]
    assert found["installed"] is True
    await room.good("PUT", "/workflows/deactivate", {"workflowId": workflow}, key=None, headers=headers)
    (found,) = (await room.good("GET", f"/workflows?userId={jane}"))["workflows"]
    assert found["active"] is False


async def test_a_token_installs_only_what_is_offered(room: Room) -> None:
    hidden, jane = await room.workflow(), await room.user("jane")
    headers = _carry("header", await room.token(jane))
    answer = await room.ask("PUT", "/workflows/activate", {"workflowId": hidden}, key=None, headers=headers)
    assert answer.status == 404


async def test_all_else_needs_the_key(room: Room) -> None:
    workflow, user = await room.workflow(), await room.user("jane")
    for (method, path), where in product(CLOSED, ("header", "bearer")):
        headers = _carry(where, await room.token(user))
        whole = path.format(user=user, workflow=workflow)
        for spelled in (whole, f"/{whole}"):
            answer = await room.ask(method, spelled, key=None, headers=headers)
            assert (answer.status, answer.body["message"]) == (401, "Invalid API key")
        if where == "header":  # it does not become more by a key beside it
            assert (await room.ask(method, whole, headers=headers)).status == 401


def _tampered(token: str) -> str:
    head, claims, mark = token.split(".")
    told = msgspec.json.decode(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    told["sub"] = "usr_" + "0" * 32
    changed = base64.urlsafe_b64encode(msgspec.json.encode(told)).rstrip(b"=").decode()
    return f"{head}.{changed}.{mark}"


def _claims(token: str) -> dict[str, object]:
    found: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return found


BAD_TOKENS: dict[str, Callable[[str], str]] = {
    "empty": lambda _token: "",
    "nonsense": lambda _token: "nonsense",
    "tampered": _tampered,
    "cut off": lambda token: token[:-5],
    "unsigned": lambda token: jwt.encode(_claims(token), "", algorithm="none"),
    "forged": lambda token: jwt.encode(_claims(token), FORGED, algorithm="HS256"),
    "other algorithm": lambda token: jwt.encode(_claims(token), FORGED * 2, algorithm="HS512"),
    "a key": lambda _token: new_raw_key(),
}


async def test_a_bad_token_is_401_everywhere(room: Room) -> None:
    token = await room.token(await room.user("jane"))
    for fault, where in product(sorted(BAD_TOKENS), ("header", "bearer")):
        headers = _carry(where, BAD_TOKENS[fault](token))
        said = set()
        for method, path in OPEN:
            answer = await room.ask(method, path, key=None, headers=headers)
            assert answer.status == 401
            said.add(answer.body["message"])
        assert said == {"Invalid user token" if where == "header" else "Invalid API key"}


async def test_a_token_ends_with_its_time(room: Room) -> None:
    token = await room.token(await room.user("jane"))
    claims = _claims(token)
    assert set(claims) == {"sub", "org", "aud", "iat", "exp", "jti"}
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 15 * 60
    room.served.clock.advance(15 * 60_000 - 1000)
    await room.good("GET", "/integrations", key=None, headers=_carry("header", token))
    room.served.clock.advance(1000)
    assert (await room.ask("GET", "/integrations", key=None, headers=_carry("header", token))).status == 401


async def test_a_token_ends_with_its_user(room: Room) -> None:
    user = await room.user("jane")
    token = await room.token(user)
    await room.good("DELETE", f"/users/{user}")
    await room.user("jane")  # the name is free again; the token is not hers
    assert (await room.ask("GET", "/integrations", key=None, headers=_carry("header", token))).status == 401


async def test_a_token_opens_no_other_surface(room: Room) -> None:
    token = await room.token(await room.user("jane"))
    status, _envelope, _headers = await room.served.ask(
        "GET", "/workflow-definitions", key=None, headers={"Authorization": f"Bearer {token}"}
    )
    assert status == 401


@pytest.mark.parametrize(
    "scopes", [("control",), ("private",), ("integrations:read", "integrations:write"), ("control", "private")]
)
async def test_a_key_of_another_scope_is_401(room: Room, scopes: tuple[str, ...]) -> None:
    await room.key("acme", *scopes)
    headers = {"Authorization": f"Bearer {await room.key('acme', *scopes)}"}
    assert (await room.ask("GET", "/users", key=None, headers=headers)).status == 401


async def test_a_disabled_key_is_401(room: Room) -> None:
    raw = await room.key("acme admin")
    await room.good("GET", "/users", key="acme admin")
    who = room.operator("acme")
    (key,) = [key for key in await room.served.app.keys.list_all(who, 50) if key.name == "acme admin"]
    await room.served.app.keys.disable(who, key.id)
    assert (await room.ask("GET", "/users", key=None, headers={"Authorization": f"Bearer {raw}"})).status == 401


async def test_the_role_limits_a_key(room: Room) -> None:
    user = await room.user("jane")
    await room.good("GET", f"/users/{user}", key="acme viewer")
    assert (await room.ask("POST", "/users", {"username": "joe"}, key="acme viewer")).status == 403
    assert (await room.ask("GET", f"/users/{user}/token", key="acme viewer")).status == 403
