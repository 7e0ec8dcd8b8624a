"""`organization_id` in a query or body is one of the caller's, on every route; a list shows that one's things."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alloyd.kit.ids import new_id
from alloyd.wire.route import PUBLIC
from alloyd.wire.surface import Surface
from tests.app import Served, open_app
from tests.people import sign_in

NOOP = {"key": "a", "operation": "workflow.noop"}
TRACE = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
TRACEPARENT = f"00-{TRACE.replace('-', '')}-00f067aa0ba902b7-01"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


def control_surface(served: Served) -> Surface:
    found = [surface for surface in served.app.server.surfaces if surface.name == "control"]
    assert len(found) == 1
    return found[0]


async def test_of_another_it_is_not_found_on_every_route(served: Served) -> None:
    await served.key("other")
    not_told = []
    for route in control_surface(served).routes:
        if route.permission in (PUBLIC, "platform-admin") or route.streams is not None:
            continue
        path = re.sub(r"\{\w+\}", new_id(), route.path.replace("{id}", served.orgs.get("acme", "")))
        for org_id in (served.orgs["other"], new_id()):
            status, envelope, _headers = await served.ask(route.method, f"{path}?organization_id={org_id}")
            if "id}" in route.path and envelope["error"]["message"].endswith("not found"):
                continue
            if (status, envelope["error"] and envelope["error"]["message"]) != (404, "organization not found"):
                not_told.append(f"{route.method} {route.path}: {status}")
    # Routes whose own body or query is looked at first say what is wrong with that.
    assert [line for line in not_told if not line.endswith(": 400")] == []


async def test_a_body_is_held_to_it_where_no_field_is_needed(served: Served) -> None:
    await served.key("other")
    path = "/auth/stream-ticket"
    for org_id, wanted in ((served.orgs["other"], 404), (5, 400)):
        status, envelope, _headers = await served.ask("POST", path, {"organization_id": org_id})
        assert status == wanted, envelope
        assert "organization" in envelope["error"]["message"]
    await served.data("POST", path, {"organization_id": None})
    status, envelope, _headers = await served.ask("POST", path, b"{broken", headers={"Content-Type": "text/plain"})
    assert (status, envelope["error"]["details"]) == (400, {"field": "Content-Type"})
    status, envelope, _headers = await served.ask(
        "POST", path, b"{broken", headers={"Content-Type": "application/json"}
    )
    assert (status, envelope["error"]["details"]) == (400, {"field": "body"})
    await served.data("POST", path, b"", headers={"Content-Type": "text/plain"})
    status, _envelope, _headers = await served.ask(
        "POST", "/authz/check-batch", {"checks": [], "organization_id": served.orgs["other"]}
    )
    assert status == 404


async def test_who_belongs_to_several_lists_the_one_that_is_named(served: Served) -> None:
    await sign_in(served, "ann", "acme member", "other member")
    workflow_id = await served.publish(NOOP, slug="other")
    run = {"workflow_definition_id": workflow_id, "organization_id": served.orgs["other"]}
    made = await served.data("POST", "/workflow-runs", run, 201, key="ann")
    there = f"organization_id={served.orgs['other']}"
    assert [run["id"] for run in await served.data("GET", f"/workflow-runs?{there}", key="ann")] == [made["id"]]
    assert await served.data("GET", "/workflow-runs", key="ann") == []
    assert await served.data("GET", f"/dead-letters?{there}", key="ann") == []
    _status, envelope, _headers = await served.ask("GET", f"/dead-letters?{there}", key="ann")
    assert envelope["context"]["organization_id"] == served.orgs["other"]


async def test_the_role_that_counts_is_the_one_there(served: Served) -> None:
    await sign_in(served, "ann", "acme viewer", "other member")
    definition = {"name": "w", "nodes": [NOOP]}
    there = {**definition, "organization_id": served.orgs["other"]}
    made = await served.data("POST", "/workflow-definitions", there, 201, key="ann")
    assert made["organization_id"] == served.orgs["other"]
    for body in (definition, {**definition, "organization_id": served.orgs["acme"]}):
        status, _envelope, _headers = await served.ask("POST", "/workflow-definitions", body, key="ann")
        assert status == 403


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/me", 405)])
async def test_a_trace_is_told_where_no_route_is(served: Served, method: str, path: str, status: int) -> None:
    got, envelope, _headers = await served.ask(method, path, headers={"traceparent": TRACEPARENT})
    assert (got, envelope["meta"]["trace_id"]) == (status, TRACE)


async def test_a_request_id_in_capitals_is_kept(served: Served) -> None:
    given = new_id().upper()
    _status, envelope, headers = await served.ask("GET", "/me", headers={"X-Request-Id": given})
    assert envelope["meta"]["request_id"] == headers["X-Request-Id"] == given
