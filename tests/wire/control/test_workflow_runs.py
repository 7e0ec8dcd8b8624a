"""``/v1/workflow-runs``: make, start, show, list, cancel, on the whole program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.config import EngineConfig
from alloyd.domain.operations.model import Done
from alloyd.kit.clock import rfc3339
from alloyd.kit.ids import new_id
from tests.app import Served, open_app
from tests.machine import branch, node

STEM = "/workflow-runs"
ASK = node("a", operation="test.ask")
NOOP = node("a")
LISTED = {
    "id",
    "workflow_id",
    "workflow_version",
    "organization_id",
    "status",
    "trigger",
    "progress",
    "context",
    "output",
    "error",
    "metadata",
    "retry_of",
    "retried_by",
    "parent_run_id",
    "parent_step",
    "started_by",
    "created_at",
    "queued_at",
    "started_at",
    "ended_at",
    "deadline_at",
}
STEP = {
    "key",
    "operation",
    "status",
    "attempt",
    "started_at",
    "ended_at",
    "duration_ms",
    "output",
    "error",
    "attempts",
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        await served.key("acme")
        yield served


async def create(served: Served, workflow_id: str, key: str = "acme", **more: Any) -> Any:
    return await served.data("POST", STEM, {"workflow_definition_id": workflow_id, **more}, status=201, key=key)


async def end(served: Served, run_id: str, slug: str = "acme") -> Any:
    """Wait for the run's end; the run as it is shown then."""
    assert await served.app.runs.wait(await served.principal(slug), run_id, 30) is not None
    return await served.data("GET", f"{STEM}/{run_id}", key=slug)


# -- create, start, show ----------------------------------------------------------------------------------------------


async def test_create_is_pending_and_does_not_start(served: Served) -> None:
    workflow_id = await served.publish(ASK, node("b", "a"))
    before = await served.kinds()
    run = await create(served, workflow_id, context={"x": 1}, metadata={"who": "me"})
    assert run.keys() == LISTED | {"payload", "steps"}
    assert run["status"] == "pending"
    assert (run["workflow_id"], run["workflow_version"], run["trigger"]) == (workflow_id, 1, "control")
    assert run["organization_id"] == served.orgs["acme"]
    assert run["progress"] == {"total": 2, "completed": 0, "percentage": 0}
    assert (run["context"], run["payload"], run["metadata"]) == ({"x": 1}, {"x": 1}, {"who": "me"})
    assert (run["output"], run["error"], run["retry_of"]) == (None, None, None)
    assert run["created_at"] == rfc3339(served.clock.now_ms())
    assert [run[name] for name in ("queued_at", "started_at", "ended_at", "deadline_at")] == [None] * 4
    assert [(step["key"], step["operation"], step["status"]) for step in run["steps"]] == [
        ("a", "test.ask", "waiting"),
        ("b", "workflow.noop", "waiting"),
    ]
    assert all(step.keys() == STEP for step in run["steps"])
    assert (await served.kinds())[len(before) :] == ["workflow.run.created"]
    assert await served.data("GET", f"{STEM}/{run['id']}") == run
    assert served.outside.waiting == 0


async def test_start(served: Served) -> None:
    run = await create(served, await served.publish(ASK), context={"x": 1})
    served.clock.advance(1000)
    started = await served.data("POST", f"{STEM}/{run['id']}/start", status=202)
    assert started["status"] in ("queued", "running")
    assert started["queued_at"] == rfc3339(served.clock.now_ms())
    assert started["deadline_at"] is not None
    asked = await served.outside.next()
    assert asked.context.names["trigger"] == asked.context.names["context"] == {"x": 1}
    served.clock.advance(250)
    asked.answer(Done({"y": 2}))
    done = await end(served, run["id"])
    assert done["status"] == "completed"
    assert done["output"] == {"y": 2}
    assert done["progress"] == {"total": 1, "completed": 1, "percentage": 100}
    (step,) = done["steps"]
    assert (step["status"], step["attempt"], step["duration_ms"], step["output"]) == ("completed", 1, 250, {"y": 2})
    assert await served.kinds(run["id"]) == [
        "workflow.run.created",
        "workflow.run.queued",
        "workflow.run.started",
        "workflow.node.started",
        "workflow.node.completed",
        "workflow.run.completed",
    ]


