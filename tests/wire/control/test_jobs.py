"""Jobs over HTTP, on the real engine and gateway: bodies, states, events, copies of requests, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.config import DataConfig
from alloyd.domain.jobs.model import WORKFLOW_ID
from alloyd.domain.providers.model import Model, Used
from alloyd.domain.providers.service import Estimate
from alloyd.domain.usage.model import Budget
from alloyd.errors import bad_request
from alloyd.kit.ids import new_id
from tests.app import Served, open_app

ASKED = {"modality": "text", "input": "hello"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def submit(served: Served, body: dict[str, Any] | None = None, **options: Any) -> Any:
    return await served.data("POST", "/jobs", body or ASKED, 202, **options)


async def follow(served: Served, job_id: str, query: str = "", **headers: str) -> list[Any]:
    """The job's events until the stream ends by itself."""
    given = {"Authorization": f"Bearer {await served.key('acme')}", **headers}
    async with served.session.get(f"{served.url}/v1/jobs/{job_id}/events{query}", headers=given) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        lines = (await response.read()).split(b"\n")
    return [msgspec.json.decode(line[len(b"data: ") :]) for line in lines if line.startswith(b"data: ")]


async def finish(served: Served, body: dict[str, Any] | None = None) -> Any:
    job = await submit(served, body)
    await follow(served, job["id"])
    return await served.data("GET", f"/jobs/{job['id']}")


class Hold:
    """A gateway whose calls begin, and end when the test says so."""

    def __init__(self, served: Served) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self._execute = served.app.gateway.execute
        served.app.gateway.execute = self.execute  # type: ignore[method-assign]

    async def execute(self, *args: Any) -> Any:
        self.begun.set()
        await self.go.wait()
        return await self._execute(*args)


async def test_bodies(served: Served) -> None:
    job = await submit(served, {**ASKED, "params": {"max_tokens": 5}})
    job_id = job["id"]
    golden = {
        "id": job_id,
        "job_id": job_id,
        "status": "pending",
        "workflow_run_id": job_id,
        "estimated_cost_usd": 0,
        "organization_id": served.orgs["acme"],
        "modality": "text",
        "model": None,
        "provider": None,
        "tier": None,
        "error": None,
        "created_by": job["created_by"],
        "created_at": "2026-01-01T00:00:00.000Z",
        "started_at": None,
        "ended_at": None,
        "input": "hello",
        "params": {"max_tokens": 5},
        "output": None,
        "provider_id": None,
        "usage": None,
    }
    assert job == golden
    await follow(served, job_id)
    now = "2026-01-01T00:00:00.000Z"
    done = golden | {"status": "completed", "started_at": now, "ended_at": now, "model": "echo", "provider_id": "echo"}
    done |= {
        "output": {"text": "hello", "finish_reason": "stop"},
        "usage": {"input_tokens": 2, "output_tokens": 1, "cost_usd": 0},
    }
    assert await served.data("GET", f"/jobs/{job_id}") == done
    told_later = {"input", "params", "output", "provider_id", "usage"}
    listed = {name: value for name, value in done.items() if name not in told_later} | {"model": None}
    assert await served.data("GET", "/jobs") == [listed]
    assert (await served.data("GET", f"/workflow-runs/{job_id}"))["trigger"] == "job"


async def test_usage_of_a_job_is_its_keys(served: Served) -> None:
    job = await finish(served)
    usage = await served.data("GET", f"/jobs/{job['id']}/usage")
    [record] = usage["records"]
    assert usage["totals"]["calls"] == 1
    assert (record["job_id"], record["workflow_run_id"], record["workflow_id"]) == (job["id"], job["id"], None)
    assert (record["principal_kind"], record["principal_id"]) == ("api_key", job["created_by"])
    report = await served.data("GET", f"/organizations/{served.orgs['acme']}/usage")
    assert [(line["id"], line["calls"]) for line in report["by_job"]] == [(job["id"], 1)]
    assert [(line["id"], line["calls"]) for line in report["by_key"]] == [(job["created_by"], 1)]


