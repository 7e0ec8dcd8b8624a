"""``/v1/providers`` over the whole program, with a played vendor behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from alloyd.config import EventsConfig, ModelConfig, PriceConfig, ProviderConfig, Secret
from alloyd.domain.usage.model import Budget, UsageSettings
from tests.app import Served, open_app
from tests.vendor import LONG_S, Held, Vendor, chat, chunks, message, open_vendor, says, streams

PATH = "/providers/execute"
PRICED = (ModelConfig("m", "fast", price=PriceConfig(1.0, 2.0), max_output_tokens=100),)


@dataclass
class Scene:
    """The program, and the vendor that its provider `main` is."""

    served: Served
    vendor: Vendor

    async def ask(self, body: Any, path: str = PATH, **more: Any) -> tuple[int, Any, Any]:
        return await self.served.ask("POST", path, body, **more)

    @asynccontextmanager
    async def streaming(self, given: Any = "hi", **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Authorization": f"Bearer {await self.served.key('acme')}"}
        body = {"modality": "text", "input": given, "provider": "main", **more}
        url = f"{self.served.url}/v1{PATH}/stream"
        async with asyncio.timeout(LONG_S), self.served.session.post(url, json=body, headers=headers) as response:
            yield response

    async def records(self) -> list[tuple[Any, ...]]:
        return await self.served.app.database.read(
            lambda conn: conn.execute(
                "SELECT provider, status, input_tokens, output_tokens, cost_micro_usd, request_id FROM usage_records "
                "ORDER BY created_at, id"
            ).fetchall()
        )

    async def until_recorded(self) -> list[tuple[Any, ...]]:
        async with asyncio.timeout(LONG_S):
            while not (found := await self.records()):
                await asyncio.sleep(0)
        return found


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_vendor() as vendor:
        main = ProviderConfig(base_url=vendor.url, api_key=Secret("the-key"), models=PRICED)
        off = ProviderConfig(enabled=False)
        async with open_app(tmp_path, providers={"main": main, "off": off}) as served:
            yield Scene(served, vendor)


def events(text: str) -> list[tuple[str, Any]]:
    """The frames of a stream, comments left out."""
    found = []
    for frame in text.split("\n\n"):
        lines = [line for line in frame.splitlines() if not line.startswith(":")]
        if lines:
            named = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
            (data,) = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
            found.append((named[0] if named else "", data if data == "[DONE]" else msgspec.json.decode(data)))
    return found


DONE = {
    "finish_reason": "stop",
    "usage": {"input_tokens": 9, "output_tokens": 3, "cost_usd": 0.000015},
    "provider_id": "main",
    "model": "m-2026",
}


async def test_the_list_has_prices_with_their_source(scene: Scene) -> None:
    listed = await scene.served.data("GET", "/providers", key="acme viewer")
    assert [one["id"] for one in listed] == ["main", "echo"]
    assert listed[0] == {
        "id": "main",
        "name": "main",
        "kind": "openai",
        "modalities": ["text"],
        "models": [
            {
                "id": "m",
                "tier": "fast",
                "streaming": True,
                "price": {
                    "input": 1.0,
                    "output": 2.0,
                    "image": 0.0,
                    "characters": 0.0,
                    "source": "configuration",
                    "date": None,
                },
                "modalities": ["text"],
                "context_tokens": None,
                "max_output_tokens": 100,
                "healthy": True,
            }
        ],
        "healthy": True,
        "open": False,
    }
    assert "the-key" not in str(listed)


async def test_an_answer(scene: Scene) -> None:
    scene.vendor.replies = [says(chat("Hi"))]
    status, envelope, headers = await scene.ask({"modality": "chat", "input": "hi", "tier": "fast"})
    assert (status, envelope["data"]) == (
        200,
        {
            "provider_id": "main",
            "model": "m-2026",
            "modality": "text",
            "output": {"text": "Hi", "finish_reason": "stop"},
            "usage": {"input_tokens": 9, "output_tokens": 3, "cost_usd": 0.000015},
        },
    )
    assert float(headers["X-Alloyd-Overhead-Ms"]) > 0
    assert await scene.records() == [("main", "ok", 9, 3, 15, envelope["meta"]["request_id"])]


async def test_an_estimate(scene: Scene) -> None:
    body = {"modality": "text", "input": "hi", "params": {"max_tokens": 10}}
    status, envelope, _ = await scene.ask(body, "/providers/estimate")
    assert (status, envelope["data"]["usage"]) == (
        200,
        {"input_tokens": 1058, "output_tokens": 10, "cost_usd": 0.001078},
    )
    assert envelope["data"]["output"] is None
    assert (scene.vendor.seen, await scene.records()) == ([], [])


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "bad_request", "modality"),
        ({"modality": "text"}, 400, "bad_request", "input"),
        ({"modality": "text", "input": 3}, 400, "bad_request", "input"),
        ({"modality": "text", "input": "x", "params": {"heat": 1}}, 400, "bad_request", "params.heat"),
        ({"modality": "text", "input": "x", "params": {"top_k": 1}}, 400, "bad_request", "params.top_k"),
        ({"modality": "text", "input": "x", "model": ""}, 400, "bad_request", "model"),
        ({"modality": "smell", "input": "x"}, 404, "not_found", None),
        ({"modality": "text", "input": "x", "provider": "off"}, 404, "not_found", None),
        ({"modality": "text", "input": "x", "organization_id": "another"}, 404, "not_found", None),
    ],
)
@pytest.mark.parametrize("path", [PATH, f"{PATH}/stream", "/providers/estimate"])
async def test_faults(scene: Scene, body: Any, status: int, code: str, field: str | None, path: str) -> None:
    got, envelope, _ = await scene.ask(body, path)
    assert (got, envelope["error"]["code"]) == (status, code)
    assert (envelope["error"].get("details") or {}).get("field") == field
    assert scene.vendor.seen == []


async def test_failures_before_the_first_piece_are_ordinary_errors(scene: Scene) -> None:
    scene.vendor.replies = [says({"error": {"message": "busy"}}, 503, headers={"Retry-After": "4"})]
    for path in (PATH, f"{PATH}/stream"):
        status, envelope, headers = await scene.ask({"modality": "text", "input": "hi"}, path)
        assert (status, envelope["error"]["code"], headers["Retry-After"]) == (502, "upstream_failed", "4")
        scene.served.clock.advance(4000)
    assert envelope["error"]["details"] == [
        {"provider_id": "main", "model": "m", "code": "unavailable", "message": "status 503: busy", "status": 503}
    ]
    scene.vendor.replies = [says({"error": {"message": "odd"}}, 400)]
    status, envelope, _ = await scene.ask({"modality": "text", "input": "hi"})
    assert (status, envelope["error"]["message"]) == (400, "main refused the request: status 400: odd")


async def test_a_budget_is_kept(scene: Scene) -> None:
    scene.served.app.usage.set_default(UsageSettings(Budget(100)))
    for path in (PATH, f"{PATH}/stream"):
        status, envelope, headers = await scene.ask({"modality": "text", "input": "hi"}, path)
        assert (status, envelope["error"]["code"]) == (429, "rate_limited")
        assert "Retry-After" in headers
    assert scene.vendor.seen == []


async def test_frames_of_a_stream(scene: Scene) -> None:
    scene.vendor.replies = [streams(chunks("Hel", "lo\n\n!"))]
    async with scene.streaming() as response:
        text = await response.text()
    assert events(text) == [("delta", {"text": "Hel"}), ("delta", {"text": "lo\n\n!"}), ("done", DONE), ("", "[DONE]")]
    assert text.endswith("data: [DONE]\n\n")
    assert (response.content_type, response.headers["X-Accel-Buffering"]) == ("text/event-stream", "no")
    assert "X-Alloyd-Overhead-Ms" in response.headers
    assert [record[:5] for record in await scene.records()] == [("main", "ok", 9, 3, 15)]


async def test_tool_calls_are_events_of_their_own(scene: Scene) -> None:
    tool = {"tools": [{"name": "look"}], "tool_choice": "look"}
    async with scene.streaming('{"at": 1}', provider="echo", params=tool) as response:
        first, done, end = events(await response.text())
    assert first[0] == "tool_call"
    assert (first[1]["index"], first[1]["name"], first[1]["arguments"]) == (0, "look", '{"at":1}')
    assert (done[1]["finish_reason"], end) == ("tool_calls", ("", "[DONE]"))


async def test_what_can_not_be_streamed_is_one_delta(scene: Scene) -> None:
    async with scene.streaming("a cat", provider="echo", modality="image") as response:
        delta, done, _ = events(await response.text())
    assert (delta[0], delta[1]["output"]["images"][0]["media_type"], done[0]) == ("delta", "image/png", "done")


async def test_a_failure_after_the_headers_is_an_event(scene: Scene) -> None:
    scene.vendor.replies = [streams(chunks("four", finish=None, usage=None, done=False), cut=True)]
    async with scene.streaming() as response:
        delta, error = events(await response.text())
    assert (response.status, delta) == (200, ("delta", {"text": "four"}))
    assert (error[0], error[1]["code"]) == ("error", "upstream_failed")
    assert [record[:5] for record in await scene.records()] == [("main", "failed", 1, 1, 3)]


async def test_a_client_that_leaves_a_stream_ends_the_call(scene: Scene) -> None:
    held = Held(chunks("four", finish=None, usage=None, done=False))
    scene.vendor.replies = [held]
    async with scene.streaming() as response:
        assert b"four" in await response.content.readany()
        response.close()
        await held.left.wait()
    assert [record[:5] for record in await scene.until_recorded()] == [("main", "cancelled", 1, 1, 3)]


async def test_a_client_that_leaves_before_the_answer_ends_the_call(scene: Scene) -> None:
    held = Held([])
    scene.vendor.replies = [held]
    asking = asyncio.create_task(scene.ask({"modality": "text", "input": "four"}))
    async with asyncio.timeout(LONG_S):
        await held.opened.wait()
        asking.cancel()
        await asyncio.wait({asking})
        await held.left.wait()
    assert [record[:5] for record in await scene.until_recorded()] == [("main", "cancelled", 1, 0, 1)]


async def test_a_revoked_key_ends_its_streams(scene: Scene) -> None:
    held = Held(chunks("four", finish=None, usage=None, done=False))
    scene.vendor.replies = [held]
    async with scene.streaming() as response:
        await response.content.readany()
        mine = await scene.served.data("GET", "/me")
        await scene.served.data("DELETE", f"/api-keys/{mine['principal_id']}", key="acme owner")
        await held.left.wait()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert [record[1] for record in await scene.until_recorded()] == ["cancelled"]


async def test_a_quiet_stream_shows_signs_of_life(tmp_path: Path) -> None:
    held = Held(chunks("a", finish=None, usage=None, done=False), chunks("b"))
    async with open_vendor(held) as vendor:
        main = ProviderConfig(base_url=vendor.url, models=PRICED)
        quick = EventsConfig(heartbeat_s=1)
        async with (
            open_app(tmp_path, providers={"main": main}, events=quick) as served,
            Scene(served, vendor).streaming() as response,
        ):
            seen = b""
            while b": heartbeat" not in seen:
                seen += await response.content.readany()
            held.goes_on.set()
            assert b"[DONE]" in await response.read()


async def test_a_slow_reader_holds_the_provider_back(scene: Scene) -> None:
    """What the vendor may send ahead is bounded by the kernel's buffers and ours, not by the length of the answer."""
    sent = 0
    piece = chunks("x" * 60_000, finish=None, usage=None, done=False)[0]

    async def pour(request: Any, _asked: Any) -> Any:
        nonlocal sent
        response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(900):
            await response.write(piece)
            sent += 1
        for end in chunks():
            await response.write(end)
        return response

    scene.vendor.replies = [pour]
    async with scene.streaming() as response:
        await response.content.readany()
        before = -1
        while sent != before:  # until nobody moves any more
            before = sent
            for _ in range(2000):
                await asyncio.sleep(0)
        assert sent < 900
        text = await response.text()
    assert text.endswith("data: [DONE]\n\n")
    assert sent == 900


