"""Every kind of caller there is: keys of each sort and state, users, and credentials that are none."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import jwt
from aiohttp.test_utils import TestClient

from alloyd.domain.authz.model import CreateGrant, Effect
from alloyd.domain.authz.service import GrantService
from alloyd.domain.keys.model import IssuedKey, new_raw_key
from alloyd.domain.orgs.model import Organization
from alloyd.domain.sessions.tokens import Tokens
from alloyd.domain.users.model import User
from alloyd.kit.ids import new_id
from alloyd.principal import ACTIONS, SCOPES, SURFACE_SCOPES, Role
from tests.identity import PASSWORD, World

RANKS = ["viewer", "member", "admin", "owner"]
# Where a surface reads its key, and the broad scope it wants; control takes each finer one too.
HEADERS = {
    "private": "api-key",
    "control": "Authorization",
    "embedded": "Authorization",
    "embedded-dated": "Authorization",
    "objects": "Authorization",
    "openai": "Authorization",
    "channel": "api-key",
}
KNOWN_SECRET = bytes(range(32))
FINE = SCOPES - SURFACE_SCOPES
RUNS_READ = frozenset({"runs:read"})


@dataclass(frozen=True)
class Caller:
    """One kind of caller. ``header`` is where it puts its key, None for where the surface wants it."""

    name: str
    role: str = "owner"
    scopes: frozenset[str] = SURFACE_SCOPES
    works: bool = True  # whether its credential is there and neither disabled, revoked nor expired
    platform_admin: bool = False
    elsewhere: str = ""  # a user's role in a second organization
    allows: frozenset[str] = frozenset()  # by grants, beyond the role
    denies: frozenset[str] = frozenset()  # by grants, whatever the role
    header: str | None = None
    bound: bool = False  # to a teammate
    raw: str | None = field(default=None, repr=False, compare=False)

    def headers_for(self, surface: str) -> dict[str, str]:
        if self.raw is None:
            return {}
        name = self.header or HEADERS.get(surface, "Authorization")
        return {name: f"Bearer {self.raw}" if name == "Authorization" else self.raw}


async def make_callers(world: World, acme: Organization) -> list[Caller]:
    async def make(name: str, **more: Any) -> Caller:
        caller = Caller(name, **more)
        issued = await world.issue(acme, sorted(caller.scopes), Role(caller.role))
        return Caller(name, **more, raw=issued.raw)

    operator = world.operator_of(acme.id)
    disabled, revoked, rotated = [await world.issue(acme) for _ in range(3)]
    expired = await world.issue(acme, expires_at=world.clock.now_ms() + 1)
    archived_org = await world.make_org("archived")
    archived = await world.issue(archived_org)
    for issued in (disabled, revoked, rotated, expired, archived):
        assert await world.signed_in(issued) is not None  # so that all of them were cached when they ended
    await world.keys.disable(operator, disabled.key.id)
    await world.keys.revoke(operator, revoked.key.id)
    await world.keys.rotate(operator, rotated.key.id)
    await world.orgs.archive(archived_org.id)
    world.clock.advance(1)

    def ended(name: str, issued: IssuedKey) -> Caller:
        return Caller(name, works=False, raw=issued.raw)

    return [
        Caller("anonymous", works=False),
        Caller("unknown key", works=False, raw=new_raw_key()),
        Caller("malformed key", works=False, raw="alloy_nonsense"),
        Caller("absurdly long key", works=False, raw="a" * 7000),
        ended("disabled", disabled),
        ended("revoked", revoked),
        ended("rotated", rotated),
        ended("expired", expired),
        ended("archived organization", archived),
        *[await make(f"{role} of every surface", role=role) for role in RANKS],
        *[await make(f"owner by {scope} alone", scopes=frozenset({scope})) for scope in sorted(SCOPES)],
        *[await make(f"viewer by {scope} alone", role="viewer", scopes=frozenset({scope})) for scope in sorted(FINE)],
        await make("key in Authorization", header="Authorization"),
        await make("key in api-key", header="api-key"),
    ]


async def make_refined_callers(world: World, acme: Organization) -> list[Caller]:
    """Keys with grants, which were in use before they had them."""
    grants = GrantService(world.database, world.hub)
    grants.on_change(world.keys.forget_grants)
    whole = frozenset({action.partition(".")[0] for action in ACTIONS})

    async def make(name: str, allowed: Collection[str] = (), denied: Collection[str] = (), **more: Any) -> Caller:
        caller = Caller(name, **more)
        issued = await world.issue(acme, sorted(caller.scopes), Role(caller.role))
        assert await world.signed_in(issued) is not None
        for effect, actions in ((Effect.ALLOW, allowed), (Effect.DENY, denied)):
            for action in sorted(actions):
                new = CreateGrant(f"api_key:{issued.key.id}", action, effect)
                await grants.create(world.operator_of(acme.id), new)
        return replace(caller, raw=issued.raw)

    every, half = frozenset(ACTIONS), frozenset(sorted(ACTIONS)[::2])
    all_of_each = [f"{resource}.*" for resource in whole]
    return [
        await make("viewer allowed everything", every, role="viewer", allows=every),
        await make("viewer allowed half", half, role="viewer", allows=half),
        await make("admin denied half", (), half, role="admin", denies=half),
        await make("member allowed and denied everything", all_of_each, all_of_each, role="member", denies=every),
        await make("allowed everything, by one scope", all_of_each, role="viewer", allows=every, scopes=RUNS_READ),
    ]


async def make_bound_callers(world: World, client: TestClient[Any, Any], acme: Organization) -> list[Caller]:
    """Keys that are bound to a teammate: of any role, and one whose teammate is gone."""
    headers = {"Authorization": f"Bearer {(await world.issue(acme)).raw}"}

    async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with client.post(path, json=body, headers=headers) as response:
            assert response.status == 201, await response.text()
            made: dict[str, Any] = (await response.json())["data"]
        return made

    async def make(role: str, teammate_id: str) -> Caller:
        body = {"name": "bound", "role": role, "teammate_id": teammate_id}
        raw = (await post("/v1/api-keys", body))["key"]
        return Caller(f"{role} bound to a teammate", role=role, bound=True, raw=raw)

    stays, goes = [(await post("/v1/teammates", {"name": name, "channel": "api"}))["id"] for name in ("Ann", "Bob")]
    orphan = await make("owner", goes)
    async with client.delete(f"/v1/teammates/{goes}", headers=headers) as response:
        assert response.status == 200
    return [*[await make(role, stays) for role in RANKS], replace(orphan, name="bound to a gone teammate", works=False)]


async def make_user_callers(world: World) -> list[Caller]:
    """Users of organization `acme`, of others, and of none; and tokens that are none."""
    by_token = frozenset({"control"})

    async def make(name: str, slug: str = "acme", **more: Any) -> tuple[Caller, User]:
        caller = Caller(f"user: {name}", scopes=by_token, **more)
        user = await world.make_user(
            re.sub("[^a-z]", "-", name), slug, Role(caller.role), platform_admin=caller.platform_admin
        )
        return replace(caller, raw=(await world.token(user)).token), user

    async def ended(name: str, end: Callable[[User], Awaitable[Any]]) -> Caller:
        caller, user = await make(name)
        assert caller.raw is not None
        assert await world.sessions.authenticate(caller.raw) is not None  # so that it was cached when it ended
        await end(user)
        return replace(caller, works=False)

    def forged(name: str, raw: str) -> Caller:
        return Caller(f"token: {name}", scopes=by_token, works=False, raw=raw)

    async def leave(user: User) -> None:
        acme = await world.orgs.get_by_name("acme")
        await world.database.write(lambda tx: world.users.members.remove(tx, acme.id, user.id))

    await world.make_org("second")
    await make("heir of acme")
    two, user_of_two = await make("viewer here and owner there", role="viewer")
    world.clock.advance(1000)
    await world.join(user_of_two, "second", Role.OWNER)
    none, user_of_none = await make("member of nothing")
    await leave(user_of_none)
    ann, user = await make("owner")
    claims = (await world.token(user)).claims
    fields = {name: getattr(claims, name) for name in claims.__struct_fields__}
    secret, header = KNOWN_SECRET, {"kid": Tokens(KNOWN_SECRET, world.clock).kid}
    expired = (await world.token(user, ttl_s=60)).token
    world.clock.advance(60_000)
    return [
        ann,
        *[(await make(f"{role} of acme", role=role))[0] for role in RANKS[:3]],
        (await make("owner of second", "second"))[0],
        (await make("platform admin", role="viewer", platform_admin=True))[0],
        replace(two, elsewhere="owner"),
        replace(none, role="", raw=(await world.token(user_of_none)).token),
        await ended("disabled", lambda user: world.users.disable(user.id)),
        await ended("changed password", lambda user: world.users.set_password(user.id, f"{PASSWORD}!")),
        await ended("signed out", lambda user: world.users.sign_out_everywhere(user.id)),
        await ended("expelled", leave),
        forged("expired", expired),
        forged("of another audience", jwt.encode({**fields, "aud": "embedded"}, secret, headers=header)),
        forged("of another issuer", jwt.encode({**fields, "iss": "x"}, secret, headers=header)),
        forged("of another kind", jwt.encode({**fields, "typ": "refresh"}, secret, headers=header)),
        forged("signed by another key", jwt.encode(fields, bytes(32), headers=header)),
        forged("by another algorithm", jwt.encode(fields, secret * 2, algorithm="HS512", headers=header)),
        forged("not signed", jwt.encode(fields, "", algorithm="none", headers=header)),
        forged("of another user id", jwt.encode({**fields, "sub": new_id()}, secret, headers=header)),
        forged("critical", jwt.encode(fields, secret, headers={**header, "crit": ["exp"]})),
    ]
