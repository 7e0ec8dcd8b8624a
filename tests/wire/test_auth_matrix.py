"""Every route against every kind of caller: what each may see is computed from the route's own declaration."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient

from alloyd.app import App
from alloyd.config import Config
from alloyd.domain.keys.model import IssuedKey
from alloyd.domain.orgs.model import Organization
from alloyd.domain.workflows.sample import HELLO
from alloyd.kit.clock import ManualClock
from alloyd.kit.ids import new_id
from alloyd.principal import ACTIONS, Role
from alloyd.process.datadir import DataDir
from alloyd.process.keyring import Keyring
from alloyd.wire.route import OPERATOR, PLATFORM_ADMIN, PUBLIC, SIGNED_IN
from alloyd.wire.server import Server
from alloyd.wire.surface import BoundRoute
from tests.connectors import OWN_CONNECTOR
from tests.identity import World, serve
from tests.wire.callers import (
    FINE,
    HEADERS,
    KNOWN_SECRET,
    RANKS,
    Caller,
    make_bound_callers,
    make_callers,
    make_refined_callers,
    make_user_callers,
)

# Surfaces whose keys are another one's.
OPENED_BY = {"openai": "control", "channel": "private"}
SIGNED = "object-urls"


def expected_status(bound: BoundRoute, caller: Caller) -> int | None:
    """401 or 403 for a caller who is refused, None for one who is let in (whatever the handler then says)."""
    surface, permission = bound.surface.name.removesuffix("-dated"), bound.route.permission
    if permission == PUBLIC:
        return None
    if not caller.works or caller.header not in (None, HEADERS[surface]):
        return 401
    if surface == "objects":
        if not caller.name.startswith("user: "):
            return 401  # no key is accepted
        surface = "control"  # whose tokens these are
    if caller.bound:
        if surface != "channel":
            return 401
        return None if caller.role in RANKS[RANKS.index(ACTIONS[permission].role.value) :] else 403
    surface = OPENED_BY.get(surface, surface)
    accepted = {surface} | (FINE if surface == "control" else set())
    if not accepted & caller.scopes:
        return 401
    if permission == SIGNED_IN:
        return None
    if permission == OPERATOR:
        return 403
    if permission == PLATFORM_ADMIN:
        return None if caller.platform_admin else 403
    rule = ACTIONS[permission]
    if not caller.role:
        return 403
    if permission in caller.denies:
        return 403
    if RANKS.index(caller.role) < RANKS.index(rule.role.value) and permission not in caller.allows:
        return 403
    return None if caller.scopes & {surface, rule.scope} else 403


def is_right(bound: BoundRoute, caller: Caller, got: int) -> bool:
    """Whether the status ``got`` is one that the caller must see there."""
    expected = expected_status(bound, caller)
    if bound.surface.name == SIGNED:
        return got == 403  # whoever asks: the signature is the right
    if expected is None:
        return got not in (401, 403) and got < 500
    may_elsewhere = expected == 403 and expected_status(bound, replace(caller, role=caller.elsewhere)) is None
    if may_elsewhere and bound.route.body is not None and got == 400:
        return True  # the body could name the other organization, so it is read before the answer is no
    return got == expected


def path_of(bound: BoundRoute, ids: Mapping[str, str] | None = None) -> str:
    """The route's path with its parameters filled in: those of ``ids`` by name, else an id that is nowhere."""
    return re.sub(r"\{(\w+)(?::[^}]*)?\}", lambda match: (ids or {}).get(match[1], new_id()), bound.path)


# Routes that would end the caller's own credential: with this body they only say that it is wrong.
UNHARMFUL = {"/v1/auth/revoke": b'{"everywhere": 7}'}


@dataclass
class Scene:
    """A running server, its world, and one caller of each kind in organization `acme`."""

    world: World
    server: Server
    client: TestClient[Any, Any]
    acme: Organization
    callers: list[Caller]

    @property
    def routes(self) -> list[BoundRoute]:
        """All but the page's own, whose matrix is tests/wire/ui/test_matrix.py."""
        return [bound for bound in self.server.bound_routes() if not bound.surface.name.startswith("page")]


