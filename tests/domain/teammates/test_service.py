"""Teammates: making, changing, deleting, showing; what is wrong is named."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from alloyd.domain.idempotency.model import Once
from alloyd.domain.runs.model import RunState
from alloyd.domain.teammates.model import (
    MESSAGE_BYTES_MAX,
    Channel,
    ConnectorTool,
    Message,
    NewTeammate,
    PastMessage,
    StorageRights,
    TeammateChange,
    Usage,
    WorkflowTool,
)
from alloyd.errors import AlloydError, Code
from alloyd.kit.ids import new_id
from alloyd.principal import Grant
from tests.domain.teammates.conftest import LONG_S


async def test_what_was_given_is_shown(desk):
    given = NewTeammate(
        "Ada",
        role="a clerk",
        instructions="Be kind.",
        provider="echo",
        model="echo",
        tier="best",
        temperature=0.5,
        tools=(ConnectorTool("slack", "send_message", "main", "Tells the team"),),
        storage=StorageRights(("/reports/", "reports", "b"), ("/",)),
        channel=Channel.API,
        max_turns=3,
    )
    made = await desk.teammates.create(desk.who, given)
    assert await desk.teammates.get(desk.who, made.id) == made
    assert await desk.teammates.get_by_name(desk.who, "Ada") == made
    assert await desk.teammates.get_by_name(desk.who, made.id) == made
    assert await desk.teammates.find_organization(made.id) == desk.who.org_id
    assert made.storage == StorageRights(("reports", "b"), ("/",))
    assert made.tools == given.tools
    assert (made.temperature, made.channel, made.max_turns) == (0.5, "api", 3)
    workflow = await desk.served.app.workflows.get(desk.who, made.workflow_id)
    assert workflow.workflow.name == "teammate Ada"
    assert workflow.definition["type"] == "employee"
    assert desk.served.app.workflows.check(workflow.definition) == []
    assert await desk.teammates.find_organization(new_id()) is None


FAULTS = [
    ({"name": ""}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "x" * 101}, "name"),
    ({"role": "x" * 201}, "role"),
    ({"role": "a\u202eb"}, "role"),
    ({"instructions": "x" * 32_769}, "instructions"),
    ({"instructions": "\ud800"}, "instructions"),
    ({"provider": ""}, "provider"),
    ({"model": "x" * 201}, "model"),
    ({"tier": " a"}, "tier"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"max_turns": 0}, "max_turns"),
    ({"max_turns": 51}, "max_turns"),
    ({"tools": (WorkflowTool("w"),) * 65}, "tools"),
    ({"tools": (WorkflowTool(""),)}, "tools[0].workflow"),
    ({"tools": (WorkflowTool("nope"),)}, "tools[0].workflow"),
    ({"tools": (ConnectorTool("nope", "x"),)}, "tools[0].connector"),
    ({"tools": (ConnectorTool("slack", "nope"),)}, "tools[0].action"),
    ({"tools": (ConnectorTool("slack", "send_message", ""),)}, "tools[0].credential"),
    ({"tools": (ConnectorTool("slack", "send_message", None, "x" * 1025),)}, "tools[0].description"),
    ({"storage": StorageRights(("a",) * 65)}, "storage.read"),
    ({"storage": StorageRights((), ("a/../b",))}, "storage.write[0]"),
]


@pytest.mark.parametrize(("fields", "field"), FAULTS, ids=lambda value: str(value)[:40])
async def test_what_is_wrong_is_named(desk, fields, field):
    with pytest.raises(AlloydError) as caught:
        await desk.teammates.create(desk.who, NewTeammate(**{"name": "Ada", **fields}))
    assert caught.value.code is Code.BAD_REQUEST
    assert caught.value.field == field
    ada = await desk.make("Eve")
    with pytest.raises(AlloydError) as caught:
        await desk.teammates.update(desk.who, ada.id, TeammateChange(**fields))
    assert caught.value.field == field
    assert await desk.teammates.get(desk.who, ada.id) == ada


async def test_changes(desk):
    ada = await desk.make(temperature=1.0)
    changed = await desk.teammates.update(
        desk.who, ada.id, TeammateChange(name="Bea", temperature=None, channel=Channel.WEBCHAT)
    )
    assert (changed.name, changed.temperature, changed.channel, changed.provider) == ("Bea", None, "webchat", "echo")
    assert changed.workflow_id == ada.workflow_id
    again = await desk.teammates.update(desk.who, ada.id, TeammateChange(name="Bea"))
    assert again == changed
    told = [kind for kind in await desk.served.kinds() if kind.startswith("teammate.")]
    assert told == ["teammate.created", "teammate.updated"]
    with pytest.raises(AlloydError, match="teammate not found"):
        await desk.teammates.update(desk.who, new_id(), TeammateChange(name="x"))


async def test_a_change_is_for_the_next_message(desk):
    ada = await desk.make()
    assert (await desk.say(ada, "one")).text == "one"
    await desk.teammates.update(desk.who, ada.id, TeammateChange(provider="nobody"))
    sent = await desk.teammates.send(desk.who, ada.id, Message("two"))
    with pytest.raises(AlloydError, match="nobody"):
        await desk.teammates.await_reply(desk.who, sent.run_id, LONG_S)


async def test_names_are_taken_once(desk):
    ada = await desk.make("Ada")
    with pytest.raises(AlloydError, match="taken") as caught:
        await desk.make("Ada")
    assert caught.value.code is Code.CONFLICT
    bob = await desk.make("Bob")
    with pytest.raises(AlloydError, match="taken"):
        await desk.teammates.update(desk.who, bob.id, TeammateChange(name="Ada"))
    await desk.teammates.delete(desk.who, ada.id)
    again = await desk.make("Ada")
    assert again.workflow_id != ada.workflow_id


async def test_a_workflow_of_that_name_stays_what_it_is(desk):
    theirs = await desk.served.publish({"key": "n", "operation": "workflow.noop"}, name="teammate Ada")
    ada = await desk.make("Ada")
    workflow = await desk.served.app.workflows.get(desk.who, ada.workflow_id)
    assert workflow.workflow.name == "teammate Ada 2"
    assert ada.workflow_id != theirs


async def test_its_workflow_lives_as_long_as_it_does(desk):
    ada = await desk.make()
    with pytest.raises(AlloydError, match="delete the teammate") as caught:
        await desk.served.app.workflows.delete(desk.who, ada.workflow_id)
    assert caught.value.code is Code.CONFLICT
    await desk.teammates.delete(desk.who, ada.id)
    with pytest.raises(AlloydError, match="workflow not found"):
        await desk.served.app.workflows.get(desk.who, ada.workflow_id)
    assert [kind for kind in await desk.served.kinds() if kind.endswith("deleted")] == [
        "workflow.deleted",
        "teammate.deleted",
    ]
    with pytest.raises(AlloydError, match="teammate not found"):
        await desk.teammates.delete(desk.who, ada.id)


async def test_once_is_once(desk):
    once = Once("POST /v1/teammates", "key", "digest")
    first = await desk.teammates.create(desk.who, NewTeammate("Ada", provider="echo"), once)
    assert await desk.teammates.create(desk.who, NewTeammate("Ada", provider="echo"), once) == first
    says = Once("POST /api/teammates/{id}/messages", "key", "digest")
    copies = await asyncio.gather(
        *(desk.teammates.send(desk.who, first.id, Message("hi"), once=says, listen=True) for _ in range(5))
    )
    assert len(set(copies)) == 1
    await desk.teammates.await_reply(desk.who, copies[0].run_id, LONG_S)
    assert await desk.served.count_runs() == 1
    assert len(await desk.teammates.conversations.list_page(desk.who, first.id, None, 10)) == 1
    other = Once("POST /api/teammates/{id}/messages", "key", "other")
    with pytest.raises(AlloydError, match="already used"):
        await desk.teammates.send(desk.who, first.id, Message("ho"), once=other)


async def test_lists_go_from_the_newest(desk):
    made = [await desk.make(f"T{number}") for number in range(3)]
    page = await desk.teammates.list_page(desk.who, None, 2)
    assert page == [made[2], made[1]]
    assert await desk.teammates.list_page(desk.who, page[-1].id, 2) == [made[0]]


async def test_the_request_log_is_the_runs_of_its_workflow(desk):
    ada, bob = await desk.make("Ada"), await desk.make("Bob")
    replies = [await desk.say(ada, text) for text in ("a", "b")]
    await desk.say(bob, "c")
    logged = (await desk.teammates.list_runs(desk.who, ada.id, None, None, 10)).runs
    assert [run.id for run in logged] == [replies[1].run_id, replies[0].run_id]
    assert all(run.trigger_kind == "teammate" and run.steps_done == run.steps_total == 2 for run in logged)
    assert (await desk.teammates.list_runs(desk.who, ada.id, RunState.FAILED, None, 10)).runs == []
    assert len((await desk.teammates.list_runs(desk.who, ada.id, None, replies[1].run_id, 10)).runs) == 1
    outcome = await desk.teammates.find_reply(desk.who, ada.id, replies[0].run_id)
    assert outcome.reply == replies[0]
    with pytest.raises(AlloydError, match="run not found"):
        await desk.teammates.find_reply(desk.who, bob.id, replies[0].run_id)
    assert (await desk.served.kinds(replies[0].run_id)).count("teammate.replied") == 1


MESSAGES = [
    (Message(" "), "message"),
    (Message("\ud800"), "message"),
    (Message("x" * (MESSAGE_BYTES_MAX + 1)), "message"),
    (Message("x", context="y" * MESSAGE_BYTES_MAX), "message"),
    (Message("x", conversation_id="nope"), "conversation_id"),
    (Message("x", conversation_id=new_id(), history=()), "conversation_id"),
    (Message("x", history=(PastMessage("tool", "x"),)), "history[0]"),
    (Message("x", history=(PastMessage("user", "\ud800"),)), "history[0].text"),
    (Message("x", history=(PastMessage("user", "x"),) * 1001), "history"),
]


@pytest.mark.parametrize(("message", "field"), MESSAGES, ids=range(len(MESSAGES)))
async def test_what_can_not_be_said(desk, message, field):
    ada = await desk.make()
    with pytest.raises(AlloydError) as caught:
        await desk.teammates.send(desk.who, ada.id, message)
    assert caught.value.field == field
    assert await desk.served.count_runs() == 0


async def test_a_large_message_is_answered(asked):
    desk, vendor = asked
    ada = await desk.make(provider="vendor", model="m")
    text = "x" * MESSAGE_BYTES_MAX
    await desk.say(ada, text)
    assert vendor.seen[0][2]["messages"][-1]["content"] == text


async def test_a_denied_or_bound_caller_talks_to_no_other(desk):
    ada, bob = await desk.make("Ada"), await desk.make("Bob")
    denied = Grant(desk.who.org_id, "teammate.message", allow=False, kind="teammate", id=ada.id)
    caller = replace(desk.who, grants=(denied,))
    with pytest.raises(AlloydError) as caught:
        await desk.teammates.send(caller, ada.id, Message("hi"))
    assert caught.value.code is Code.FORBIDDEN
    await desk.teammates.send(caller, bob.id, Message("hi"))
    bound = replace(desk.who, teammate_id=ada.id)
    await desk.teammates.send(bound, ada.id, Message("hi"))
    with pytest.raises(AlloydError, match="teammate not found"):
        await desk.teammates.send(bound, bob.id, Message("hi"))


async def test_other_workflows_talk_to_it_too(desk):
    await desk.make("Ada")
    flow = {
        "start": {"type": "starting_step", "next": "ask"},
        "ask": {"type": "run_employee", "config": {"teammate": "Ada", "message": "{{ trigger.text }}"}, "next": "more"},
        "more": {
            "type": "agent",
            "config": {
                "teammate": "Ada",
                "message": "and",
                "conversation_id": "{{ steps.ask.output.conversation_id }}",
            },
        },
    }
    saved = await desk.served.app.workflows.save(
        desk.who, {"name": "asks", "type": "agent", "starting_step_id": "start", "flow": flow}
    )
    status, answer, _headers = await desk.served.trigger(
        saved.version.workflow.id,
        msgspec.json.encode({"text": "{{ hi }}"}),
        headers={"Content-Type": "application/json"},
    )
    assert status == 200
    ended = await desk.served.app.runs.wait(desk.who, answer["data"]["runId"], LONG_S)
    assert ended.output["reply"] == "and"
    assert set(ended.output["usage"]) == {"input_tokens", "output_tokens", "cost_usd"}
    ada = await desk.teammates.get_by_name(desk.who, "Ada")
    texts = await desk.texts(ada, ended.output["conversation_id"])
    assert texts == [("user", "{{ hi }}"), ("assistant", "{{ hi }}"), ("user", "and"), ("assistant", "and")]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"teammate": "nobody", "message": "x"}, "not_found"),
        ({"teammate": "Ada", "message": "x", "conversation_id": "nope"}, "bad_request"),
        ({"teammate": "Ada", "message": "x", "conversation_id": "01a20226-c9b9-7187-b3b2-c4fe525c01ed"}, "not_found"),
        ({"teammate": "Ada", "message": " "}, "bad_request"),
        ({"teammate": "Ada", "message": "x", "history": [{"role": "tool", "text": "x"}]}, "bad_request"),
        ({"teammate": "Ada", "message": "x", "history": [{"role": "user"}]}, "bad_request"),
        ({"teammate": "Ada", "message": "{{ trigger.gone }}"}, "expression"),
    ],
)
async def test_a_step_that_says_nonsense_fails(desk, config, code):
    await desk.make("Ada")
    workflow = await desk.served.publish({"key": "ask", "operation": "teammate.message", "config": config})
    _status, answer, _headers = await desk.served.trigger(workflow)
    ended = await desk.served.app.runs.wait(desk.who, answer["data"]["runId"], LONG_S)
    assert ended.error.code == code


async def test_a_changed_workflow_may_say_something_else_or_nothing(desk):
    ada = await desk.make()
    name = (await desk.served.app.workflows.get(desk.who, ada.workflow_id)).workflow.name
    say = {"key": "say", "operation": "transform", "config": {"values": {"reply": "fixed: {{ trigger.message }}"}}}
    await desk.served.app.workflows.save(desk.who, {"name": name, "nodes": [say]})
    reply = await desk.say(ada, "hi")
    assert (reply.text, reply.usage.input_tokens) == ("fixed: hi", 0)
    await desk.served.app.workflows.save(
        desk.who, {"name": name, "nodes": [{"key": "n", "operation": "workflow.noop"}]}
    )
    with pytest.raises(AlloydError, match="without a reply"):
        await desk.say(ada, "hi")
    (newest, *_rest) = (await desk.teammates.list_runs(desk.who, ada.id, None, None, 1)).runs
    outcome = await desk.teammates.find_reply(desk.who, ada.id, newest.id)
    assert outcome.error.code == "unprocessable"


@pytest.mark.parametrize(
    "usage",
    [
        "much",
        {"input_tokens": "9", "output_tokens": [1], "cost_usd": "cheap"},
        {"input_tokens": -1, "output_tokens": 1.5, "cost_usd": -1},
        {"input_tokens": True, "cost_usd": 1e300},
    ],
)
async def test_what_a_changed_workflow_says_of_usage_is_not_believed_blindly(desk, usage):
    """Its owners may write anything there: neither the reply nor the request log may break over it."""
    ada = await desk.make()
    name = (await desk.served.app.workflows.get(desk.who, ada.workflow_id)).workflow.name
    values = {"reply": "hm", "usage": usage, "conversation_id": 1, "finish": [], "model": {}, "provider_id": 2}
    say = {"key": "say", "operation": "transform", "config": {"values": values}}
    await desk.served.app.workflows.save(desk.who, {"name": name, "nodes": [say]})
    reply = await desk.say(ada, "hi")
    assert (reply.text, reply.usage, reply.finish) == ("hm", Usage(0, 0, None), "stop")
    assert (reply.conversation_id, reply.model, reply.provider_id) == (None, None, None)
    assert (await desk.teammates.find_reply(desk.who, ada.id, reply.run_id)).reply == reply
