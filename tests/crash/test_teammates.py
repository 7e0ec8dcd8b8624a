"""A kill in the middle of a conversation: no model is asked again for what it had answered, no tool called again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest

from tests.crash.harness import PATIENCE_S, Client, LostError
from tests.crash.points import DURING_A_CONVERSATION
from tests.vendor import Vendor, chat, open_vendor, says

pytestmark = pytest.mark.crash

CHILD = {
    "name": "double",
    "nodes": [{"key": "d", "operation": "transform", "config": {"values": {"n": "{{ trigger.n * 2 }}"}}}],
}
TEAMMATE = {
    "name": "Ada",
    "provider": "vendor",
    "model": "m",
    "channel": "api",
    "tools": [{"type": "workflow", "workflow": "double"}],
    "storage": {"read": [], "write": ["notes"]},
}
# What is asked again though nothing is lost: the answer was there, and not yet recorded.
ASKED_AGAIN = {"engine.after_step:2": {0: 2, 1: 1}, "engine.before_record:3": {0: 2, 1: 1}}


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call-{name}", "type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [call("double", '{"n": 21}'), call("storage_write", '{"path": "notes/a.txt", "content": "{{ 1 }}"}')]


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async def reply(request: Any, asked: Any) -> Any:
        if any(message["role"] == "tool" for message in asked["messages"]):
            return await says(chat("It is 42."))(request, asked)
        message = {"content": None, "tool_calls": TOOLS}
        return await says(chat("", message=message, finish_reason="tool_calls"))(request, asked)

    async with open_vendor(reply) as played:
        yield played


async def say(client: Client, teammate_id: str) -> None:
    """Send the message; the process dies before it can answer."""
    with pytest.raises(LostError):
        await client.send(
            "POST",
            f"/api/teammates/{teammate_id}/messages",
            json={"message": "Twice 21?"},
            headers={"api-key": client.key},
        )


@pytest.mark.parametrize("crash_at", DURING_A_CONVERSATION)
async def test_a_conversation_goes_on_where_it_was(scene, vendor, crash_at):
    daemon = scene.daemon
    settings = {"ALLOYD_PROVIDERS__VENDOR__BASE_URL": vendor.url}
    await daemon.start(settings=settings)
    async with daemon.client() as client:
        await client.send("POST", "/v1/workflow-definitions", json=CHILD)
        status, made = await client.send("POST", "/v1/teammates", json=TEAMMATE)
        assert status == 201
    await daemon.kill()
    await daemon.start(crash_at, settings)
    async with daemon.client() as client:
        await say(client, made["id"])
    await daemon.die()
    await daemon.start(settings=settings)
    async with daemon.client() as client, asyncio.timeout(PATIENCE_S):
        while True:
            (run,) = await client.get("/v1/workflow-runs", teammate_id=made["id"])
            if run["status"] in ("completed", "failed"):
                break
        run = await client.get(f"/v1/workflow-runs/{run['id']}")
    await daemon.kill()
    assert run["status"] == "completed"
    assert run["output"]["reply"] == "It is 42."
    assert [(step["key"], step["status"]) for step in run["steps"]] == [
        (key, "completed") for key in ("reply", "reply.1", "reply.1.1", "reply.1.2", "reply.2")
    ]
    turns = Counter(sum(message["role"] == "tool" for message in asked["messages"]) // 2 for _, _, asked in vendor.seen)
    assert turns == ASKED_AGAIN.get(crash_at, {0: 1, 1: 1})
    results = [message["content"] for message in vendor.seen[-1][2]["messages"] if message["role"] == "tool"]
    assert results[0] == '{"n":42}'
    with closing(sqlite3.connect(daemon.database)) as conn:
        assert conn.execute("SELECT count(*) FROM runs WHERE parent_run_id IS NOT NULL").fetchone() == (1,)
        texts = conn.execute("SELECT role, text FROM conversation_messages ORDER BY number").fetchall()
        assert texts == [("user", "Twice 21?"), ("assistant", "It is 42.")]
        assert conn.execute("SELECT count(*) FROM events WHERE kind = 'teammate.replied'").fetchone() == (1,)
        assert conn.execute("SELECT count(*) FROM usage_records").fetchone() == (len(vendor.seen),)