@asynccontextmanager
async def _whole_app(directory: Path) -> AsyncIterator[tuple[World, Server]]:
    """The program as it is, with every route that the network sees."""
    clock = ManualClock()
    with DataDir(directory / "data") as data_dir, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keyring, "secret", lambda _keyring, _purpose: KNOWN_SECRET)  # so that forgeries are near
        data_dir.prepare()
        data_dir.lock("test")
        app = await App.open(Config(), data_dir, clock)
        yield (
            World(app.database, clock, app.hub, app.event_log, app.orgs, app.keys, app.users, app.sessions),
            app.server,
        )
        await app.close(0)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with _whole_app(tmp_path) as (world, server), serve(server) as client:
        acme = await world.make_org("acme")
        keys = [*await make_callers(world, acme), *await make_refined_callers(world, acme)]
        keys += await make_bound_callers(world, client, acme)
        yield Scene(world, server, client, acme, [*keys, *await make_user_callers(world)])


async def test_every_route_for_every_caller(scene: Scene) -> None:
    wrong = []
    refused = let_in = 0
    for bound in scene.routes:
        for caller in scene.callers:
            headers, data = caller.headers_for(bound.surface.name), UNHARMFUL.get(bound.path)
            if data is not None:
                headers["Content-Type"] = "application/json"
            async with scene.client.request(bound.route.method, path_of(bound), headers=headers, data=data) as response:
                expected, got = expected_status(bound, caller), response.status
            refused, let_in = refused + (expected is not None), let_in + (expected is None)
            if not is_right(bound, caller, got):
                wrong.append(f"{bound.route.method} {bound.path} for {caller.name}: {got}, not {expected or 'let in'}")
    assert not wrong, "\n".join(wrong)
    assert refused > 50
    assert let_in > 50


async def test_every_401_has_the_same_words(scene: Scene) -> None:
    said: dict[str, set[str]] = {}
    for bound in scene.routes:
        for caller in scene.callers:
            if expected_status(bound, caller) != 401:
                continue
            headers = caller.headers_for(bound.surface.name)
            async with scene.client.request(bound.route.method, path_of(bound), headers=headers) as response:
                body = await response.json()
            said.setdefault(bound.surface.name, set()).add(str((body.get("data"), body["error"], body.get("message"))))
    assert {surface: len(words) for surface, words in said.items()} == dict.fromkeys(HEADERS, 1)


async def test_credential_is_asked_before_body_and_query(scene: Scene) -> None:
    for bound in scene.routes:
        if bound.route.permission == PUBLIC:
            continue
        path = f"{path_of(bound)}?limit=no&cursor=no"
        async with scene.client.request(bound.route.method, path, data=b"{not json") as response:
            assert response.status == 401, bound.path


# What stands at the place of a path's parameter, by the segment before it; a new kind of thing needs its own here.
THINGS = {
    "organizations": "organization",
    "api-keys": "api key",
    "workflow-definitions": "workflow",
    "trigger": "workflow",
    "workflow-runs": "run",
    "teams": "team",
    "invitations": "invitation",
    "grants": "grant",
    "schedules": "schedule",
    "webhooks": "webhook",
    "webhook-deliveries": "delivery",
    "hooks": "workflow",
    "dead-letters": "run",
    "jobs": "job",
    "assets": "asset",
    "objects": "object",
    "end-users": "end user",
    "connectors": "connector",
    "credentials": "credential",
    "clients": "connector",
    "integrations": "integration",
    "installations": "installation",
    "users": "end user",
    "workflows": "workflow",
    "models": "model",
    "teammates": "teammate",
}


# The least that a route by id takes, where an empty body is refused before the thing is looked for.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "/v1/organizations/{id}/members/{user_id}"): {"role": "viewer"},
    ("PATCH", "/v1/organizations/{id}"): {"name": "x"},
    ("PATCH", "/v1/teams/{id}"): {"name": "x"},
    ("PATCH", "/v1/credentials/{id}"): {"label": "x"},
    ("PUT", "/v1/organizations/{id}/budget"): {"limit_usd": 1},
    ("POST", "/v1/workflow-runs/{id}/signal"): {"name": "x"},
    ("POST", "/v1/workflow-definitions/{id}/releases"): {"release": "x"},
    ("POST", "/v1/teams/{id}/members"): {"user_id": "x"},
    ("PATCH", "/v1/end-users/{id}"): {"full_name": "x"},
    ("PATCH", "/v1/integrations/{id}"): {"name": "x"},
    ("POST", "/v1/integrations/{id}/workflows"): {"workflow_id": "x"},
    ("PATCH", "/v1/installations/{id}"): {"active": False},
    ("POST", "/v1/teammates/{id}/messages"): {"message": "x"},
    ("POST", "/api/teammates/{id}/messages"): {"message": "x"},
}


