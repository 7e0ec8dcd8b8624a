"""Objects that steps make: by `storage.put_object`, and of outputs that are too large; gone with their runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.config import EngineConfig, RetentionConfig
from alloyd.config.objects import ObjectsConfig
from alloyd.domain.objects.model import StoredObject
from alloyd.domain.runs import children
from tests.app import Served, open_app
from tests.people import sign_in
from tests.wire.objects.things import ask

KIB = 1024


async def run(served: Served, *nodes: dict[str, Any], payload: Any = None, key: str = "acme") -> Any:
    """The ended run, with its steps."""
    workflow = await served.publish(*nodes, name=f"flow-{len(nodes)}-{nodes[0]['key']}")
    started = await served.data(
        "POST", "/workflow-runs", {"workflow_definition_id": workflow, "context": payload or {}}, 201, key=key
    )
    await served.data("POST", f"/workflow-runs/{started['id']}/start", status=202, key=key)
    async with served.session.get(
        f"{served.url}/v1/workflow-runs/{started['id']}/events",
        headers={"Authorization": f"Bearer {await served.key(key)}"},
    ) as response:
        await response.read()
    return await served.data("GET", f"/workflow-runs/{started['id']}", key=key)


async def objects(served: Served, slug: str = "acme") -> list[StoredObject]:
    return await served.app.objects.list_page(served.orgs[slug], None, 100)


async def fetch(served: Served, url: str) -> bytes:
    async with served.session.get(f"{served.url}{url}") as response:
        assert response.status == 200
        return await response.read()


def step_of(ended: Any, key: str) -> Any:
    return next(step for step in ended["steps"] if step["key"] == key)


@pytest.mark.parametrize(
    ("config", "content", "content_type"),
    [
        ({"filename": "a.txt", "content": "héllo"}, "héllo".encode(), "text/plain"),
        ({"filename": "a", "content": {"n": 1}}, b'{"n":1}', "application/json"),
        ({"filename": "a.png", "content": "AAECAw==", "encoding": "base64"}, bytes(range(4)), "image/png"),
        ({"filename": "a.csv", "content": "x", "content_type": "text/x-own"}, b"x", "text/x-own"),
        ({"filename": "b.bin", "file": "in/a.txt"}, b"stored", "text/plain"),
    ],
)
async def test_put_object(served: Served, config: dict[str, Any], content: bytes, content_type: str) -> None:
    await served.app.storage.write_bytes(await served.principal(), "in/a.txt", b"stored", None)
    ended = await run(served, {"key": "put", "operation": "storage.put_object", "config": config})
    output = step_of(ended, "put")["output"]
    assert output == {
        "object_key": output["object_key"],
        "url": output["url"],
        "filename": config["filename"],
        "size": len(content),
        "content_type": content_type,
    }
    assert output["object_key"].split("/")[:4] == ["acme", ended["workflow_id"], ended["id"], "output"]
    assert await fetch(served, output["url"]) == content
    assert len(await objects(served)) == 1


@pytest.mark.parametrize(
    ("config", "code", "path"),
    [
        ({"filename": "a", "file": "{{ 'missing' }}"}, "not_found", "file"),
        ({"filename": "{{ '..' }}", "content": "x"}, "bad_request", "filename"),
        ({"filename": "a", "content": "{{ 7 }}", "encoding": "base64"}, "bad_config", "content"),
    ],
)
async def test_put_object_that_can_not_be(local: Served, config: dict[str, Any], code: str, path: str) -> None:
    ended = await run(local, {"key": "put", "operation": "storage.put_object", "config": config})
    assert ended["status"] == "failed"
    error = step_of(ended, "put")["error"]
    assert (error["code"], error["path"]) == (code, path)
    assert await objects(local) == []


@pytest.mark.parametrize(
    "config", [{"filename": "a"}, {"filename": "a", "content": "x", "file": "y"}, {"content": "x"}]
)
async def test_definitions_that_can_not_be(local: Served, config: dict[str, Any]) -> None:
    node = {"key": "put", "operation": "storage.put_object", "config": config}
    status, _envelope, _headers = await local.ask("POST", "/workflow-definitions", {"name": "x", "nodes": [node]})
    assert status in (400, 422)


async def test_an_object_is_whose_run_it_was(local: Served) -> None:
    ann = await sign_in(local, "ann", "acme member")
    node = {"key": "put", "operation": "storage.put_object", "config": {"filename": "a", "content": "x"}}
    await run(local, node, key="ann")
    await run(local, {**node, "key": "again"})
    assert sorted(one.created_by or "" for one in await objects(local)) == ["", ann.id]


LARGE = "x" * (3 * KIB)
COMPUTED = {"key": "big", "operation": "transform", "config": {"values": {"text": "{{ trigger.text }}"}}}


@pytest.mark.parametrize("kind", ["computed", "executed"])
async def test_a_large_output_becomes_an_object(tmp_path: Path, kind: str) -> None:
    engine = EngineConfig(step_output_bytes_max=KIB)
    async with open_app(tmp_path, engine) as served:
        await served.app.storage.write_bytes(await served.principal(), "a.txt", LARGE.encode(), None)
        read = {"key": "big", "operation": "storage.read", "config": {"path": "a.txt"}}
        after = {
            "key": "after",
            "operation": "transform",
            "depends_on": ["big"],
            "config": {"values": {"size": "{{ steps.big.output.size }}"}},
        }
        ended = await run(served, COMPUTED if kind == "computed" else read, after, payload={"text": LARGE})
        assert ended["status"] == "completed", ended
        output = step_of(ended, "big")["output"]
        assert set(output) == {"object_key", "url", "filename", "size", "content_type"}
        assert (output["filename"], output["content_type"]) == ("big.json", "application/json")
        whole = json.loads(await fetch(served, output["url"]))
        assert whole["text" if kind == "computed" else "content"] == LARGE
        assert step_of(ended, "after")["output"] == {"size": output["size"]}


async def test_an_output_too_large_for_an_object(tmp_path: Path) -> None:
    async with open_app(
        tmp_path, EngineConfig(step_output_bytes_max=KIB), objects=ObjectsConfig(output_bytes_max=2 * KIB)
    ) as served:
        ended = await run(served, COMPUTED, payload={"text": LARGE})
        assert ended["status"] == "failed"
        assert step_of(ended, "big")["error"]["code"] == "output_too_large"
        assert await objects(served) == []


def each(**config: Any) -> dict[str, Any]:
    """A list of what thirty items give, a failure among them."""
    inner = {"key": "t", "operation": "transform", "config": {"values": {"v": "{{ item / 0 if item == 7 else item }}"}}}
    return {"key": "each", "operation": "workflow.foreach"} | {
        "config": {"items": "{{ trigger.items }}", "nodes": [inner], "on_error": "continue", **config}
    }


ITEMS = [None if number % 5 == 0 else 7 if number == 8 else f"\u2603{number}" * 50 for number in range(30)]


async def test_a_large_list_of_items_outputs_becomes_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "PAGE_BYTES", 500)
    async with open_app(tmp_path, EngineConfig(step_output_bytes_max=KIB)) as served:
        put, sizes = served.app.objects.put_output, []

        async def watched(principal: Any, new: Any, chunks: AsyncIterator[bytes]) -> Any:
            async def passed_on() -> AsyncIterator[bytes]:
                async for chunk in chunks:
                    sizes.append(len(chunk))
                    yield chunk

            return await put(principal, new, passed_on())

        monkeypatch.setattr(served.app.objects, "put_output", watched)
        after = {
            "key": "after",
            "operation": "transform",
            "depends_on": ["each"],
            "config": {"values": {"size": "{{ steps.each.output.size }}"}},
        }
        ended = await run(served, each(), after, payload={"items": ITEMS})
        assert ended["status"] == "completed", ended
        output = step_of(ended, "each")["output"]
        assert set(output) == {"object_key", "url", "filename", "size", "content_type"}
        content = await fetch(served, output["url"])
        found = json.loads(content)
        assert found[8]["error"]["code"] == "expression"
        assert [one["v"] for one in found[:8] + found[9:]] == ITEMS[:8] + ITEMS[9:]
        assert len(content) == output["size"] == step_of(ended, "after")["output"]["size"]
        assert len(sizes) > 5
        assert max(sizes) < 2 * KIB  # a page of characters at most, however many items
        assert len(await objects(served)) == 1


async def test_a_list_too_large_for_an_object(tmp_path: Path) -> None:
    async with open_app(
        tmp_path, EngineConfig(step_output_bytes_max=KIB), objects=ObjectsConfig(output_bytes_max=2 * KIB)
    ) as served:
        ended = await run(served, each(), payload={"items": ITEMS})
        error = step_of(ended, "each")["error"]
        assert (ended["status"], error["code"]) == ("failed", "output_too_large")
        assert f"more than {2 * KIB}" in error["message"]
        assert await objects(served) == []
        ended = await run(served, {**each(collect=False), "key": "counted"}, payload={"items": ITEMS})
        assert step_of(ended, "counted")["output"] == {"total": 30, "completed": 29, "failed": 1}


async def test_objects_go_with_runs_that_are_too_old(tmp_path: Path) -> None:
    async with open_app(tmp_path, retention=RetentionConfig(runs_days=1)) as served:
        node = {"key": "put", "operation": "storage.put_object", "config": {"filename": "a", "content": "x"}}
        ended = await run(served, node)
        url = step_of(ended, "put")["output"]["url"]
        await fetch(served, url)
        served.clock.advance(2 * 86_400_000)
        await served.app.retention.sweep()
        assert await objects(served) == []
        assert (await ask(served, url))[0] == 404
        await served.app.sweeper.sweep()
        assert list(served.app.data_dir.root.glob("blobs/*/*")) == []
        assert (await served.app.objects.usage(served.orgs["acme"])).files == 0
