"""Retry, signal and dead letters, on the whole program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.events.model import Story
from tests.app import Served, open_app
from tests.machine import node

FAIL = node("bad", operation="transform", config={"values": {"x": "{{ trigger.missing }}"}})
WAIT = node("w", operation="workflow.wait_event", config={"event": "go"})


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        await served.key("acme")
        yield served


async def start(served: Served, workflow_id: str, **context: Any) -> str:
    run = await served.data(
        "POST", "/workflow-runs", {"workflow_definition_id": workflow_id, "context": context}, status=201
    )
    await served.data("POST", f"/workflow-runs/{run['id']}/start", status=202)
    return str(run["id"])


async def until_waiting(served: Served, run_id: str) -> None:
    reader = served.app.hub.open({served.orgs["acme"]}, story=Story("run", run_id))
    try:
        async with asyncio.timeout(30):
            while "workflow.run.waiting" not in await served.kinds(run_id):
                reader.take()
                await reader.wait(30)
    finally:
        served.app.hub.release(reader)


async def ended(served: Served, run_id: str) -> Any:
    assert await served.app.runs.wait(await served.principal("acme"), run_id, 30) is not None
    return await served.data("GET", f"/workflow-runs/{run_id}")


async def test_retry_links_both_runs(served: Served) -> None:
    run_id = await start(served, await served.publish(FAIL))
    assert (await ended(served, run_id))["status"] == "failed"
    again = await served.data("POST", f"/workflow-runs/{run_id}/retry", {"from": "start"}, status=202)
    assert (again["retry_of"], again["trigger"]) == (run_id, "retry")
    assert (await ended(served, run_id))["retried_by"] == again["id"]
    by_trigger = await served.data("GET", "/workflow-runs?trigger=retry")
    assert [run["id"] for run in by_trigger] == [again["id"]]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"from": "nowhere"}, 422), ({"version": "newest"}, 400), ({"from": ""}, 400), ({"from": 1}, 400)],
)
async def test_a_retry_that_can_not_be(served: Served, body: Any, status: int) -> None:
    run_id = await start(served, await served.publish(FAIL))
    await ended(served, run_id)
    got, envelope, _headers = await served.ask("POST", f"/workflow-runs/{run_id}/retry", body)
    assert (got, envelope["data"]) == (status, None)


async def test_a_run_that_goes_on_is_not_retried(served: Served) -> None:
    run_id = await start(served, await served.publish(WAIT))
    got, _envelope, _headers = await served.ask("POST", f"/workflow-runs/{run_id}/retry")
    assert got == 409


async def test_signal(served: Served) -> None:
    run_id = await start(served, await served.publish(WAIT))
    await until_waiting(served, run_id)
    path = f"/workflow-runs/{run_id}/signal"
    assert (await served.ask("POST", path, {"name": "other"}))[0] == 409
    assert (await served.ask("POST", path, {"data": 1}))[0] == 400
    assert await served.data("POST", path, {"name": "go", "data": {"x": 1}}, status=202) == {
        "run_id": run_id,
        "step": "w",
    }
    assert (await ended(served, run_id))["output"]["payload"] == {"x": 1}
    assert (await served.ask("POST", path, {"name": "go"}))[0] == 409


async def test_an_event_resumes_the_whole_program_s_run(served: Served) -> None:
    run_id = await start(served, await served.publish(WAIT))
    await until_waiting(served, run_id)
    emit = node("e", operation="event.emit", config={"kind": "go", "payload": {"y": 2}})
    await start(served, await served.publish(emit, name="emits"))
    assert (await ended(served, run_id))["output"]["payload"] == {"y": 2}


async def test_parents_and_children_are_linked(served: Served) -> None:
    await served.publish(node("x"), name="sub")
    run_id = await start(served, await served.publish(node("c", operation="workflow.call", config={"workflow": "sub"})))
    await ended(served, run_id)
    _status, envelope, _headers = await served.ask("GET", f"/workflow-runs/{run_id}")
    (child,) = await served.data("GET", envelope["links"]["children"].removeprefix("/v1"))
    assert (child["parent_run_id"], child["parent_step"], child["trigger"]) == (run_id, "c", "workflow")
    _status, envelope, _headers = await served.ask("GET", f"/workflow-runs/{child['id']}")
    assert envelope["links"]["parent"] == f"/v1/workflow-runs/{run_id}"


async def test_dead_letters(served: Served) -> None:
    workflow_id = await served.publish(FAIL)
    ids = [await start(served, workflow_id) for _ in range(3)]
    for run_id in ids:
        await ended(served, run_id)

    async def listed(query: str = "") -> list[str]:
        return [run["id"] for run in await served.data("GET", f"/dead-letters{query}")]

    assert await listed() == ids[::-1]
    assert await listed(f"?workflow_id={workflow_id}&limit=1") == [ids[2]]
    assert await listed("?workflow_id=other") == []
    assert await listed("?created_to=2001-01-01T00:00:00Z") == []
    assert await listed("?to=2001-01-01") == []
    assert (await served.ask("GET", "/dead-letters?created_from=soon"))[0] == 400
    again = await served.data("POST", f"/dead-letters/{ids[0]}/requeue", {"version": "latest"}, status=202)
    assert again["retry_of"] == ids[0]
    assert await served.data("POST", f"/dead-letters/{ids[1]}/discard") == {"id": ids[1], "discarded": True}
    assert await served.data("DELETE", f"/dead-letters/{ids[2]}") == {"id": ids[2], "discarded": True}
    await ended(served, again["id"])
    assert await listed() == [again["id"]]
    for method, path in (("POST", "requeue"), ("POST", "discard")):
        assert (await served.ask(method, f"/dead-letters/{ids[0]}/{path}"))[0] == 404
    kinds = await served.kinds()
    assert kinds.count("dead_letter.discarded") == 2
    assert kinds.count("dead_letter.requeued") == 1