async def test_start_takes_an_empty_body_of_any_type(served: Served) -> None:
    for headers in ({}, {"Content-Type": "text/plain"}):
        run = await create(served, await served.publish(NOOP))
        await served.data("POST", f"{STEM}/{run['id']}/start", status=202, headers=headers)


async def test_only_a_pending_run_can_be_started(served: Served) -> None:
    run = await create(served, await served.publish(ASK))
    path = f"{STEM}/{run['id']}/start"
    before = await served.kinds(run["id"])
    answers = await asyncio.gather(*(served.ask("POST", path) for _ in range(10)))
    assert sorted(status for status, _envelope, _headers in answers) == [202] + [409] * 9
    asked = await served.outside.next()
    for _ in range(2):
        status, envelope, _headers = await served.ask("POST", path)
        assert (status, envelope["error"]["code"]) == (409, "conflict")
        if not asked.outcome.done():
            asked.answer()
            await end(served, run["id"])
    assert (await served.kinds(run["id"]))[len(before) :].count("workflow.run.queued") == 1


async def test_progress_and_steps_half_way(served: Served) -> None:
    workflow_id = await served.publish(NOOP, node("b", "a", operation="test.ask"), node("c", "b"))
    run_id = (await create(served, workflow_id))["id"]
    await served.data("POST", f"{STEM}/{run_id}/start", status=202)
    asked = await served.outside.next()
    run = await served.data("GET", f"{STEM}/{run_id}")
    assert run["status"] == "running"
    assert run["progress"] == {"total": 3, "completed": 1, "percentage": 33}
    assert [step["status"] for step in run["steps"]] == ["completed", "running", "waiting"]
    asked.fail()
    run = await end(served, run_id)
    assert run["status"] == "failed"
    assert run["error"] == {"code": "broken", "message": "it broke", "step": "b"}
    assert run["progress"]["percentage"] == 100
    assert [step["status"] for step in run["steps"]] == ["completed", "failed", "skipped"]
    assert run["steps"][1]["error"] == {"code": "broken", "message": "it broke"}


async def test_every_attempt_is_shown(served: Served) -> None:
    workflow_id = await served.publish(node("a", operation="test.ask", policy={"backoff": "fixed"}))
    run_id = (await create(served, workflow_id))["id"]
    await served.data("POST", f"{STEM}/{run_id}/start", status=202)
    began = rfc3339(served.clock.now_ms())
    asked = await served.outside.next()
    served.clock.advance(10)
    asked.fail(retryable=True)
    failed = rfc3339(served.clock.now_ms())
    async with asyncio.timeout(30):
        while (await served.data("GET", f"{STEM}/{run_id}"))["status"] != "waiting":
            await asyncio.sleep(0)
    (step,) = (await served.data("GET", f"{STEM}/{run_id}"))["steps"]
    assert (step["status"], step["attempt"]) == ("waiting", 1)
    served.clock.advance(1000)
    served.app.engine.scheduler.clock_moved()
    (await served.outside.next()).answer()
    (step,) = (await end(served, run_id))["steps"]
    assert (step["status"], step["attempt"]) == ("completed", 2)
    assert step["attempts"] == [
        {
            "attempt": 1,
            "started_at": began,
            "ended_at": failed,
            "error": {"code": "broken", "message": "it broke"},
        }
    ]


async def test_a_way_that_was_not_taken_is_skipped(served: Served) -> None:
    workflow_id = await served.publish(branch("if"), node("yes", "if.then"), node("no", "if.else"))
    run_id = (await create(served, workflow_id))["id"]
    await served.data("POST", f"{STEM}/{run_id}/start", status=202)
    run = await end(served, run_id)
    assert {step["key"]: step["status"] for step in run["steps"]} == {
        "if": "completed",
        "yes": "completed",
        "no": "skipped",
    }