async def test_streams_of_one_caller_are_bounded(tmp_path: Path) -> None:
    held = Held(chunks("a", finish=None, usage=None, done=False))
    async with open_vendor(held) as vendor:
        main = ProviderConfig(base_url=vendor.url, models=PRICED)
        few = EventsConfig(streams_per_principal_max=1)
        async with open_app(tmp_path, providers={"main": main}, events=few) as served:
            scene = Scene(served, vendor)
            async with scene.streaming() as response:
                await response.content.readany()
                status, envelope, _ = await scene.ask({"modality": "text", "input": "x"}, f"{PATH}/stream")
                assert (status, envelope["error"]["code"]) == (429, "rate_limited")
                response.close()
                await held.left.wait()


async def test_anthropic_by_its_name(tmp_path: Path) -> None:
    async with open_vendor(says(message())) as vendor:
        named = ProviderConfig(base_url=vendor.url, api_key=Secret("k"), models=PRICED)
        async with open_app(tmp_path, providers={"anthropic": named}) as served:
            done = await served.data("POST", PATH, {"modality": "text", "input": "hi"})
    assert (done["output"]["text"], vendor.seen[0][0]) == ("Hello!", "/v1/messages")


async def test_a_step_asks_and_its_use_names_the_run(scene: Scene) -> None:
    scene.vendor.replies = [says(chat("A short poem."))]
    flow = {
        "start": {"type": "starting_step", "next": "write"},
        "write": {"type": "llm", "config": {"prompt": "Write of {{ trigger.what }}."}, "next": "end"},
        "end": {"type": "finish", "config": {"output": "{{ steps.write.output.text }}"}},
    }
    definition = {"name": "poet", "type": "structured", "starting_step_id": "start", "flow": flow}
    saved = await scene.served.app.workflows.save(await scene.served.principal(), definition)
    workflow_id = saved.version.workflow.id
    body = msgspec.json.encode({"what": "rain"})
    status, answer, _ = await scene.served.trigger(workflow_id, body, headers={"Prefer": "wait=30"})
    assert status == 200, answer
    run = await scene.served.data("GET", f"/workflow-runs/{answer['data']['runId']}")
    assert (run["status"], run["output"]) == ("completed", "A short poem.")
    assert scene.vendor.seen[0][2]["messages"] == [{"role": "user", "content": "Write of rain."}]
    usage = await scene.served.app.database.read(
        lambda conn: conn.execute("SELECT run_id, workflow_id, node_key FROM usage_records").fetchall()
    )
    assert usage == [(run["id"], workflow_id, "write")]
