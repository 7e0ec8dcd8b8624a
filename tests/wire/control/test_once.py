"""Every POST that makes something takes effect once under an idempotency key, in the header or in the body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alloyd.wire.idempotency import HEADER
from tests.app import Served, open_app
from tests.people import sign_in

NOOP = {"key": "a", "operation": "workflow.noop"}
FAILING = {"key": "a", "operation": "transform", "config": {"values": {"n": "{{ 1 / 0 }}"}}}


@dataclass(frozen=True)
class Post:
    """A request, another one for the same path, its status, and which member tells what was made."""

    path: str
    body: dict[str, Any]
    other: dict[str, Any]
    status: int = 201
    names: str = "id"
    key: str = "acme"


POSTS = [
    Post("/workflow-definitions", {"name": "one", "nodes": [NOOP]}, {"name": "two", "nodes": [NOOP]}),
    Post("/workflow-definitions/{workflow}/releases", {"release": "1.0"}, {"release": "2.0"}, names="release"),
    Post("/workflow-runs", {"workflow_definition_id": "{workflow}"}, {"workflow_definition_id": "{failing}"}),
    Post("/dead-letters/{failed}/requeue", {}, {"version": "latest"}, 202),
    Post("/workflow-runs/{failed}/retry", {"from": "start"}, {"from": "failed"}, 202),
    Post("/jobs", {"modality": "text", "input": "a"}, {"modality": "text", "input": "b"}, 202),
    Post("/api-keys", {"name": "a"}, {"name": "b"}),
    Post("/teams", {"slug": "red", "name": "Red"}, {"slug": "blue", "name": "Blue"}),
    Post("/teams/{team}/members", {"user_id": "{bea}"}, {"user_id": "{ann}"}, names="user_id"),
    Post("/invitations", {"email": "cid@example.com"}, {"email": "dora@example.com"}),
    Post(
        "/grants",
        {"principal": "{bea}", "action": "team.read", "effect": "deny"},
        {"principal": "{bea}", "action": "team.read", "effect": "allow"},
    ),
    Post("/organizations", {"slug": "own", "name": "Own"}, {"slug": "mine", "name": "Mine"}, key="ann"),
    Post(
        "/webhooks",
        {"url": "https://example.com/a", "events": ["job.*"]},
        {"url": "https://example.com/b", "events": ["job.*"]},
    ),
    Post("/webhooks/{webhook}/test", {}, {"more": 1}, 202),
    Post(
        "/schedules",
        {"workflow_id": "{workflow}", "cron": "@daily"},
        {"workflow_id": "{workflow}", "cron": "@yearly"},
    ),
]


async def make_things(served: Served) -> dict[str, str]:
    """Ids of what the requests are about."""
    ann = await sign_in(served, "ann", "acme admin")
    bea = await sign_in(served, "bea", "acme member")
    failing = await served.publish(FAILING, name="failing")
    run = await served.data("POST", "/workflow-runs", {"workflow_definition_id": failing}, 201)
    await served.data("POST", f"/workflow-runs/{run['id']}/start", status=202)
    assert await served.app.runs.wait(await served.principal(), run["id"], 30) is not None
    webhook = {"url": "https://example.com/x", "events": ["none.such"]}
    return {
        "workflow": await served.publish(NOOP, name="noop"),
        "failing": failing,
        "failed": run["id"],
        "ann": ann.id,
        "bea": bea.id,
        "team": (await served.data("POST", "/teams", {"slug": "crew", "name": "Crew"}, 201))["id"],
        "webhook": (await served.data("POST", "/webhooks", webhook, 201))["id"],
    }


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


def fill_in(given: Any, things: dict[str, str]) -> Any:
    if isinstance(given, dict):
        return {name: fill_in(value, things) for name, value in given.items()}
    return given.format(**things) if isinstance(given, str) and "{" in given else given


@pytest.mark.parametrize("place", ["header", "body"])
async def test_each_takes_effect_once(served: Served, place: str) -> None:
    things = await make_things(served)
    for post in POSTS:
        once = f"once-{post.path}"
        headers = {HEADER: once} if place == "header" else {}
        in_body = {} if place == "header" else {"idempotency_key": once}
        path, options = fill_in(post.path, things), {"key": post.key, "headers": headers}
        body, other = ({**fill_in(given, things), **in_body} for given in (post.body, post.other))
        first = await served.data("POST", path, body, post.status, **options)
        again = await served.data("POST", path, body, post.status, **options)
        assert again[post.names] == first[post.names], path
        status, envelope, _headers = await served.ask("POST", path, other, **options)
        assert (status, envelope["error"]["details"]) == (409, {"field": "idempotency_key"}), path


async def test_a_definition_keeps_what_is_about_the_request_out(served: Served) -> None:
    body = {"name": "one", "nodes": [NOOP], "idempotency_key": "k", "organization_id": None}
    made = await served.data("POST", "/workflow-definitions", body, 201)
    assert made["definition"] == {"name": "one", "nodes": [NOOP]}
    newer = {"name": "one", "nodes": [NOOP, {**NOOP, "key": "b"}]}
    assert (await served.data("POST", "/workflow-definitions", newer, 201))["version"] == 2
    again = await served.data("POST", "/workflow-definitions", body, 201)
    assert (again["version"], again["changed"], again["definition"]) == (1, True, made["definition"])
    await served.data("DELETE", f"/workflow-definitions/{made['id']}")
    body["idempotency_key"] = 5
    status, envelope, _headers = await served.ask("POST", "/workflow-definitions", body)
    assert (status, envelope["error"]["details"]) == (400, {"field": "idempotency_key"})


async def test_a_retry_that_comes_twice_makes_one_run(served: Served) -> None:
    things = await make_things(served)
    before = await served.count_runs()
    for _ in range(3):
        await served.data("POST", f"/workflow-runs/{things['failed']}/retry", {"idempotency_key": "r"}, 202)
    assert await served.count_runs() == before + 1