async def test_a_run_is_pinned_to_its_version_also_when_the_workflow_is_gone(served: Served) -> None:
    workflow_id = await served.publish(node("old", operation="transform", config={"values": {"v": 1}}))
    run_id = (await create(served, workflow_id))["id"]
    await served.publish(node("new", operation="transform", config={"values": {"v": 2}}))
    await served.data("DELETE", f"/workflow-definitions/{workflow_id}")
    await served.data("POST", f"{STEM}/{run_id}/start", status=202)
    run = await end(served, run_id)
    assert (run["workflow_version"], run["output"]) == (1, {"v": 1})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "workflow_definition_id"),
        ({"workflow_definition_id": 5}, "workflow_definition_id"),
        ({"workflow_definition_id": "x", "context": []}, "context"),
        ({"workflow_definition_id": "x", "metadata": "m"}, "metadata"),
        ({"workflow_definition_id": "x", "idempotency_key": "a b"}, "idempotency_key"),
        ([], "body"),
        ("x", "body"),
    ],
)
async def test_bad_creates(served: Served, body: Any, field: str) -> None:
    headers = {"Content-Type": "application/json"}
    status, envelope, _headers = await served.ask("POST", STEM, msgspec.json.encode(body), headers=headers)
    assert (status, envelope["error"]["code"]) == (400, "bad_request")
    assert envelope["error"]["details"] == {"field": field}
    assert await served.count_runs() == 0


async def test_creates_of_what_is_not_there(served: Served) -> None:
    principal = await served.principal()
    draft = (await served.app.workflows.save(principal, {"name": "draft"})).version.workflow.id
    foreign = await served.publish(NOOP, slug="other", name="foreign")
    for wanted in (new_id(), "nonsense", draft, foreign, "foreign", ""):
        status, envelope, _headers = await served.ask("POST", STEM, {"workflow_definition_id": wanted})
        assert (status, envelope["error"]) == (404, {"code": "not_found", "message": "workflow not found"})
    mine = await served.publish(NOOP)
    body = {"workflow_definition_id": mine, "organization_id": served.orgs["other"]}
    status, envelope, _headers = await served.ask("POST", STEM, body)
    assert (status, envelope["error"]["message"]) == (404, "organization not found")
    assert await served.count_runs() == 0
    assert await create(served, mine, organization_id=served.orgs["acme"])


async def test_create_once(served: Served) -> None:
    workflow_id = await served.publish(NOOP)
    body = {"workflow_definition_id": workflow_id, "idempotency_key": "k"}
    answers = await asyncio.gather(*(served.ask("POST", STEM, body) for _ in range(30)))
    assert {status for status, _envelope, _headers in answers} == {201}
    assert len({envelope["data"]["id"] for _status, envelope, _headers in answers}) == 1
    assert await served.count_runs() == 1
    status, envelope, _headers = await served.ask("POST", STEM, {**body, "context": {"x": 1}})
    assert (status, envelope["error"]["code"]) == (409, "conflict")


async def test_bounds(tmp_path: Path) -> None:
    async with open_app(tmp_path, EngineConfig(queued_per_org_max=1, running_max=1)) as served:
        workflow_id = await served.publish(ASK)
        pending = (await create(served, workflow_id))["id"]
        await served.trigger(workflow_id)
        await served.outside.next()
        await served.trigger(workflow_id)
        for path, body in ((STEM, {"workflow_definition_id": workflow_id}), (f"{STEM}/{pending}/start", None)):
            status, envelope, headers = await served.ask("POST", path, body)
            assert (status, envelope["error"]["code"]) == (429, "rate_limited")
            assert int(headers["Retry-After"]) > 0
        assert (await served.data("GET", f"{STEM}/{pending}"))["status"] == "pending"


# -- cancel -----------------------------------------------------------------------------------------------------------


async def test_cancel(served: Served) -> None:
    workflow_id = await served.publish(ASK, node("d", operation="workflow.delay", config={"for": 9999}), node("b", "a"))
    run_id = (await create(served, workflow_id))["id"]
    await served.data("POST", f"{STEM}/{run_id}/start", status=202)
    asked = await served.outside.next()
    async with asyncio.timeout(30):
        while "workflow.node.waiting" not in await served.kinds(run_id):
            await asyncio.sleep(0)
    run = await served.data("POST", f"{STEM}/{run_id}/cancel", status=202)
    assert run["status"] == "cancelled"
    assert run["error"] == {"code": "cancelled", "message": "the run was cancelled"}
    assert run["ended_at"] is not None
    assert {step["key"]: step["status"] for step in run["steps"]} == {"a": "cancelled", "d": "skipped", "b": "skipped"}
    assert (await served.kinds(run_id))[-1] == "workflow.run.cancelled"
    async with asyncio.timeout(30):
        while not asked.interrupted:
            await asyncio.sleep(0)


