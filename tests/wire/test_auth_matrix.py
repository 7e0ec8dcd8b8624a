"""Every route against every kind of caller: what each may see is computed from the route's own declaration."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from alloyd.domain.keys.model import IssuedKey, new_raw_key
from alloyd.domain.orgs.model import Organization
from alloyd.kit.ids import new_id
from alloyd.principal import ACTIONS, SCOPES, Role
from alloyd.wire.route import OPERATOR, PUBLIC, SIGNED_IN, BoundRoute
from alloyd.wire.server import Server
from tests.identity import World, open_world, public_server, serve

RANKS = ["viewer", "member", "admin", "owner"]
# Where a surface reads its key, and the broad scope it wants; control takes each finer one too.
HEADERS = {"private": "api-key", "control": "Authorization"}
FINE = SCOPES - {"private", "control"}


@dataclass(frozen=True)
class Caller:
    """One kind of caller. ``header`` is where it puts its key, None for where the surface wants it."""

    name: str
    role: str = "owner"
    scopes: frozenset[str] = frozenset({"private", "control"})
    works: bool = True  # whether its key is there and neither disabled, revoked nor expired
    header: str | None = None
    raw: str | None = field(default=None, repr=False, compare=False)

    def headers_for(self, surface: str) -> dict[str, str]:
        if self.raw is None:
            return {}
        name = self.header or HEADERS[surface]
        return {name: f"Bearer {self.raw}" if name == "Authorization" else self.raw}


def expected_status(bound: BoundRoute, caller: Caller) -> int | None:
    """401 or 403 for a caller who is refused, None for one who is let in (whatever the handler then says)."""
    surface, permission = bound.surface.name, bound.route.permission
    if permission == PUBLIC:
        return None
    if not caller.works or caller.header not in (None, HEADERS[surface]):
        return 401
    accepted = {surface} | (FINE if surface == "control" else set())
    if not accepted & caller.scopes:
        return 401
    if permission == SIGNED_IN:
        return None
    if permission == OPERATOR:
        return 403
    rule = ACTIONS[permission]
    if RANKS.index(caller.role) < RANKS.index(rule.role.value):
        return 403
    return None if caller.scopes & {surface, rule.scope} else 403


def path_of(bound: BoundRoute, ids: Mapping[str, str] | None = None) -> str:
    """The route's path with its parameters filled in: those of ``ids`` by name, else an id that is nowhere."""
    return re.sub(r"\{(\w+)(?::[^}]*)?\}", lambda match: (ids or {}).get(match[1], new_id()), bound.path)


@dataclass
class Scene:
    """A running server, its world, and one caller of each kind in organization `acme`."""

    world: World
    server: Server
    client: TestClient[Any, Any]
    acme: Organization
    callers: list[Caller]


async def _callers(world: World, acme: Organization) -> list[Caller]:
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


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_world(tmp_path, cache_max=1000) as world:
        acme = await world.make_org("acme")
        callers = await _callers(world, acme)
        server = public_server(world)
        async with serve(server) as client:
            yield Scene(world, server, client, acme, callers)


async def test_every_route_for_every_caller(scene: Scene) -> None:
    wrong = []
    refused = let_in = 0
    for bound in scene.server.bound_routes():
        for caller in scene.callers:
            headers = caller.headers_for(bound.surface.name)
            async with scene.client.request(bound.route.method, path_of(bound), headers=headers) as response:
                expected, got = expected_status(bound, caller), response.status
            refused, let_in = refused + (expected is not None), let_in + (expected is None)
            right = got == expected if expected is not None else got not in (401, 403) and got < 500
            if not right:
                wrong.append(f"{bound.route.method} {bound.path} for {caller.name}: {got}, not {expected or 'let in'}")
    assert not wrong, "\n".join(wrong)
    assert refused > 50
    assert let_in > 50


async def test_every_401_has_the_same_words(scene: Scene) -> None:
    said: dict[str, set[str]] = {}
    for bound in scene.server.bound_routes():
        for caller in scene.callers:
            if expected_status(bound, caller) != 401:
                continue
            headers = caller.headers_for(bound.surface.name)
            async with scene.client.request(bound.route.method, path_of(bound), headers=headers) as response:
                body = await response.json()
            said.setdefault(bound.surface.name, set()).add(str((body.get("data"), body["error"], body.get("message"))))
    assert {surface: len(words) for surface, words in said.items()} == {"control": 1, "private": 1}


async def test_credential_is_asked_before_body_and_query(scene: Scene) -> None:
    for bound in scene.server.bound_routes():
        if bound.route.permission == PUBLIC:
            continue
        path = f"{path_of(bound)}?limit=no&cursor=no"
        async with scene.client.request(bound.route.method, path, data=b"{not json") as response:
            assert response.status == 401, bound.path


async def test_what_is_another_organizations_is_not_there(scene: Scene) -> None:
    """Each route by id: what exists elsewhere is answered word for word like what exists nowhere."""
    theirs = await scene.world.make_org("theirs")
    their_key = await scene.world.issue(theirs)
    foreign = {"/v1/organizations/{id}": theirs.id, "/v1/api-keys/{id}": their_key.key.id}
    foreign["/v1/api-keys/{id}/disable"] = their_key.key.id
    owner = next(caller for caller in scene.callers if caller.name == "owner of every surface")
    by_id = [bound for bound in scene.server.bound_routes() if "{" in bound.path]
    assert {bound.path for bound in by_id} == set(foreign)
    for bound in by_id:
        answers = []
        for id_ in (foreign[bound.path], new_id(), "x", "a" * 3000):
            path = path_of(bound, {"id": id_})
            async with scene.client.request(
                bound.route.method, path, headers=owner.headers_for(bound.surface.name)
            ) as response:
                body = await response.json()
            answers.append((response.status, body["data"], body["error"], body["context"], body["links"]))
        assert answers[0][0] == 404, bound.path
        assert all(answer == answers[0] for answer in answers), (bound.path, answers)
    assert (await scene.world.signed_in(their_key)) is not None
