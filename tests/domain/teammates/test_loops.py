"""Teammates whose tools lead to teammates again: what they ask for comes to an end."""

from __future__ import annotations

import msgspec
import pytest

from alloyd.domain.operations import workflow_call
from alloyd.domain.runs import store_family
from alloyd.domain.teammates.model import TeammateChange, WorkflowTool
from tests.domain.teammates.conftest import VENDOR, calls
from tests.vendor import chat, says


async def make_own_tool(desk, **more):
    """A teammate that may talk to itself."""
    one = await desk.make(**more)
    return await desk.teammates.update(desk.who, one.id, TeammateChange(tools=(WorkflowTool(one.workflow_id),)))


async def told(desk, state=None):
    """The codes of all steps that failed, anywhere."""
    rows = await desk.served.app.database.read(
        lambda conn: conn.execute("SELECT error FROM run_steps WHERE error IS NOT NULL").fetchall()
    )
    return {msgspec.json.decode(row[0])["code"] for row in rows}


async def test_runs_that_models_ask_for_are_bounded_over_the_whole_family(asked, monkeypatch):
    monkeypatch.setattr(workflow_call, "ASKED_RUNS_MAX", 12)
    desk, vendor = asked
    ada = await make_own_tool(desk, max_turns=2, **VENDOR)
    vendor.replies = [calls(*[("teammate_Ada", {"message": "again"})] * 2)]
    await desk.say(ada, "go")
    assert await told(desk) >= {"too_many_runs"}
    # One more than is allowed, and those that were let in side by side with the last one.
    assert 12 < await desk.served.count_runs() <= 12 + 1 + 16


async def test_what_others_began_does_not_count(asked, monkeypatch):
    monkeypatch.setattr(workflow_call, "ASKED_RUNS_MAX", 2)
    desk, vendor = asked
    items = {"key": "each", "operation": "workflow.foreach", "config": {"items": [1, 2, 3, 4], "workflow": "one"}}
    await desk.served.publish({"key": "n", "operation": "workflow.noop", "config": {}}, name="one")
    await desk.served.publish(items, name="many")
    ada = await desk.make(tools=(WorkflowTool("many"),), **VENDOR)
    for _message in range(2):
        vendor.replies = [calls(("many", {})), calls(("many", {})), says(chat("Done."))]
        assert (await desk.say(ada, "go")).text == "Done."
    assert await told(desk) == set()


async def test_a_conversation_is_not_waited_for_by_what_it_waits_for(asked):
    desk, vendor = asked
    ada = await make_own_tool(desk, **VENDOR)
    begun = await desk.say(ada, "hi")
    again = {"message": "again", "conversation_id": begun.conversation_id}
    vendor.replies = [calls(("teammate_Ada", again)), says(chat("Done."))]
    reply = await desk.say(ada, "go", conversation_id=begun.conversation_id)
    assert reply.text == "Done."
    assert await told(desk) == {"deadlock"}
    other = await desk.say(ada, "hi")
    vendor.replies = [calls(("teammate_Ada", again)), says(chat("Fine.")), says(chat("Done."))]
    assert (await desk.say(ada, "go", conversation_id=other.conversation_id)).text == "Done."


@pytest.mark.parametrize("limit", [1, 2])
async def test_any_workflow_that_would_wait_for_itself_fails_at_once(desk, limit):
    node = {"key": "c", "operation": "workflow.call", "config": {"workflow": "self"}}
    mode = {"mode": "queue", "concurrency_limit": limit, "concurrency_key": "{{ 'k' }}"}
    workflow_id = await desk.served.publish(node, name="self", **mode)
    status, answer, _headers = await desk.served.trigger(workflow_id, headers={"prefer": "wait=30"})
    assert status == 200, answer
    assert await told(desk) == {"deadlock"}
    assert await desk.served.count_runs() == limit


async def test_families_are_counted_without_looking_at_all_runs(desk):
    def plans(conn):
        params = {"run": "r", "org": "o", "seen": 9, "slot": "s"}
        queries = (store_family.COUNT_ASKED, store_family.COUNT_PLACES)
        return [row[3] for sql in queries for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", params)]

    found = await desk.served.app.database.read(plans)
    assert any("runs_by_parent" in step for step in found)
    scanned = {step for step in found if step.startswith("SCAN")} - {"SCAN up", "SCAN down", "SCAN CONSTANT ROW"}
    assert not scanned
    assert not [step for step in found if "runs_by_org" in step]
