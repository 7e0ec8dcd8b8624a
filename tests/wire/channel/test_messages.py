"""A message in its three forms, and what becomes of those who leave."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from alloyd.domain.runs.model import RunState
from tests.vendor import LONG_S, Held, chat, chunks, says
from tests.wire.channel.conftest import Line


def frames_of(text: str) -> list[tuple[str, Any]]:
    """Names and data of a stream's events."""
    found = []
    for frame in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
        if lines:
            data = lines["data"]
            found.append((lines.get("event", ""), data if data == "[DONE]" else msgspec.json.decode(data)))
    return found


async def test_an_answer(line: Line) -> None:
    ada = await line.make()
    status, answer, headers = await line.ask("POST", f"/{ada}/messages", {"message": "Good morning"})
    assert status == 200
    data = answer["data"]
    assert (data["reply"], set(data)) == ("Good morning", {"runId", "conversation_id", "reply", "usage"})
    assert set(data["usage"]) == {"input_tokens", "output_tokens", "cost_usd"}
    assert (data["usage"]["output_tokens"], data["usage"]["cost_usd"]) == (2, 0.0)
    assert headers["X-Alloyd-Run-Id"] == data["runId"]
    assert headers["X-Alloyd-Conversation-Id"] == data["conversation_id"]
    again = await line.say(ada, "And now?", conversation_id=data["conversation_id"], context={"page": 7})
    assert (again["conversation_id"], again["reply"][:8]) == (data["conversation_id"], "And now?")
    assert again["runId"] != data["runId"]


async def test_what_a_model_costs(line: Line) -> None:
    line.vendor.replies = [says(chat("Hi"))]
    data = await line.say(await line.make(provider="main", model="m"), "hello")
    assert data["usage"] == {"input_tokens": 9, "output_tokens": 3, "cost_usd": 0.000015}


async def test_a_stream(line: Line) -> None:
    ada = await line.make()
    url = f"{line.served.url}/api/teammates/{ada}/messages"
    headers = {"api-key": await line.served.key("acme"), "Accept": "text/event-stream"}
    async with line.served.session.post(url, json={"message": "one two"}, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        run_id = response.headers["X-Alloyd-Run-Id"]
        assert response.headers["X-Alloyd-Conversation-Id"]
        found = frames_of(await response.text())
    assert "".join(data["text"] for name, data in found if name == "delta") == "one two"
    assert found[-2] == (
        "done",
        {
            "finish_reason": "stop",
            "usage": {"input_tokens": found[-2][1]["usage"]["input_tokens"], "output_tokens": 2, "cost_usd": 0.0},
            "provider_id": "echo",
            "model": "echo",
        },
    )
    assert found[-1] == ("", "[DONE]")
    assert {name for name, _data in found} == {"delta", "done", ""}
    status, answer, _headers = await line.ask("GET", f"/{ada}/runs/{run_id}")
    assert (status, answer["data"]["reply"]) == (200, "one two")


async def test_answered_later(line: Line) -> None:
    ada = await line.make()
    path = f"/{ada}/messages"
    status, answer, headers = await line.ask("POST", path, {"message": "hello"}, Prefer="respond-async")
    assert (status, headers["Preference-Applied"]) == (202, "respond-async")
    data = answer["data"]
    assert (set(data), data["status"]) == ({"runId", "conversation_id", "status", "status_url"}, "queued")
    assert data["status_url"] == headers["Location"] == f"/api/teammates/{ada}/runs/{data['runId']}"
    await line.end_of(data["runId"])
    status, answer, _headers = await line.ask("GET", line.served.url + data["status_url"])
    found = answer["data"]
    assert found.pop("usage")["cost_usd"] == 0.0
    assert (status, found) == (
        200,
        {
            "runId": data["runId"],
            "conversation_id": data["conversation_id"],
            "status": "completed",
            "reply": "hello",
            "error": None,
        },
    )


@pytest.mark.parametrize(
    ("prefer", "status", "applied"),
    [
        ("wait=20", 200, "wait=20"),
        ("wait=0", 202, None),
        ("respond-async, wait=20", 200, "wait=20"),
        ("respond-async; x=1", 202, "respond-async"),
        ("handling=lenient", 200, None),
        ("no-respond-async", 200, None),
    ],
)
async def test_preferences(line: Line, prefer: str, status: int, applied: str | None) -> None:
    ada = await line.make()
    got, answer, headers = await line.ask("POST", f"/{ada}/messages", {"message": "hello"}, Prefer=prefer)
    assert (got, headers.get("Preference-Applied")) == (status, applied), answer


async def test_who_waits_too_long_is_told_where_to_look(line: Line) -> None:
    line.vendor.replies = [Held([])]
    ada = await line.make(provider="main", model="m")
    status, answer, headers = await line.ask("POST", f"/{ada}/messages", {"message": "x"}, Prefer="wait=1")
    assert (status, "Preference-Applied" in headers) == (202, False)
    _status, answer, _headers = await line.ask("GET", line.served.url + answer["data"]["status_url"])
    assert (answer["data"]["status"], answer["data"]["reply"]) == ("running", None)


async def test_the_same_key_says_it_once(line: Line) -> None:
    ada = await line.make()
    path, body = f"/{ada}/messages", {"message": "hello"}
    first = await line.ask("POST", path, body, Idempotency_Key="k1")
    for accept in ({}, {"Accept": "application/json"}):
        status, answer, _headers = await line.ask("POST", path, body, Idempotency_Key="k1", **accept)
        assert (status, answer) == (200, first[1])
    status, answer, _headers = await line.ask("POST", path, {"message": "other"}, Idempotency_Key="k1")
    assert (status, answer["error"]) == (409, "conflict")
    assert len(await line.run_ids()) == 1


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_who_leaves_does_not_end_the_run(line: Line, accept: str) -> None:
    held = Held([])

    async def answers(request: Any, asked: Any) -> Any:
        held.opened.set()
        await held.goes_on.wait()
        return await says(chat("late"))(request, asked) if not asked.get("stream") else await _streamed(request)

    line.vendor.replies = [answers]
    ada = await line.make(provider="main", model="m")
    headers = {"api-key": await line.served.key("acme"), "Accept": accept}
    url = f"{line.served.url}/api/teammates/{ada}/messages"
    async with aiohttp.ClientSession() as session, asyncio.timeout(LONG_S):
        asking = asyncio.create_task(session.post(url, json={"message": "x"}, headers=headers))
        await held.opened.wait()
        asking.cancel()
        await asyncio.wait({asking})
    held.goes_on.set()
    (run_id,) = await line.run_ids()
    assert (await line.end_of(run_id)).state is RunState.COMPLETED
    _status, answer, _headers = await line.ask("GET", f"/{ada}/runs/{run_id}")
    assert answer["data"]["reply"] == "late"


async def _streamed(request: Any) -> Any:
    response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for piece in chunks("late"):
        await response.write(piece)
    return response


async def test_a_tool_call_runs_a_workflow(line: Line) -> None:
    await line.served.publish(
        {"key": "add", "operation": "transform", "config": {"values": {"sum": "{{ trigger.a + trigger.b }}"}}},
        name="adder",
    )
    status, made, _headers = await line.served.ask(
        "POST",
        "/teammates",
        {
            "name": "Bob",
            "provider": "echo",
            "channel": "api",
            "tools": [{"type": "workflow", "workflow": "adder"}],
        },
    )
    assert status == 201, made
    data = await line.say(made["data"]["id"], 'call adder {"a": 1, "b": 2}')
    assert '"sum":3' in data["reply"]
