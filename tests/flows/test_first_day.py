"""A company's first day: people, a team, a key, a workflow that an event starts, a job, what it cost, who did what.

All of it over HTTP on a real server; gRPC then reads the same things.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.audit.verification import verify_file
from alloyd.domain.users.service import CreateUser
from alloyd.principal import Role, system_principal
from tests.app import Served, open_app
from tests.grpc_client import GrpcClient
from tests.people import PASSWORD
from tests.wire.conftest import Frames

LONG_S = 30
ORDERS = {
    "name": "order-sync",
    "trigger": {"type": "event", "event": "order.created"},
    "nodes": [
        {
            "key": "total",
            "operation": "transform",
            "config": {"values": {"cents": "{{ int(trigger.amount * 100) }}"}},
        },
        {"key": "thank", "operation": "ai.generate", "config": {"prompt": "Thank you!"}, "depends_on": ["total"]},
        {"key": "paid", "operation": "workflow.wait_event", "config": {"event": "paid"}, "depends_on": ["thank"]},
    ],
}
SHOP = {
    "name": "shop",
    "nodes": [
        {
            "key": "told",
            "operation": "event.emit",
            "config": {"kind": "order.created", "payload": {"amount": "{{ trigger.amount }}"}},
        }
    ],
}


@dataclass
class Company:
    """The organization that Ann founded. Her token is the key ``ann``; Bea, whom she invited, has ``bea``."""

    served: Served
    id: str
    team_id: str

    @property
    def path(self) -> str:
        return f"/organizations/{self.id}"

    async def data(self, method: str, path: str, body: Any = None, status: int = 200, key: str = "ann") -> Any:
        return await self.served.data(method, path, body, status, key=key)

    async def follow(self, run_id: str, until: str) -> None:
        """Read the run's stream of events up to the one of that kind."""
        url = f"{self.served.url}/v1/workflow-runs/{run_id}/events"
        headers = {"Authorization": f"Bearer {await self.served.key('ann')}"}
        async with self.served.session.get(url, headers=headers) as response:
            frames = Frames(response)
            while (event := await frames.next()) is not None:
                if event["kind"] == until:
                    return
        raise AssertionError(f"the stream ended without {until}")

    async def run_to_its_end(self, run_id: str) -> Any:
        """The run, once it is completed."""
        await self.follow(run_id, "workflow.run.completed")
        return await self.data("GET", f"/workflow-runs/{run_id}")


async def sign_up(served: Served, name: str) -> None:
    """A user who belongs nowhere; the token that the password gives is kept as the key ``name``."""
    email = f"{name}@example.com"
    await served.key("nowhere")
    user = await served.app.users.create(CreateUser(email, PASSWORD, "nowhere", Role.VIEWER))
    await served.app.database.write(lambda tx: served.app.users.members.remove(tx, served.orgs["nowhere"], user.id))
    signed_in = await served.data("POST", "/auth/token", {"email": email, "password": PASSWORD}, key=None)
    served.keys[name] = signed_in["access_token"]


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Company]:
    async with open_app(tmp_path) as served:
        await sign_up(served, "ann")
        await sign_up(served, "bea")
        founded = await served.data("POST", "/organizations", {"slug": "tea", "name": "Tea & Co"}, 201, key="ann")
        body = {"organization_id": founded["id"], "slug": "sales", "name": "Sales"}
        team = await served.data("POST", "/teams", body, 201, key="ann")
        yield Company(served, founded["id"], team["id"])


async def test_people_join_and_do_what_their_role_lets_them(company: Company) -> None:
    invite = {
        "organization_id": company.id,
        "email": "bea@example.com",
        "role": "member",
        "team_id": company.team_id,
    }
    invitation = await company.data("POST", "/invitations", invite, 201)
    assert (await company.served.ask("POST", "/invitations", invite, key="ann"))[0] == 409
    await company.data("POST", f"/invitations/{invitation['id']}/accept", key="bea")
    assert (await company.served.ask("POST", f"/invitations/{invitation['id']}/accept", key="bea"))[0] == 409

    (standing,) = await company.data("GET", "/me/organizations", key="bea")
    assert (standing["id"], standing["role"]) == (company.id, "member")
    assert [team["id"] for team in await company.data("GET", "/me/teams", key="bea")] == [company.team_id]
    members = await company.data("GET", f"{company.path}/members", key="bea")
    assert {member["email"]: member["role"] for member in members} == {
        "ann@example.com": "owner",
        "bea@example.com": "member",
    }
    in_tea = {"organization_id": company.id}
    await company.data("POST", "/workflow-definitions", {**SHOP, **in_tea}, 201, key="bea")
    for path, body in (
        ("/teams", {"slug": "x", "name": "x"}),
        ("/api-keys", {"name": "x"}),
        ("/invitations", {"email": "x@example.com"}),
    ):
        assert (await company.served.ask("POST", path, {**body, **in_tea}, key="bea"))[0] == 403, path
    asked = {"checks": [{"action": "workflow.write"}, {"action": "team.create"}], **in_tea}
    answers = await company.data("POST", "/authz/check-batch", asked, key="bea")
    assert [answer["allowed"] for answer in answers] == [True, False]