async def test_events_replay_resume_and_end(served: Served) -> None:
    job = await submit(served)
    told = await follow(served, job["id"])
    assert [event["kind"] for event in told] == ["job.created", "job.started", "job.completed"]
    assert {event["job_id"] for event in told} == {job["id"]}
    assert {event["payload"]["workflow_run_id"] for event in told} == {job["id"]}
    assert await follow(served, job["id"], **{"Last-Event-ID": told[1]["id"]}) == told[2:]
    assert await follow(served, job["id"], f"?last_event_id={told[2]['id']}") == []
    assert await follow(served, job["id"], "?last_event_id=nonsense") == told
    run_kinds = await served.kinds(job["id"])
    assert run_kinds[-1] == "workflow.run.completed"  # the run's own story is as ever


async def test_events_live(served: Served) -> None:
    hold = Hold(served)
    job = await submit(served)
    await hold.begun.wait()
    following = asyncio.ensure_future(follow(served, job["id"]))
    while not served.app.streams.count:
        await asyncio.sleep(0)
    assert (await served.data("GET", f"/jobs/{job['id']}"))["status"] == "started"
    hold.go.set()
    assert [event["kind"] for event in await following] == ["job.created", "job.started", "job.completed"]


async def test_failure_is_told(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_args: Any) -> Any:
        raise bad_request("input: not understood", "input")

    monkeypatch.setattr(served.app.gateway, "execute", refuse)
    job = await finish(served)
    assert job["status"] == "failed"
    assert (job["error"]["code"], job["error"]["message"]) == ("bad_request", "input: not understood")
    last = (await follow(served, job["id"]))[-1]
    assert (last["kind"], last["payload"]["error"]["code"]) == ("job.failed", "bad_request")


async def test_cancel(served: Served) -> None:
    hold = Hold(served)
    job = await submit(served)
    await hold.begun.wait()
    cancelled = await served.data("POST", f"/jobs/{job['id']}/cancel", None, 202)
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    assert [event["kind"] for event in await follow(served, job["id"])] == ["job.created", "job.started", "job.failed"]
    status, envelope, _headers = await served.ask("POST", f"/jobs/{job['id']}/cancel")
    assert (status, envelope["error"]["message"]) == (409, "the job has ended already")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"modality": "smell", "input": "x"}, 404, "smell"),
        ({"modality": "text", "input": "x", "model": "nobody/knows"}, 404, "nobody"),
        ({"modality": "text", "input": "x", "provider": "nobody"}, 404, "nobody"),
        ({"input": "x"}, 400, "modality: required"),
        ({"modality": "text"}, 400, "input: required"),
        ({"modality": "", "input": "x"}, 400, "modality"),
        ({"modality": "text", "input": 5}, 400, "input"),
        ({"modality": "text", "input": "x", "params": []}, 400, "params"),
        ({"modality": "text", "input": "x", "idempotency_key": "a b"}, 400, "idempotency_key"),
        ({"modality": "text", "input": "x", "organization_id": "elsewhere"}, 404, "organization"),
    ],
)
async def test_what_makes_no_job(served: Served, body: dict[str, Any], status: int, said: str) -> None:
    got, envelope, _headers = await served.ask("POST", "/jobs", body)
    assert (got, said in envelope["error"]["message"]) == (status, True), envelope["error"]
    assert await served.count_runs() == 0


async def test_over_budget_is_refused_at_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = Estimate("dear", Model("m"), "text", Used(), 2_000_001)
    monkeypatch.setattr(served.app.gateway, "estimate", lambda *_args: estimate)
    who = await served.principal()
    assert (await submit(served))["estimated_cost_usd"] == 2.000001
    first = await submit(served, {**ASKED, "idempotency_key": "k"})
    await served.app.usage.set_budget(who, Budget(2_000_000))
    status, envelope, headers = await served.ask("POST", "/jobs", ASKED)
    assert (status, envelope["error"]["details"]["budget"]) == (429, "monthly budget")
    assert int(headers["Retry-After"]) > 0
    assert served.app.usage.get_budget(who.org_id).reserved_micro_usd == 0
    again = await submit(served, {**ASKED, "idempotency_key": "k"})  # what was answered is answered again
    assert again["id"] == first["id"]


async def test_a_hundred_copies_make_one_job(served: Served) -> None:
    await served.key("acme")
    body = {**ASKED, "idempotency_key": "k"}
    jobs = await asyncio.gather(*(submit(served, body) for _ in range(100)))
    assert len({job["id"] for job in jobs}) == 1
    assert await served.count_runs() == 1
    assert (await served.ask("POST", "/jobs", {**body, "input": "other"}))[0] == 409
    in_header = await submit(served, ASKED, headers={"Idempotency-Key": "other"})
    assert in_header["id"] != jobs[0]["id"]
    assert (await served.kinds()).count("job.created") == 2


