"""``/v1/workflow-definitions``: save, check, show, list, delete, on the whole program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.config import LimitsConfig
from alloyd.kit.ids import new_id
from tests.app import Served, open_app
from tests.machine import node

STEM = "/workflow-definitions"
FIELDS = {
    "id",
    "name",
    "version",
    "published_version",
    "status",
    "organization_id",
    "created_at",
    "updated_at",
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        await served.key("acme")
        yield served


def definition(name: str = "flow", *nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "nodes": list(nodes or [node("a")]), **more}


async def test_create(served: Served) -> None:
    before = await served.kinds()
    data = await served.data("POST", STEM, definition(), status=201)
    assert data.keys() == FIELDS | {"definition", "changed"}
    assert data["definition"] == definition()
    assert (data["version"], data["published_version"], data["status"], data["changed"]) == (1, 1, "published", True)
    assert data["organization_id"] == served.orgs["acme"]
    assert (await served.kinds())[len(before) :] == ["workflow.created"]
    assert await served.data("GET", f"{STEM}/{data['id']}") == data | {"changed": None}


async def test_the_same_name_makes_the_next_version_and_the_same_content_changes_nothing(served: Served) -> None:
    first = await served.data("POST", STEM, definition(), status=201)
    before = await served.kinds()
    same = await served.data("POST", STEM, definition(), status=201)
    assert same == first | {"changed": False}
    assert await served.kinds() == before, "nothing is told"
    second = await served.data("POST", STEM, definition("flow", node("b")), status=201)
    assert (second["id"], second["version"], second["changed"]) == (first["id"], 2, True)
    assert (await served.kinds())[len(before) :] == ["workflow.updated"]
    for version, key in ((1, "a"), (2, "b")):
        data = await served.data("GET", f"{STEM}/{first['id']}?version={version}")
        assert (data["version"], data["definition"]["nodes"][0]["key"]) == (version, key)


async def test_drafts(served: Served) -> None:
    draft = await served.data("POST", STEM, {"name": "d", "type": "agent"}, status=201)
    assert (draft["status"], draft["published_version"]) == ("draft", None)
    published = await served.data("POST", STEM, definition("d"), status=201)
    assert (published["id"], published["status"], published["published_version"]) == (draft["id"], "published", 2)
    again = await served.data("POST", STEM, {"name": "d", "type": "agent"}, status=201)
    assert (again["version"], again["status"], again["published_version"]) == (3, "draft", 2)
    (listed,) = [entry for entry in await served.data("GET", STEM) if entry["id"] == draft["id"]]
    assert (listed["version"], listed["published_version"], listed["status"]) == (3, 2, "published")


async def test_faults_are_listed_with_their_places(served: Served) -> None:
    bad = definition(
        "flow",
        node("a", "nowhere"),
        node("a", operation="no.such"),
        node("c", operation="transform", config={"values": {"x": "{{ 1 + }}"}}),
    )
    status, envelope, _headers = await served.ask("POST", STEM, bad)
    assert (status, envelope["error"]["code"]) == (422, "unprocessable")
    details = envelope["error"]["details"]
    assert {fault["path"] for fault in details} == {
        "nodes[0].depends_on[0]",
        "nodes[1].key",
        "nodes[1].operation",
        "nodes[2].config.values.x",
    }
    assert all(fault["message"] for fault in details)
    checked = await served.data("POST", f"{STEM}/check", bad)
    assert checked == {"valid": False, "faults": details}
    assert [entry["name"] for entry in await served.data("GET", STEM)] == []


async def test_check_saves_nothing(served: Served) -> None:
    before = await served.kinds()
    for body in (definition(), {"name": "draft"}):
        assert await served.data("POST", f"{STEM}/check", body) == {"valid": True, "faults": []}
    assert await served.data("GET", STEM) == []
    assert await served.kinds() == before


BAD: list[tuple[Any, str]] = [
    ([], "body"),
    ("x", "body"),
    (None, "body"),
    ({}, "name"),
    ({"name": 5}, "name"),
    ({"name": ""}, "name"),
    ({"name": "  "}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "f", "type": "other"}, "type"),
    ({"name": "f", "nodes": {}}, "nodes"),
    ({"name": "f", "nodes": [node("a"), {"operation": "x"}]}, "nodes[1].key"),
    ({"name": "f", "nodes": [node("a"), node("b", when=5)]}, "nodes[1].when"),
    ({"name": "f", "nodes": [node("a", policy={"max_retries": -1})]}, "nodes[0].policy.max_retries"),
    ({"name": "f", "nodes": [node("a", policy={"on_error": "ignore"})]}, "nodes[0].policy.on_error"),
    ({"name": "f", "nodes": [node("a", surprise=1)]}, "nodes[0]"),
    ({"name": "f", "flow": {"s": {"config": {}}}}, "flow.s.type"),
    ({"name": "f", "flow": {"s": {"type": "llm", "next": 5}}}, "flow.s.next"),
    ({"name": "f", "flow": []}, "flow"),
    ({"name": "f", "defaults": {"run_deadline_ms": 0}}, "defaults.run_deadline_ms"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_what_is_no_definition(served: Served, body: Any, field: str) -> None:
    headers = {"Content-Type": "application/json"}
    status, envelope, _headers = await served.ask("POST", STEM, msgspec.json.encode(body), headers=headers)
    assert (status, envelope["error"]["code"]) == (400, "bad_request")
    assert envelope["error"]["details"] == {"field": field}
    assert envelope["error"]["message"].startswith(f"{field}: ")
    assert await served.data("GET", STEM) == []


async def test_a_definition_has_a_size(tmp_path: Path) -> None:
    async with open_app(tmp_path, limits=LimitsConfig(definitions_bytes_max=1024)) as served:
        body = definition("flow", node("a", operation="transform", config={"values": {"x": "y" * 1024}}))
        status, envelope, _headers = await served.ask("POST", STEM, body)
        assert (status, envelope["error"]["code"]) == (413, "too_large")
        assert await served.data("GET", STEM) == []


async def test_list_and_pages(served: Served) -> None:
    for number in range(7):
        await served.data("POST", STEM, definition(f"flow {number}"), status=201)
    await served.data("POST", STEM, definition("foreign"), status=201, key="other")
    listed = await served.data("GET", STEM)
    assert [entry["name"] for entry in listed] == [f"flow {number}" for number in reversed(range(7))]
    assert all(entry.keys() == FIELDS | {"trigger", "last_run"} for entry in listed)
    paged: list[Any] = []
    path = f"{STEM}?limit=3"
    for size in (3, 3, 1):
        _status, envelope, _headers = await served.ask("GET", path)
        assert len(envelope["data"]) == size
        paged += envelope["data"]
        path = envelope["links"].get("next", "").removeprefix("/v1")
    assert path == ""
    assert paged == listed


async def test_delete(served: Served) -> None:
    workflow_id = (await served.data("POST", STEM, definition(), status=201))["id"]
    before = await served.kinds()
    assert await served.data("DELETE", f"{STEM}/{workflow_id}") == {"id": workflow_id}
    assert (await served.kinds())[len(before) :] == ["workflow.deleted"]
    for method in ("GET", "DELETE"):
        status, envelope, _headers = await served.ask(method, f"{STEM}/{workflow_id}")
        assert (status, envelope["error"]["code"]) == (404, "not_found")
    assert await served.data("GET", STEM) == []
    again = await served.data("POST", STEM, definition(), status=201)
    assert (again["id"] != workflow_id, again["version"]) == (True, 1), "the name is free again"


async def test_unknown_and_foreign_look_the_same(served: Served) -> None:
    foreign = (await served.data("POST", STEM, definition(), status=201, key="other"))["id"]
    mine = (await served.data("POST", STEM, definition(), status=201))["id"]
    errors = []
    for method, path in (
        ("GET", foreign),
        ("GET", f"{foreign}?version=1"),
        ("DELETE", foreign),
        ("GET", new_id()),
        ("GET", "nonsense"),
        ("DELETE", "nonsense"),
        ("GET", f"{mine}?version=2"),
    ):
        status, envelope, _headers = await served.ask(method, f"{STEM}/{path}")
        assert status == 404, (method, path)
        errors.append(envelope["error"])
    assert all(error == {"code": "not_found", "message": "workflow not found"} for error in errors)
    assert await served.data("GET", f"{STEM}/{foreign}", key="other")


@pytest.mark.parametrize(
    "query",
    ["version=0", "version=-1", "version=x", "version=1.5", "version=", f"version={2**64}", f"version={10**30}"],
)
async def test_bad_versions(served: Served, query: str) -> None:
    workflow_id = (await served.data("POST", STEM, definition(), status=201))["id"]
    status, envelope, _headers = await served.ask("GET", f"{STEM}/{workflow_id}?{query}")
    assert (status, envelope["error"]["details"]) == (400, {"field": "version"})


async def test_who_may(served: Served) -> None:
    workflow_id = (await served.data("POST", STEM, definition(), status=201))["id"]
    for method, path, body, statuses in (
        ("GET", STEM, None, {"acme viewer": 200, "acme member": 200, None: 401}),
        ("GET", f"{STEM}/{workflow_id}", None, {"acme viewer": 200, None: 401}),
        ("POST", STEM, definition("m"), {"acme viewer": 403, "acme member": 201, None: 401}),
        ("POST", f"{STEM}/check", definition("m"), {"acme viewer": 403, "acme member": 200, None: 401}),
        ("DELETE", f"{STEM}/{workflow_id}", None, {"acme viewer": 403, None: 401, "acme member": 200}),
    ):
        for key, wanted in statuses.items():
            status, _envelope, _headers = await served.ask(method, path, body, key=key)
            assert status == wanted, (method, path, key)