async def _finished_job(scene: Scene, issued: IssuedKey, job_id: str) -> str:
    """The job once nothing more is told of it."""
    headers = {"Authorization": f"Bearer {issued.raw}"}
    async with scene.client.get(f"/v1/jobs/{job_id}/events", headers=headers) as response:
        await response.read()
    return job_id


async def _conversation(scene: Scene, issued: IssuedKey, teammate_id: str) -> str:
    """One with a teammate that has replied, or failed to: nothing more is told of it."""
    headers = {"Authorization": f"Bearer {issued.raw}"}
    path = f"/v1/teammates/{teammate_id}"
    async with scene.client.post(f"{path}/messages", json={"message": "hello"}, headers=headers) as response:
        await response.read()
    async with scene.client.get(f"{path}/conversations", headers=headers) as response:
        (one,) = (await response.json())["data"]
    return str(one["id"])


async def _object(scene: Scene, issued: IssuedKey, workflow_id: str) -> str:
    """The file that a run was started with; the run has ended."""
    form = FormData()
    form.add_field("file", b"x", filename="x.txt")
    path = f"/api/private/trigger/{workflow_id}"
    async with scene.client.post(path, data=form, headers={"api-key": str(issued.raw)}) as response:
        run_id = (await response.json())["data"]["runId"]
    headers = {"Authorization": f"Bearer {issued.raw}"}
    async with scene.client.get(f"/v1/workflow-runs/{run_id}/events", headers=headers) as response:
        await response.read()
    async with scene.client.get(f"/v1/objects?workflow_run_id={run_id}", headers=headers) as response:
        (one,) = (await response.json())["data"]
    return str(one["id"])


async def _things_of(scene: Scene, slug: str) -> tuple[dict[str, str], IssuedKey]:
    """One of each of :data:`THINGS` in a new organization, and its owner's key."""
    org = await scene.world.make_org(slug)
    issued = await scene.world.issue(org)

    async def post(path: str, body: dict[str, Any]) -> str:
        headers = {"Authorization": f"Bearer {issued.raw}"}
        async with scene.client.post(path, json=body, headers=headers) as response:
            assert response.status in (201, 202)
            return str((await response.json())["data"]["id"])

    workflow = await post("/v1/workflow-definitions", HELLO)
    run = await post("/v1/workflow-runs", {"workflow_definition_id": workflow})
    grant = {
        "principal": (await scene.world.issue(org, role=Role.VIEWER)).key.id,
        "action": "run.read",
        "effect": "deny",
    }
    # Its deliveries stay here: nothing inside is open for them.
    webhook = await post("/v1/webhooks", {"url": "http://127.0.0.1:9/", "events": ["order.paid"]})
    end_user = await post("/v1/end-users", {"username": "ann@example.com"})
    teammate = await post("/v1/teammates", {"name": "Ann", "channel": "api"})
    things = {
        "end user": end_user,
        "integration": await post("/v1/integrations", {"slug": f"of-{slug}", "name": "App"}),
        "installation": await post("/v1/installations", {"end_user_id": end_user, "workflow_id": workflow}),
        "webhook": webhook,
        "job": await _finished_job(scene, issued, await post("/v1/jobs", {"modality": "text", "input": "x"})),
        "asset": await post("/v1/assets", {}),
        "delivery": await post(f"/v1/webhooks/{webhook}/test", {}),
        "schedule": await post("/v1/schedules", {"workflow_id": workflow, "cron": "@daily"}),
        "organization": org.id,
        "api key": issued.key.id,
        "workflow": workflow,
        "run": run,
        "team": await post("/v1/teams", {"slug": "core", "name": "Core"}),
        "invitation": await post("/v1/invitations", {"email": "invited@example.com", "role": "member"}),
        "grant": await post("/v1/grants", grant),
        "teammate": teammate,
        "conversation": await _conversation(scene, issued, teammate),
        "connector": await post("/v1/connectors", {"definition": OWN_CONNECTOR}),
        "credential": await post(
            "/v1/credentials", {"connector": "github", "kind": "bearer", "data": {"token": "not-a-token"}}
        ),
    }
    things["object"] = await _object(scene, issued, workflow)
    things["model"] = f"teammate/{things['teammate']}"
    return things, issued


