"""A teammate from its making to its log: spoken to in three forms, by a bound key, and by OpenAI's own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai

from tests.app import Served, open_app

LONG_S = 30.0
ADDER = {"key": "add", "operation": "transform", "config": {"values": {"sum": "{{ trigger.a + trigger.b }}"}}}
CALL = 'call adder {"a": 40, "b": 2}'


async def say(served: Served, path: str, key: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Status and body, JSON or text, of a message on the channel."""
    url, sent = served.url + path, {"api-key": key, **headers}
    async with served.session.post(url, json=body, headers=sent) as response:
        is_json = response.content_type == "application/json"
        return response.status, await (response.json() if is_json else response.text())


async def look(served: Served, path: str, key: str) -> Any:
    """``data`` of what the channel tells."""
    async with served.session.get(served.url + path, headers={"api-key": key}) as response:
        assert response.status == 200, await response.text()
        return (await response.json())["data"]


async def test_a_teammate_at_work(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        await served.publish(ADDER, name="adder")
        wanted = {
            "name": "Ada",
            "role": "Adds for us",
            "provider": "echo",
            "channel": "api",
            "tools": [{"type": "workflow", "workflow": "adder"}],
        }
        ada = await served.data("POST", "/teammates", wanted, 201)
        bound = {"name": "shop", "role": "member", "teammate_id": ada["id"]}
        key = (await served.data("POST", "/api-keys", bound, 201))["key"]
        path = f"/api/teammates/{ada['id']}"

        status, answer = await say(served, f"{path}/messages", key, {"message": "Hello"})
        assert (status, answer["data"]["reply"]) == (200, "Hello")
        conversation_id = answer["data"]["conversation_id"]

        more = {"message": CALL, "conversation_id": conversation_id}
        status, text = await say(served, f"{path}/messages", key, more, Accept="text/event-stream")
        assert status == 200
        assert text.endswith("data: [DONE]\n\n")
        assert '\\"sum\\":42' in text

        status, answer = await say(served, f"{path}/messages", key, {"message": "Later"}, Prefer="respond-async")
        assert status == 202
        later = answer["data"]
        assert await served.app.runs.wait(await served.principal(), later["runId"], LONG_S) is not None
        assert (await look(served, later["status_url"], key))["reply"] == "Later"

        log = (await look(served, f"{path}/runs", key))["items"]
        assert [row["reply"] == text for row, text in zip(log, ("Later", "", "Hello"), strict=True)] == [
            True,
            False,
            True,
        ]
        run = await served.data("GET", f"/workflow-runs/{log[1]['runId']}")
        operations = {step["operation"] for step in run["steps"]}
        assert {"teammate.message", "ai.generate", "workflow.call"} <= operations
        children = await served.data("GET", f"/workflow-runs?parent_run_id={run['id']}")
        assert [child["status"] for child in children] == ["completed"]

        kept = await served.data("GET", f"/teammates/{ada['id']}/conversations/{conversation_id}")
        said = [(one["role"], one["text"]) for one in reversed(kept["messages"])]
        assert said[:3] == [("user", "Hello"), ("assistant", "Hello"), ("user", CALL)]

        async with openai.AsyncOpenAI(api_key=await served.key("acme"), base_url=f"{served.url}/v1") as client:
            assert f"teammate/{ada['id']}" in [model.id async for model in client.models.list()]
            whole = await client.chat.completions.create(
                model=f"teammate/{ada['id']}", messages=[{"role": "user", "content": CALL}]
            )
        assert '"sum":42' in (whole.choices[0].message.content or "")
        assert len((await look(served, f"{path}/runs?status=completed", key))["items"]) == 4

        await served.data("PATCH", f"/teammates/{ada['id']}", {"channel": "none"})
        status, answer = await say(served, f"{path}/messages", key, {"message": "Hello"})
        assert (status, answer["message"]) == (404, "teammate not found")