async def test_cancel_while_pending(served: Served) -> None:
    run_id = (await create(served, await served.publish(ASK)))["id"]
    assert (await served.data("POST", f"{STEM}/{run_id}/cancel", status=202))["status"] == "cancelled"
    assert await served.kinds(run_id) == ["workflow.run.created", "workflow.node.skipped", "workflow.run.cancelled"]
    status, _envelope, _headers = await served.ask("POST", f"{STEM}/{run_id}/start")
    assert status == 409


@pytest.mark.parametrize("ends_as", ["completed", "failed", "cancelled"])
async def test_an_ended_run_can_not_be_cancelled(served: Served, ends_as: str) -> None:
    run_id = (await create(served, await served.publish(ASK)))["id"]
    path = f"{STEM}/{run_id}"
    await served.data("POST", f"{path}/start", status=202)
    asked = await served.outside.next()
    if ends_as == "completed":
        asked.answer()
    elif ends_as == "failed":
        asked.fail()
    else:
        await served.data("POST", f"{path}/cancel", status=202)
    before = await end(served, run_id)
    told = await served.kinds(run_id)
    status, envelope, _headers = await served.ask("POST", f"{path}/cancel")
    assert (status, envelope["error"]["code"]) == (409, "conflict")
    assert ends_as in envelope["error"]["message"]
    assert await served.data("GET", path) == before
    assert before["status"] == ends_as
    assert await served.kinds(run_id) == told


async def test_many_cancels_at_one_time(served: Served) -> None:
    run_id = (await create(served, await served.publish(ASK)))["id"]
    await served.data("POST", f"{STEM}/{run_id}/start", status=202)
    await served.outside.next()
    answers = await asyncio.gather(*(served.ask("POST", f"{STEM}/{run_id}/cancel") for _ in range(10)))
    assert sorted(status for status, _envelope, _headers in answers) == [202] + [409] * 9
    assert (await served.kinds(run_id)).count("workflow.run.cancelled") == 1


# -- list -------------------------------------------------------------------------------------------------------------


async def test_list_filters_and_pages(served: Served) -> None:
    one, two = await served.publish(NOOP, name="one"), await served.publish(NOOP, name="two")
    began = served.clock.now_ms()
    ids = []
    for number in range(8):
        ids.append((await create(served, one if number % 2 else two))["id"])
        served.clock.advance(1000)
    foreign = await served.publish(NOOP, slug="other")
    await create(served, foreign, key="other")
    await served.data("POST", f"{STEM}/{ids[0]}/start", status=202)
    await end(served, ids[0])
    await served.data("POST", f"{STEM}/{ids[1]}/cancel", status=202)

    async def listed(query: str) -> list[str]:
        runs = await served.data("GET", f"{STEM}?{query}")
        assert all(run.keys() == LISTED for run in runs)
        return [run["id"] for run in runs]

    newest = list(reversed(ids))
    cut = rfc3339(began + 3000).replace(":", "%3A")
    assert await listed("") == newest
    assert await listed("status=pending") == newest[:6]
    assert await listed("status=completed") == [ids[0]]
    assert await listed("top_level=true") == await listed("top_level=false") == newest
    assert await listed("status=cancelled") == [ids[1]]
    assert await listed("status=failed") == []
    assert await listed(f"workflow_id={one}") == newest[0::2]
    assert await listed(f"workflow_id={foreign}") == []
    assert await listed(f"created_from={cut}") == newest[:5]
    assert await listed(f"created_to={cut}") == newest[5:]
    assert await listed(f"from={cut}") == newest[:5]
    assert await listed(f"to={cut}") == newest[5:]
    assert await listed(f"status=pending&workflow_id={two}&created_from={cut}") == [ids[6], ids[4]]

    paged: list[str] = []
    path = f"{STEM}?limit=3&status=pending"
    for size in (3, 3):
        _status, envelope, _headers = await served.ask("GET", path)
        assert len(envelope["data"]) == size
        paged += [run["id"] for run in envelope["data"]]
        path = envelope["links"].get("next", "").removeprefix("/v1")
    assert (paged, path) == (newest[:6], "")


