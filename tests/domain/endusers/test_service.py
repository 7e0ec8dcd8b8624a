"""End users and their tokens over the whole program."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from alloyd.domain.endusers.model import EndUser, EndUserToken
from alloyd.domain.endusers.service import EndUserService
from alloyd.errors import AlloydError, Code
from alloyd.principal import Principal
from tests.app import Served, open_app
from tests.people import sign_in


@dataclass
class Scene:
    """Two organizations with an end user `ann` in each."""

    served: Served
    users: EndUserService
    acme: Principal
    other: Principal
    ann: EndUser
    namesake: EndUser

    async def token(self) -> EndUserToken:
        return await self.users.issue_token(self.acme, "ann")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_app(tmp_path) as served:
        acme, other, users = await served.principal(), await served.principal("other"), served.app.end_users
        ann, namesake = await users.create(acme, "ann"), await users.create(other, "ann")
        yield Scene(served, users, acme, other, ann, namesake)


async def test_the_id_goes_before_the_username(scene: Scene) -> None:
    assert await scene.users.get(scene.acme, scene.ann.id) == await scene.users.get(scene.acme, "ann") == scene.ann
    assert await scene.users.get(scene.other, "ann") == scene.namesake
    for unknown in ("", "Ann", "bea", scene.namesake.id, "usr_" + "0" * 32, "\ud800", "a\0b", "x" * 10_000):
        assert await scene.users.find(scene.acme, unknown) is None
        with pytest.raises(AlloydError) as caught:
            await scene.users.get(scene.acme, unknown)
        assert (caught.value.code, caught.value.message) == (Code.NOT_FOUND, "user not found")


async def test_whose_a_user_is(scene: Scene) -> None:
    assert await scene.users.find_organization(scene.ann.id) == scene.acme.org_id
    for unknown in ("ann", "usr_" + "0" * 32, "\ud800"):
        assert await scene.users.find_organization(unknown) is None
    await scene.users.delete(scene.acme, "ann")
    assert await scene.users.find_organization(scene.ann.id) is None


async def test_a_token_says_who_and_until_when(scene: Scene) -> None:
    issued = await scene.token()
    claims = jwt.decode(issued.token, options={"verify_signature": False})
    now_s = scene.served.clock.now_ms() // 1000
    assert set(claims) == {"sub", "org", "aud", "iat", "exp", "jti"}
    assert (claims["sub"], claims["org"], claims["aud"]) == (scene.ann.id, scene.acme.org_id, "embedded")
    assert (claims["iat"], claims["exp"], issued.expires_in_s) == (now_s, now_s + 900, 900)
    assert jwt.get_unverified_header(issued.token)["alg"] == "HS256"
    assert issued.token not in repr(issued)
    bearer = await scene.users.check_token(issued.token)
    assert bearer is not None
    assert (bearer.user, bearer.token_id, bearer.expires_at) == (scene.ann, claims["jti"], claims["exp"] * 1000)
    assert (await scene.token()).claims.jti != claims["jti"]


async def test_a_token_ends_with_its_time(scene: Scene) -> None:
    token = (await scene.token()).token
    scene.served.clock.advance(899_999)
    assert await scene.users.check_token(token) is not None
    scene.served.clock.advance(1)
    assert await scene.users.check_token(token) is None


async def test_a_token_ends_with_its_user(scene: Scene) -> None:
    token = (await scene.token()).token
    assert await scene.users.check_token(token) is not None
    await scene.users.delete(scene.acme, "ann")
    assert await scene.users.check_token(token) is None
    await scene.users.create(scene.acme, "ann")  # somebody else of that name
    assert await scene.users.check_token(token) is None


async def test_a_token_ends_with_its_organization(scene: Scene) -> None:
    token = (await scene.token()).token
    await scene.served.app.orgs.archive(scene.acme.org_id)
    assert await scene.users.check_token(token) is None


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


async def test_what_is_no_token(scene: Scene) -> None:
    token = (await scene.token()).token
    header, payload, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    theirs = _part({**claims, "sub": scene.namesake.id, "org": scene.other.org_id})
    swapped = "B" if signature[0] == "A" else "A"
    none = _part({**jwt.get_unverified_header(token), "alg": "none"})
    wrong = [
        "",
        "x",
        "a.b.c",
        "\u00e4" + token,
        f"{header}.{payload}.",
        f"{header}.{payload}.{swapped}{signature[1:]}",
        f"{header}.{theirs}.{signature}",
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        jwt.encode(claims, "guess-guess-guess-guess-guess-guess", algorithm="HS256"),
        token + "x" * 5000,
    ]
    for raw in wrong:
        assert await scene.users.check_token(raw) is None, raw


async def test_a_key_serves_one_use_only(scene: Scene) -> None:
    """Neither kind of token is taken for the other: each has a key and an audience of its own."""
    token = (await scene.token()).token
    status, _envelope, _headers = await scene.served.ask("GET", "/me", headers={"Authorization": f"Bearer {token}"})
    assert status == 401
    signed_in = await scene.served.key((await sign_in(scene.served, "pat", "acme admin")).name)
    assert await scene.users.check_token(signed_in) is None
    app = scene.served.app
    users = EndUserService(app.database, scene.served.clock, app.keyring.secret("jwt"), 900)
    assert await users.check_token(signed_in) is None  # even signed by the same key


async def test_hooks_run_before_a_user_is_gone(scene: Scene) -> None:
    seen = []
    scene.users.on_delete(lambda _tx, org_id, user_id: seen.append((org_id, user_id)))
    await scene.users.delete(scene.acme, scene.ann.id)
    assert seen == [(scene.acme.org_id, scene.ann.id)]
    with pytest.raises(AlloydError):
        await scene.users.delete(scene.acme, scene.ann.id)
    assert len(seen) == 1
