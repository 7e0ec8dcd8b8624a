"""A purge of an end user's runs in the whole program: no byte of theirs in any file of the data directory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from alloyd.domain.idempotency.model import Once
from alloyd.domain.webhooks.model import CreateWebhook
from tests.app import Served, open_app

CANARY = "QANARY-of-ada-"

FLOW: list[dict[str, Any]] = [
    {
        "key": "say",
        "operation": "event.emit",
        "config": {"kind": "said.it", "payload": {"text": "{{ trigger.text }}"}},
    },
    {
        "key": "file",
        "operation": "storage.put_object",
        "config": {"filename": "{{ trigger.name }}.txt", "content": "{{ trigger.text }}"},
    },
    {
        "key": "each",
        "operation": "workflow.foreach",
        "config": {
            "items": ["{{ trigger.text }}", "b"],
            "nodes": [{"key": "t", "operation": "transform", "config": {"values": {"item": "{{ item }}"}}}],
        },
    },
    {"key": "wait", "operation": "workflow.wait_event", "depends_on": ["each", "file"], "config": {"event": "go"}},
    {
        "key": "fail",
        "operation": "transform",
        "depends_on": ["wait.received"],
        "config": {"values": {"n": "{{ int(steps.wait.output.payload.text) }}"}},
    },
]


def places_of(directory: Path, text: str) -> set[str]:
    """Files that hold the text, or are called so."""
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and (text.encode() in path.read_bytes() or text in path.name)
    }


async def run_all(served: Served, user_id: str, text: str) -> None:
    """A run that fails at its end, and one that goes on waiting."""
    app, principal = served.app, await served.principal()
    for number in range(2):
        accepted = await app.embedded_events.trigger(
            principal, user_id, "begin", {"text": text, "name": text[:40]}, Once("r", f"{text[:40]}-{number}", "d")
        )
        (run_id,) = accepted.started
        while (await app.runs.find_state(principal, run_id)).value != "waiting" or not (
            await app.database.read(
                lambda conn, run_id=run_id: conn.execute(
                    "SELECT 1 FROM event_waits WHERE run_id = ?", (run_id,)
                ).fetchone()
            )
        ):
            await asyncio.sleep(0)
        if not number:
            await app.embedded_events.trigger(principal, user_id, "go", {"text": text})
            await app.runs.wait(principal, run_id, 30)


async def test_no_byte_is_left_in_any_file(tmp_path):
    async with open_app(tmp_path) as served, asyncio.timeout(60):
        app, principal = served.app, await served.principal()
        await app.webhooks.create(principal, CreateWebhook("http://127.0.0.1:9/hook", ("said.it",)))
        workflow_id = await served.publish(*FLOW, trigger={"type": "event", "event": "begin"})
        users = {}
        for name in ("ada", "bob"):
            users[name] = (await app.end_users.create(principal, name)).id
            await app.installations.install(principal, name, workflow_id)
        await run_all(served, users["ada"], CANARY * 300)
        await run_all(served, users["bob"], "BOBS-data-" * 300)
        await run_all(served, users["ada"], CANARY)
        assert any("blobs" in place for place in places_of(tmp_path, CANARY))
        assert (await app.end_user_purge.purge(principal, users["ada"])).runs >= 4
        assert places_of(tmp_path, CANARY) == set()
        assert any("blobs" in place for place in places_of(tmp_path, "BOBS-data-"))
        (log, *_more) = await app.run_logs.list_logs(principal, users["bob"], workflow_id, 0, 10)
        assert log.status.value in ("pending", "failure")
        assert await app.run_logs.list_logs(principal, users["ada"], workflow_id, 0, 10) == []
    assert places_of(tmp_path, CANARY) == set()