async def test_a_page_after_a_run_that_is_gone_is_the_end_not_the_beginning(served: Served) -> None:
    workflow_id = await served.publish(NOOP)
    for _ in range(5):
        await create(served, workflow_id)
    _status, envelope, _headers = await served.ask("GET", f"{STEM}?limit=2")
    last = envelope["data"][-1]["id"]
    await served.app.database.write(lambda tx: tx.execute("DELETE FROM runs WHERE id <= ?", (last,)))
    _status, envelope, _headers = await served.ask("GET", envelope["links"]["next"].removeprefix("/v1"))
    assert envelope["data"] == []
    assert "next" not in envelope["links"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=done", "status"),
        ("status=", "status"),
        ("created_from=yesterday", "created_from"),
        ("from=2026-13-01", "from"),
        ("from=2026-01-01&created_from=2026-01-01", "from"),
        ("created_to=2026-01-01T00:00:00", "created_to"),
        (f"created_to={'9' * 65}", "created_to"),
        ("top_level=perhaps", "top_level"),
        ("top_level=true&parent_run_id=x", "top_level"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=%ff", "cursor"),
    ],
)
async def test_bad_queries(served: Served, query: str, field: str) -> None:
    status, envelope, _headers = await served.ask("GET", f"{STEM}?{query}")
    assert (status, envelope["error"]["code"], envelope["error"]["details"]) == (400, "bad_request", {"field": field})


# -- who --------------------------------------------------------------------------------------------------------------


async def test_unknown_and_foreign_runs_look_the_same(served: Served) -> None:
    foreign = (await create(served, await served.publish(NOOP, slug="other"), key="other"))["id"]
    for run_id in (foreign, new_id(), "nonsense", "%20", "%F0%9F%98%80", "a%2Fb"):
        for method, path in (("GET", ""), ("POST", "/start"), ("POST", "/cancel"), ("GET", "/events")):
            status, envelope, _headers = await served.ask(method, f"{STEM}/{run_id}{path}")
            assert (status, envelope["error"]) == (404, {"code": "not_found", "message": "run not found"}), (
                run_id,
                path,
            )
    assert (await served.data("GET", f"{STEM}/{foreign}", key="other"))["status"] == "pending"


async def test_who_may(served: Served) -> None:
    workflow_id = await served.publish(NOOP)
    run_id = (await create(served, workflow_id))["id"]
    body = {"workflow_definition_id": workflow_id}
    for method, path, sent, statuses in (
        ("GET", STEM, None, {"acme viewer": 200, None: 401}),
        ("GET", f"{STEM}/{run_id}", None, {"acme viewer": 200, None: 401}),
        ("POST", STEM, body, {"acme viewer": 403, None: 401, "acme member": 201}),
        ("POST", f"{STEM}/{run_id}/cancel", None, {"acme viewer": 403, None: 401}),
        ("POST", f"{STEM}/{run_id}/start", None, {"acme viewer": 403, None: 401, "acme member": 202}),
    ):
        for key, wanted in statuses.items():
            status, _envelope, _headers = await served.ask(method, path, sent, key=key)
            assert status == wanted, (method, path, key)


async def test_a_summary_leaves_out_what_runs_hold(served: Served) -> None:
    config = {"values": {"said": "{{ trigger.said }}"}}
    flow = await served.publish(node("a", operation="transform", config=config))
    run_id = (await create(served, flow, context={"said": "much"}))["id"]
    await served.data("POST", f"{STEM}/{run_id}/start", status=202)
    await end(served, run_id)
    [whole] = await served.data("GET", f"{STEM}?workflow_id={flow}")
    [slim] = await served.data("GET", f"{STEM}?workflow_id={flow}&summary=true")
    assert (whole["context"]["said"], whole["output"]) == ("much", {"said": "much"})
    assert slim == whole | {"context": {}, "output": None}