async def test_an_order_is_followed_from_its_event_to_what_it_cost(company: Company) -> None:
    served = company.served
    issued = await company.data("POST", "/api-keys", {"organization_id": company.id, "name": "shop"}, 201)
    served.keys["shop"] = issued["key"]
    orders = await company.data("POST", "/workflow-definitions", ORDERS, 201, key="shop")
    shop = await company.data("POST", "/workflow-definitions", SHOP, 201, key="shop")

    order = {"workflow_definition_id": shop["id"], "context": {"amount": 12.5}, "idempotency_key": "order-1"}
    made = await company.data("POST", "/workflow-runs", order, 201, key="shop")
    assert (await company.data("POST", "/workflow-runs", order, 201, key="shop"))["id"] == made["id"]
    assert made["status"] == "pending"
    await company.data("POST", f"/workflow-runs/{made['id']}/start", status=202, key="shop")
    await company.run_to_its_end(made["id"])
    await served.app.triggers.consumer.settle()
    (sync,) = await company.data("GET", f"/workflow-runs?workflow_id={orders['id']}&organization_id={company.id}")
    assert sync["trigger"] == "event"
    await company.follow(sync["id"], "workflow.run.waiting")
    paid = {"name": "paid", "data": {"by": "card"}}
    await company.data("POST", f"/workflow-runs/{sync['id']}/signal", paid, 202, key="shop")
    ended = await company.run_to_its_end(sync["id"])
    assert {step["key"]: step["status"] for step in ended["steps"]} == dict.fromkeys(
        ("total", "thank", "paid"), "completed"
    )
    assert ended["steps"][0]["output"] == {"cents": 1250}
    assert ended["progress"] == {"total": 3, "completed": 3, "percentage": 100}

    job = await company.data("POST", "/jobs", {"modality": "text", "input": "More tea?"}, 202, key="shop")
    await served.app.runs.wait(system_principal(company.id), job["id"], LONG_S)
    assert (await company.data("GET", f"/jobs/{job['id']}", key="shop"))["status"] == "completed"
    usage = await company.data("GET", f"{company.path}/usage")
    assert usage["totals"]["calls"] == 2
    records = await company.data("GET", f"{company.path}/usage/records")
    assert {record["workflow_run_id"] for record in records} == {sync["id"], job["id"]}

    await company.data("DELETE", f"/api-keys/{issued['id']}")
    assert (await served.ask("GET", "/me", key="shop"))[0] == 401
    await check_trail(company, issued["key"])
    await check_grpc(company, sync["id"], job["id"])


async def check_trail(company: Company, secret: str) -> None:
    """The trail tells what was done, of no secret, and its chain holds."""
    rows = await company.data("GET", f"{company.path}/audit-logs?limit=200")
    done = [(row["action"], row["actor"]["kind"]) for row in rows]
    assert done[0] == ("api_key.revoke", "user")  # newest first
    for expected in (("api_key.create", "user"), ("workflow.write", "api_key"), ("job.create", "api_key")):
        assert expected in done
    assert {row["organization_id"] for row in rows} == {company.id}
    assert secret not in str(rows)
    verdict = verify_file(company.served.app.data_dir.database)
    assert (verdict.bad_seq, verdict.reason) == (None, None)
    assert verdict.checked >= len(rows)


async def check_grpc(company: Company, run_id: str, job_id: str) -> None:
    """gRPC tells the same as HTTP, in the organization that is named."""
    port = await company.served.app.listen_grpc()
    client = GrpcClient(f"127.0.0.1:{port}", await company.served.key("ann"))
    await client.load()
    run = await client.call("WorkflowsService/GetWorkflowRun", {"id": run_id})
    assert (run["status"], run["organization_id"]) == ("completed", company.id)
    listed = await client.call("JobsService/ListJobs", {"organization_id": company.id})
    assert [job["id"] for job in listed["items"]] == [job_id]
    status, _words = await client.refused("JobsService/ListJobs", {"organization_id": job_id})
    assert status == "NOT_FOUND"
    kinds = [event["kind"] async for event in client.stream("JobsService/WatchJob", {"id": job_id}) if event]
    assert kinds == ["job.created", "job.started", "job.completed"]
