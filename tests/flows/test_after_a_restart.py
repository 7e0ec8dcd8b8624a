"""What was acknowledged holds after a restart: copies of requests, runs that wait, revocations, roles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.app import Served, open_app
from tests.people import sign_in
from tests.wire.conftest import Frames

APPROVAL = {
    "name": "approval",
    "nodes": [
        {
            "key": "lines",
            "operation": "workflow.foreach",
            "config": {
                "items": "trigger.lines",
                "nodes": [{"key": "double", "operation": "transform", "config": {"values": {"n": "{{ item * 2 }}"}}}],
            },
        },
        {
            "key": "approved",
            "operation": "workflow.wait_event",
            "config": {"event": "order.approved"},
            "depends_on": ["lines"],
        },
        {
            "key": "end",
            "operation": "workflow.finish",
            "config": {
                "output": "{{ {'n': sum([x.n for x in steps.lines.output]), 'by': steps.approved.output.payload.by} }}"
            },
            "depends_on": ["approved"],
        },
    ],
}


async def follow(served: Served, run_id: str, until: str) -> None:
    """Read the run's stream of events up to the one of that kind."""
    headers = {"Authorization": f"Bearer {await served.key('acme')}"}
    async with served.session.get(f"{served.url}/v1/workflow-runs/{run_id}/events", headers=headers) as response:
        frames = Frames(response)
        while (event := await frames.next()) is not None:
            if event["kind"] == until:
                return
    raise AssertionError(f"the stream ended without {until}")


async def ask_for(served: Served, workflow_id: str, ann_id: str) -> dict[str, Any]:
    """Requests with idempotency keys, and the ids that their answers give."""
    posts = {
        "/workflow-runs": ({"workflow_definition_id": workflow_id, "context": {"lines": [1, 2, 3]}}, 201),
        "/workflow-definitions": (APPROVAL, 201),
        "/jobs": ({"modality": "text", "input": "hi"}, 202),
        "/api-keys": ({"name": "ci", "role": "viewer"}, 201),
        "/teams": ({"slug": "crew", "name": "Crew"}, 201),
        "/invitations": ({"email": "new@example.com"}, 201),
        "/grants": ({"principal": ann_id, "action": "job.create", "effect": "deny"}, 201),
        "/schedules": ({"workflow_id": workflow_id, "cron": "@yearly"}, 201),
        "/webhooks": ({"url": "https://example.com/x", "events": ["none.such"]}, 201),
    }
    made = {}
    for path, (body, status) in posts.items():
        made[path] = await served.data("POST", path, {**body, "idempotency_key": "once"}, status)
    return made


async def test_a_day_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        ann = await sign_in(served, "ann", "acme member")
        workflow = await served.data("POST", "/workflow-definitions", APPROVAL, 201)
        made = await ask_for(served, workflow["id"], ann.id)
        run_id = made["/workflow-runs"]["id"]
        await served.data("POST", f"/workflow-runs/{run_id}/start", status=202)
        await follow(served, run_id, "workflow.run.waiting")
        served.keys["ci"] = made["/api-keys"]["key"]
        await served.data("DELETE", f"/api-keys/{made['/api-keys']['id']}")
        keys, orgs = served.keys, served.orgs

    async with open_app(tmp_path) as served:
        served.keys.update(keys)
        served.orgs.update(orgs)
        again = await ask_for(served, workflow["id"], ann.id)
        assert {path: thing["id"] for path, thing in again.items()} == {
            path: thing["id"] for path, thing in made.items()
        }
        assert (await served.ask("GET", "/me", key="ci"))[0] == 401
        assert (await served.ask("POST", "/jobs", {"modality": "text", "input": "hi"}, key="ann"))[0] == 403
        assert (await served.data("GET", f"/workflow-runs/{run_id}"))["status"] == "waiting"
        signal = {"name": "order.approved", "data": {"by": "Ann"}}
        await served.data("POST", f"/workflow-runs/{run_id}/signal", signal, 202, key="ann")
        await follow(served, run_id, "workflow.run.completed")
        ended = await served.data("GET", f"/workflow-runs/{run_id}")
        assert ended["output"] == {"n": 12, "by": "Ann"}
        assert [step["attempt"] for step in ended["steps"]] == [1, 1, 1]