async def test_what_is_another_organizations_is_not_there(scene: Scene) -> None:
    """Each route by id: what exists elsewhere is answered word for word like what exists nowhere."""
    theirs, their_key = await _things_of(scene, "theirs")
    told = await scene.world.told()
    names = {"owner of every surface", "user: owner", "user: viewer here and owner there"}
    callers = [caller for caller in scene.callers if caller.name in names]
    assert len(callers) == len(names)
    by_id = [bound for bound in scene.routes if "{" in bound.path and bound.surface.name != SIGNED]
    assert len(by_id) > 5
    for bound, caller in product(by_id, callers):
        if expected_status(bound, caller) is not None:
            continue
        before, _, parameter = bound.path.partition("{")
        name = parameter.partition("}")[0].partition(":")[0]
        thing = THINGS[before.rstrip("/").rpartition("/")[2]]
        answers = []
        for id_ in (theirs[thing], new_id(), "x", "a" * 3000):
            ids = {"conversation_id": theirs["conversation"], name: id_}
            path, headers = path_of(bound, ids), caller.headers_for(bound.surface.name)
            if bound.surface.lenient:
                path += "?userId=nobody"  # the embedded contract's lists are one user's
            body = BODIES.get((bound.route.method, bound.path))
            async with scene.client.request(bound.route.method, path, headers=headers, json=body) as response:
                body = await response.json()
            body.pop("meta", None)
            answers.append((response.status, body))
        assert answers[0][0] == 404, (bound.path, answers[0])
        assert all(answer == answers[0] for answer in answers), (bound.path, answers)
    assert await scene.world.told() == told  # nothing happened to any of it
    assert await scene.world.signed_in(their_key) is not None


async def test_a_user_of_several_organizations_acts_where_the_thing_is(scene: Scene) -> None:
    """By id no organization has to be named, whichever one the token is for."""
    theirs, _their_key = await _things_of(scene, "theirs")
    user = await scene.world.make_user("two")
    scene.world.clock.advance(1)
    await scene.world.join(user, "theirs", Role.OWNER)
    headers = {"Authorization": f"Bearer {(await scene.world.token(user, 'acme')).token}"}
    wrong = []
    for bound in scene.routes:
        before, _, parameter = bound.path.partition("{")
        if bound.route.method != "GET" or bound.surface.name != "control" or not parameter or bound.takes_ticket:
            continue
        thing = THINGS[before.rstrip("/").rpartition("/")[2]]
        path = path_of(
            bound,
            {"conversation_id": theirs["conversation"], "key": "greet", parameter.partition("}")[0]: theirs[thing]},
        )
        async with scene.client.get(path, headers=headers) as response:
            answer = await response.json() if response.content_type == "application/json" else None
            if response.status != 200 or (answer and answer["context"]["organization_id"] != theirs["organization"]):
                wrong.append(f"{bound.path}: {response.status}")
    assert not wrong, "\n".join(wrong)


async def test_operators_routes_are_not_on_the_network(scene: Scene) -> None:
    assert [bound.path for bound in scene.routes if bound.route.permission == OPERATOR] == []
    assert not any(surface.name == "operator" for surface in scene.server.surfaces)


async def test_ticket_ends_with_its_key(scene: Scene) -> None:
    issued = await scene.world.issue(scene.acme)
    headers = {"Authorization": f"Bearer {issued.raw}"}
    async with scene.client.post("/v1/auth/stream-ticket", headers=headers) as response:
        ticket = (await response.json())["data"]["ticket"]
    await scene.world.keys.revoke(scene.world.operator_of(scene.acme.id), issued.key.id)
    async with scene.client.get("/v1/events/stream", params={"ticket": ticket}) as response:
        assert response.status == 401