async def test_a_restart_goes_on_and_remembers(tmp_path: Path) -> None:
    body = {**ASKED, "idempotency_key": "k"}
    async with open_app(tmp_path) as served:
        hold = Hold(served)
        job = await submit(served, body)
        await hold.begun.wait()
        key = served.keys["acme"]
    async with open_app(tmp_path) as served:
        served.keys["acme"] = key
        last = (await follow(served, job["id"]))[-1]
        assert last["kind"] == "job.completed", last["payload"]
        again = await submit(served, body)
        assert (again["id"], again["status"]) == (job["id"], "completed")
        assert await served.count_runs() == 1


async def test_filters_and_pages(served: Served) -> None:
    texts = [(await finish(served))["id"] for _ in range(3)]
    served.clock.advance(60_000)
    embedding = (await finish(served, {"modality": "embedding", "input": "x"}))["id"]

    async def ids(query: str) -> list[str]:
        return [job["id"] for job in await served.data("GET", f"/jobs{query}")]

    newest_first = [embedding, *reversed(texts)]
    assert await ids("") == newest_first
    assert await ids("?status=completed") == newest_first
    assert await ids("?status=failed") == []
    assert await ids("?modality=embedding") == [embedding]
    assert await ids("?modality=chat&status=completed") == newest_first[1:]
    assert await ids("?created_from=2026-01-01T00:01:00Z") == [embedding]
    assert await ids("?created_to=2026-01-01T00:01:00Z") == newest_first[1:]
    assert await ids("?from=2026-01-01T00:01:00Z") == [embedding]
    _status, envelope, _headers = await served.ask("GET", "/jobs?limit=3")
    assert [job["id"] for job in envelope["data"]] == newest_first[:3]
    assert await ids(envelope["links"]["next"].removeprefix("/v1/jobs")) == newest_first[3:]
    assert (await served.ask("GET", "/jobs?status=done"))[0] == 400
    assert (await served.ask("GET", "/jobs?created_from=yesterday"))[0] == 400


async def test_another_organization_and_lesser_roles(served: Served) -> None:
    job = await finish(served)
    for path in ("", "/usage", "/events"):
        assert (await served.ask("GET", f"/jobs/{job['id']}{path}", key="other"))[0] == 404
        assert (await served.ask("GET", f"/jobs/{new_id()}{path}"))[0] == 404
    assert await served.data("GET", "/jobs", key="other") == []
    assert (await served.ask("POST", "/jobs", ASKED, key="acme viewer"))[0] == 403
    assert (await served.ask("GET", f"/jobs/{job['id']}", key="acme viewer"))[0] == 200


async def test_the_workflow_behind_jobs_is_nobodys(served: Served) -> None:
    await finish(served)
    assert await served.data("GET", "/workflow-definitions") == []
    assert (await served.ask("GET", f"/workflow-definitions/{WORKFLOW_ID}"))[0] == 404
    assert (await served.trigger(WORKFLOW_ID, {}))[0] == 404
    run = {"workflow_definition_id": WORKFLOW_ID}
    assert (await served.ask("POST", "/workflow-runs", run))[0] == 404
    plain = await served.publish({"key": "a", "operation": "workflow.noop"})
    run_id = (await served.data("POST", "/workflow-runs", {"workflow_definition_id": plain}, 201))["id"]
    assert (await served.ask("GET", f"/jobs/{run_id}"))[0] == 404  # a run that is no job


async def test_a_disk_that_is_full_takes_no_job(tmp_path: Path) -> None:
    async with open_app(tmp_path, data=DataConfig(disk_free_bytes_min=2**40)) as served:
        status, envelope, _headers = await served.ask("POST", "/jobs", ASKED)
        assert (status, "disk" in envelope["error"]["message"]) == (503, True)
        assert await served.count_runs() == 0


async def test_a_budget_used_up_meanwhile_fails_the_job(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not wait for the next month."""

    async def over_budget(*_args: Any) -> Any:
        return served.app.usage.reserve(served.orgs["acme"], 1)

    who = await served.principal()
    await served.app.usage.set_budget(who, Budget(0))
    monkeypatch.setattr(served.app.gateway, "execute", over_budget)
    job = await finish(served)
    assert (job["status"], job["error"]["code"]) == ("failed", "rate_limited")
    assert job["error"]["details"]["budget"] == "monthly budget"
