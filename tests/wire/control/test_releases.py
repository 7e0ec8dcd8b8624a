"""`/v1/workflow-definitions/{id}/releases`: a label names one version for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.app import Served, open_app

NOOP = {"key": "a", "operation": "workflow.noop"}
STEM = "/workflow-definitions"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def _save(served: Served, version: int, **more: Any) -> Any:
    nodes = [{**NOOP, "name": f"v{version}"}]
    return await served.data("POST", STEM, {"name": "flow", "nodes": nodes, **more}, 201)


async def test_a_version_gets_a_name_for_good(served: Served) -> None:
    first = await _save(served, 1)
    path = f"{STEM}/{first['id']}/releases"
    made = await served.data("POST", path, {"release": "1.0.0"}, 201)
    assert (made["release"], made["version"], made["workflow_id"]) == ("1.0.0", 1, first["id"])
    assert await served.data("POST", path, {"release": "1.0.0", "version": 1}, 201) == made
    await _save(served, 2)
    await served.data("POST", path, {"release": "2.0.0"}, 201)
    await served.data("POST", path, {"release": "stable", "version": 1}, 201)
    assert {one["release"]: one["version"] for one in await served.data("GET", path)} == {
        "1.0.0": 1,
        "2.0.0": 2,
        "stable": 1,
    }
    assert (await served.kinds()).count("workflow.released") == 3


async def test_a_definition_brings_its_release_along(served: Served) -> None:
    first = await _save(served, 1, release="1.0.0")
    assert "release" not in first["definition"]
    assert (await _save(served, 1, release="1.0.0"))["changed"] is False
    assert (await _save(served, 1, release="1.0.0-again"))["changed"] is False
    body = {"name": "flow", "nodes": [{**NOOP, "name": "other"}], "release": "1.0.0"}
    status, envelope, _headers = await served.ask("POST", STEM, body)
    assert (status, envelope["error"]["details"]) == (409, {"field": "release"})
    assert (await served.data("GET", f"{STEM}/{first['id']}"))["version"] == 1  # nothing is half done


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "release"),
        ({"release": ""}, 400, "release"),
        ({"release": "a b"}, 400, "release"),
        ({"release": "x" * 65}, 400, "release"),
        ({"release": 1}, 400, "release"),
        ({"release": "a", "version": 0}, 400, "version"),
        ({"release": "a", "version": 9}, 404, None),
        ({"release": "1.0.0", "version": 2}, 409, "release"),
    ],
)
async def test_refusals(served: Served, body: Any, status: int, field: str | None) -> None:
    first = await _save(served, 1, release="1.0.0")
    await _save(served, 2)
    got, envelope, _headers = await served.ask("POST", f"{STEM}/{first['id']}/releases", body)
    assert got == status
    assert (envelope["error"].get("details") or {}).get("field") == field


async def test_a_draft_has_no_release(served: Served) -> None:
    draft = {"name": "draft", "flow": {}}
    assert (await served.ask("POST", STEM, {**draft, "release": "1"}))[0] == 400
    saved = await served.data("POST", STEM, draft, 201)
    assert (await served.ask("POST", f"{STEM}/{saved['id']}/releases", {"release": "1"}))[0] == 409


async def test_the_organization_in_a_definition_is_the_callers(served: Served) -> None:
    own = await served.data("GET", "/me")
    saved = await _save(served, 1, organization_id=own["organization_id"])
    assert "organization_id" not in saved["definition"]
    await served.key("other")
    body = {"name": "x", "nodes": [NOOP], "organization_id": served.orgs["other"]}
    assert (await served.ask("POST", STEM, body))[0] == 404
    assert (await served.ask("POST", STEM, {**body, "organization_id": 1}))[0] == 400
    assert (await served.ask("GET", f"{STEM}?organization_id={served.orgs['other']}"))[0] == 404
