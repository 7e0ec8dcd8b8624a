"""What is taken away ends what it has running, in the whole program: a workflow of an end user, an organization."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.app import Served, open_app

WAIT = {"key": "wait", "operation": "workflow.wait_event", "config": {"event": "go"}}


async def until(served: Served, run_id: str, state: str) -> None:
    async with asyncio.timeout(30):
        while (await served.app.runs.find_state(await served.principal(), run_id)).value != state:
            await asyncio.sleep(0)


async def test_uninstalling_by_http_cancels_the_users_run(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        principal = await served.principal()
        workflow_id = await served.publish(WAIT, trigger={"type": "event", "event": "begin"})
        run_ids = {}
        for user in ("ada", "bob"):
            user_id = (await served.app.end_users.create(principal, user)).id
            await served.app.installations.install(principal, user, workflow_id)
            (run_ids[user],) = (await served.app.embedded_events.trigger(principal, user_id, "begin", {})).started
            await until(served, run_ids[user], "waiting")
        async with served.session.delete(
            f"{served.url}/2025-09/workflows/{workflow_id}?userId=ada",
            headers={"Authorization": f"Bearer {await served.key('acme')}"},
        ) as response:
            assert response.status == 200
        await until(served, run_ids["ada"], "cancelled")
        assert (await served.app.runs.find_state(principal, run_ids["bob"])).value == "waiting"


async def test_archiving_cancels_the_organizations_runs(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        workflow_id = await served.publish(WAIT)
        _status, body, _headers = await served.trigger(workflow_id, b"{}")
        run_id = body["data"]["runId"]
        await until(served, run_id, "waiting")
        await served.app.orgs.archive("acme")
        await until(served, run_id, "cancelled")
