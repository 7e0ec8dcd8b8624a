"""Runs of teammates that leave memory, are run again, or go: what they have grown goes along."""

from __future__ import annotations

import asyncio

from alloyd.domain.runs import store
from alloyd.domain.teammates.model import Message, WorkflowTool
from tests.domain.teammates.conftest import LONG_S, VENDOR, calls
from tests.vendor import chat, says

LATER = {"key": "later", "operation": "workflow.delay", "config": {"for": "1h"}}


async def test_a_tool_that_takes_long_costs_no_memory(asked):
    desk, vendor = asked
    app = desk.served.app
    await desk.served.publish(LATER, name="later")
    ada = await desk.make(tools=(WorkflowTool("later"),), **VENDOR)
    vendor.replies = [calls(("later", {}), ("nothing", {})), says(chat("It is later."))]
    sent = await desk.teammates.send(desk.who, ada.id, Message("go"))
    async with asyncio.timeout(LONG_S):
        while (await app.runs.find_state(desk.who, sent.run_id)) != "waiting" or app.engine.running_count:
            await asyncio.sleep(0)
    detail = await app.runs.get(desk.who, sent.run_id)
    assert {step.key: step.state.value for step in detail.steps} == {
        "reply": "waiting",
        "reply.1": "completed",
        "reply.1.1": "waiting",
        "reply.1.2": "failed",
    }
    assert (detail.run.steps_done, detail.run.steps_total) == (2, 4)
    desk.served.clock.advance(3_600_000)
    app.engine.scheduler.clock_moved()
    reply = await desk.teammates.await_reply(desk.who, sent.run_id, LONG_S)
    assert reply.text == "It is later."
    assert len(vendor.seen) == 2


async def test_a_failed_message_is_said_again_from_what_failed(asked):
    desk, vendor = asked
    await desk.served.publish({"key": "n", "operation": "workflow.noop"}, name="tool")
    ada = await desk.make(tools=(WorkflowTool("tool"),), **VENDOR)
    vendor.replies = [
        calls(("tool", {}), ("nothing", {})),
        says({"error": {"message": "no"}}, 400),
        says(chat("Better.")),
    ]
    sent = await desk.teammates.send(desk.who, ada.id, Message("go"))
    failed = await desk.served.app.runs.wait(desk.who, sent.run_id, LONG_S)
    assert failed is not None
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error.step == "reply"
    again = await desk.served.app.retries.retry(desk.who, sent.run_id, "failed")
    reply = await desk.teammates.await_reply(desk.who, again.run.id, LONG_S)
    assert reply.text == "Better."
    assert await desk.texts(ada, sent.conversation_id) == [("user", "go"), ("assistant", "Better.")]


async def test_a_cancelled_message_stops_its_tools(asked):
    desk, vendor = asked
    app = desk.served.app
    await desk.served.publish(LATER, name="later")
    ada = await desk.make(tools=(WorkflowTool("later"),), **VENDOR)
    vendor.replies = [calls(("later", {}))]
    sent = await desk.teammates.send(desk.who, ada.id, Message("go"))
    async with asyncio.timeout(LONG_S):
        while (await app.runs.find_state(desk.who, sent.run_id)) != "waiting":
            await asyncio.sleep(0)
    await app.runs.cancel(desk.who, sent.run_id)
    states = "SELECT state FROM runs WHERE parent_run_id = ?"
    async with asyncio.timeout(LONG_S):
        while (await app.database.read(lambda conn: conn.execute(states, (sent.run_id,)).fetchall())) != [
            ("cancelled",)
        ]:
            await asyncio.sleep(0)
    assert len(vendor.seen) == 1


async def test_what_a_run_has_grown_goes_with_it(desk):
    ada = await desk.make()
    reply = await desk.say(ada, "hi")
    database = desk.served.app.database
    counts = "SELECT (SELECT count(*) FROM grown_steps), (SELECT count(*) FROM run_steps), (SELECT count(*) FROM runs)"
    assert await database.read(lambda conn: conn.execute(counts).fetchone()) == (1, 2, 1)
    await database.write(lambda tx: store.delete_ended(tx, desk.who.org_id, reply.run_id, 100))
    assert await database.read(lambda conn: conn.execute(counts).fetchone()) == (0, 0, 0)
