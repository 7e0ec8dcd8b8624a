"""Turns with a vendor that misbehaves: loops, invented tools, injected expressions, rights, failures."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from alloyd.config import ProviderConfig
from alloyd.config.model import TeammatesConfig
from alloyd.domain.teammates.model import ConnectorTool, Message, PastMessage, StorageRights, WorkflowTool
from alloyd.errors import AlloydError, Code
from alloyd.principal import system_principal
from tests.app import open_app
from tests.domain.teammates.conftest import LONG_S, VENDOR, Desk, calls
from tests.vendor import chat, open_vendor, says

ECHO_BACK = {"key": "back", "operation": "transform", "config": {"values": {"got": "{{ trigger }}"}}}
BREAKS = {"key": "b", "operation": "transform", "config": {"values": {"x": "{{ trigger.missing }}"}}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def sent(vendor: Any, number: int = -1) -> list[dict[str, Any]]:
    """The messages of a request that the vendor got."""
    found: list[dict[str, Any]] = vendor.seen[number][2]["messages"]
    return found


def heard(vendor: Any) -> list[Any]:
    """What the model was told of its tools, last."""
    return [msgspec.json.decode(message["content"]) for message in sent(vendor) if message["role"] == "tool"]


async def test_a_model_that_never_stops_calling_is_ended_by_its_turns(asked):
    desk, vendor = asked
    await desk.served.publish(ECHO_BACK, name="back")
    ada = await desk.make(tools=(WorkflowTool("back"),), max_turns=3, **VENDOR)
    vendor.replies = [calls(("back", {"n": 1}), text="Wait.")]
    reply = await desk.say(ada, "go")
    assert len(vendor.seen) == 3
    assert [body.get("tool_choice") for _path, _headers, body in vendor.seen] == [None, None, "none"]
    assert reply.finish == "max_turns"
    assert reply.text == "Wait.\n\nWait.\n\nWait."
    vendor.replies = [calls(("back", {"n": 1}))]
    assert (await desk.say(ada, "go")).text == "I stopped after 3 turns without an answer."


async def test_turns_end_when_they_take_too_much(tmp_path):
    """Each turn keeps all that the model was sent: what its tools give would add up to gigabytes."""
    async with (
        open_vendor() as vendor,
        open_app(
            tmp_path,
            providers={"vendor": ProviderConfig(base_url=vendor.url)},
            teammates=TeammatesConfig(turns_bytes_max=4096),
        ) as served,
    ):
        desk = Desk(served, await served.principal())
        await served.publish(ECHO_BACK, name="back")
        ada = await desk.make(tools=(WorkflowTool("back"),), max_turns=50, **VENDOR)
        vendor.replies = [calls(("back", {"n": "x" * 500}), text="Wait.")]
        reply = await desk.say(ada, "go")
        assert [body.get("tool_choice") for _path, _headers, body in vendor.seen] == [None, None, "none"]
        assert (reply.finish, reply.text) == ("max_turns", "Wait.\n\nWait.\n\nWait.")


async def test_what_a_model_invents_is_told_to_it(asked):
    desk, vendor = asked
    await desk.served.publish(ECHO_BACK, name="back")
    await desk.served.publish(ECHO_BACK, name="secret")
    await desk.served.publish(ECHO_BACK, name="strict", payload_schema=SCHEMA)
    ada = await desk.make(tools=(WorkflowTool("back"), WorkflowTool("strict")), **VENDOR)
    vendor.replies = [
        calls(
            ("secret", {}),
            ("workflow.call", {"workflow": "secret"}),
            ("back", "{broken"),
            ("back", [1]),
            ("strict", {"n": "1"}),
        ),
        says(chat("Sorry.")),
    ]
    reply = await desk.say(ada, "go")
    assert [told["error"]["code"] for told in heard(vendor)] == ["not_found", "not_found", *["bad_arguments"] * 3]
    assert "there are: back, strict" in heard(vendor)[0]["error"]["message"]
    steps = await desk.steps(reply.run_id)
    assert [steps[f"reply.1.{n}"] for n in range(1, 6)] == [
        ("workflow.noop", "failed"),
        ("workflow.noop", "failed"),
        *[("workflow.call", "failed")] * 3,
    ]
    assert await desk.served.count_runs() == 1, "nothing was started"
    assert reply.text == "Sorry."


async def test_too_many_calls_at_one_time_are_refused(asked):
    desk, vendor = asked
    await desk.served.publish(ECHO_BACK, name="back")
    ada = await desk.make(tools=(WorkflowTool("back"),), **VENDOR)
    vendor.replies = [calls(*[("back", {"n": n}) for n in range(18)]), says(chat("Done."))]
    await desk.say(ada, "go")
    codes = [told.get("error", {}).get("code") for told in heard(vendor)]
    assert codes == [*[None] * 16, *["too_many_calls"] * 2]


EVIL = "{{ run.organization_id }} {{ steps }} {{ 1/0 }}"


async def test_braces_from_anybody_are_text(asked):
    """Of the user, the model, a tool, the context, the history and the teammate's own settings."""
    desk, vendor = asked
    await desk.served.publish(ECHO_BACK, name="back")
    ada = await desk.make(
        tools=(WorkflowTool("back", EVIL),),
        storage=StorageRights(write=("/",)),
        instructions=EVIL,
        role="x" + EVIL,
        **VENDOR,
    )
    write = {"path": "{{ run.id }}.txt", "content": EVIL}
    vendor.replies = [
        calls(("back", {EVIL: EVIL}), ("storage_write", write), ("back", {"input": EVIL, "workflow": EVIL}), text=EVIL),
        says(chat(EVIL)),
    ]
    first = await desk.say(ada, EVIL, context={"a": EVIL})
    assert (await desk.outputs(first.run_id))["reply.1.1"] == {"got": {EVIL: EVIL}}
    assert heard(vendor)[0]["got"] == {EVIL: EVIL}
    assert heard(vendor)[2]["got"] == {"input": EVIL, "workflow": EVIL}
    files = desk.served.app.storage
    _meta, content = await files.read_bytes(desk.who, "{{ run.id }}.txt", 1000)
    assert content.decode() == EVIL
    system, context, said = sent(vendor, 0)
    assert EVIL in system["content"]
    assert msgspec.json.encode({"a": EVIL}).decode() in context["content"]
    assert said["content"] == EVIL
    assert first.text == f"{EVIL}\n\n{EVIL}"
    assert await desk.texts(ada, first.conversation_id) == [("user", EVIL), ("assistant", first.text)]


async def test_a_tool_that_fails_is_told_to_the_model(asked):
    desk, vendor = asked
    await desk.served.publish(BREAKS, name="breaks")
    ada = await desk.make(tools=(WorkflowTool("breaks"),), **VENDOR)
    vendor.replies = [calls(("breaks", {})), says(chat("It is broken."))]
    reply = await desk.say(ada, "go")
    (told,) = heard(vendor)
    assert told["isError"] is True
    assert told["error"]["code"] == "expression"
    assert reply.text == "It is broken."
    assert reply.finish == "stop"


PATHS = [
    ("a/x.txt", None),
    ("/a/b/x.txt", None),
    ("ab/x.txt", "forbidden"),
    ("x.txt", "forbidden"),
    ("/", "forbidden"),
    ("a/../c/x.txt", "bad_request"),
    ("a/./x.txt", "bad_request"),
    ("../a/x.txt", "bad_request"),
    ("a\\..\\c", "bad_request"),
    ("a//x.txt", "bad_request"),
    ("A/x.txt", "forbidden"),
    ("a", "forbidden"),
    ("", "forbidden"),
    ("c/x.txt", "forbidden"),
]


async def test_files_outside_of_its_folders_are_out_of_reach(asked):
    desk, vendor = asked
    files = desk.served.app.storage
    for path in ("c/x.txt", "ab/x.txt", "x.txt", "A/x.txt"):
        await files.write_bytes(desk.who, path, b"secret", None)
    ada = await desk.make(storage=StorageRights(read=("c",), write=("/a/",)), **VENDOR)
    vendor.replies = [
        calls(*[("storage_write", {"path": path, "content": "mine"}) for path, _code in PATHS]),
        says(chat("Done.")),
    ]
    await desk.say(ada, "go")
    assert [told.get("error", {}).get("code") for told in heard(vendor)] == [code for _path, code in PATHS]
    vendor.replies = [
        calls(
            ("storage_read", {"path": "c/x.txt"}),
            ("storage_read", {"path": "a/x.txt"}),
            ("storage_list", {"path": "c"}),
            ("storage_list", {"path": "/"}),
            ("storage_list", {"path": "c/../a"}),
            ("storage_write", {"path": "c/x.txt", "content": "mine"}),
        ),
        says(chat("Done.")),
    ]
    await desk.say(ada, "go")
    codes = [told.get("error", {}).get("code") for told in heard(vendor)]
    assert codes == [None, "forbidden", None, "forbidden", "bad_request", "forbidden"]
    for path in ("c/x.txt", "ab/x.txt", "x.txt"):
        assert (await files.read_bytes(desk.who, path, 100))[1] == b"secret"


async def test_without_rights_there_are_no_tools(asked):
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    await desk.say(ada, "go")
    assert "tools" not in vendor.seen[0][2]


async def test_steps_act_for_a_member_of_the_own_organization(asked, monkeypatch):
    """The rights that a tool's step has are not the owner's, and are not another organization's."""
    desk, vendor = asked
    seen = []
    files = desk.served.app.storage
    write_bytes = files.write_bytes

    async def watched(principal: Any, *more: Any) -> Any:
        seen.append((principal.org_id, principal.role.value))
        return await write_bytes(principal, *more)

    monkeypatch.setattr(files, "write_bytes", watched)
    ada = await desk.make(storage=StorageRights(write=("a",)), **VENDOR)
    vendor.replies = [calls(("storage_write", {"path": "a/b", "content": "c"})), says(chat("Done."))]
    await desk.say(ada, "go")
    assert seen == [(desk.who.org_id, "member")]


async def test_another_organizations_workflow_is_no_tool(asked):
    desk, _vendor = asked
    theirs = await desk.served.publish(ECHO_BACK, slug="other", name="theirs")
    for named in ("theirs", theirs):
        with pytest.raises(AlloydError, match=r"tools\[0\]\.workflow: there is no workflow"):
            await desk.make(tools=(WorkflowTool(named),))


async def test_a_tool_that_is_gone_is_not_offered(asked):
    desk, vendor = asked
    gone = await desk.served.publish(ECHO_BACK, name="gone")
    ada = await desk.make(tools=(WorkflowTool("gone"), ConnectorTool("slack", "send_message")), **VENDOR)
    await desk.served.app.workflows.delete(desk.who, gone)
    await desk.say(ada, "go")
    assert [tool["function"]["name"] for tool in vendor.seen[0][2]["tools"]] == ["slack_send_message"]


async def test_tools_of_one_name_are_told_apart(asked):
    desk, _vendor = asked
    await desk.served.publish(ECHO_BACK, name="a b")
    await desk.served.publish(ECHO_BACK, name="a/b", description="The second one")
    ada = await desk.make(tools=(WorkflowTool("a b"), WorkflowTool("a/b"), WorkflowTool("a b", "Mine")))
    tools = await desk.teammates.list_tools(desk.who, ada.id)
    assert [(tool.name, tool.description) for tool in tools] == [
        ("a_b", "Runs a b."),
        ("a_b_2", "The second one"),
        ("a_b_3", "Mine"),
    ]


async def test_a_model_that_fails_for_good_fails_the_message(asked):
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    vendor.replies = [says({"error": {"message": "no such thing"}}, 400)]
    message = await desk.teammates.send(desk.who, ada.id, Message("go"))
    with pytest.raises(AlloydError, match="the teammate could not reply") as caught:
        await desk.teammates.await_reply(desk.who, message.run_id, LONG_S)
    assert caught.value.code is Code.UNPROCESSABLE
    assert caught.value.details[0]["run_id"] == message.run_id
    outcome = await desk.teammates.find_reply(desk.who, ada.id, message.run_id)
    assert outcome.status == "failed"
    assert outcome.reply is None
    assert outcome.error is not None
    assert await desk.texts(ada, message.conversation_id) == [], "what was not answered is not kept"


async def test_what_a_model_is_sent_is_bounded(asked):
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    long = tuple(PastMessage("user" if n % 2 == 0 else "assistant", f"{n} " + "x" * 3000) for n in range(100))
    history = (PastMessage("system", "Be brief."), *long)
    reply = await desk.say(ada, "now", history=history)
    assert reply.conversation_id is None
    texts = [message["content"] for message in sent(vendor)]
    assert texts[1] == "Be brief."
    assert texts[-1] == "now"
    assert texts[2].startswith("67 ")
    assert len(texts) == 3 + 33


async def test_the_cut_result_of_a_tool_says_so(asked):
    desk, vendor = asked
    await desk.served.app.storage.write_bytes(desk.who, "a/long.txt", b"y" * 60_000, None)
    ada = await desk.make(storage=StorageRights(read=("a",)), **VENDOR)
    vendor.replies = [calls(("storage_read", {"path": "a/long.txt"})), says(chat("Done."))]
    await desk.say(ada, "go")
    content = sent(vendor)[-1]["content"]
    assert content.endswith("characters]")
    assert 50_000 < len(content) < 50_100


async def test_nobody_else_reads_or_asks(asked):
    desk, _vendor = asked
    ada = await desk.make()
    reply = await desk.say(ada, "hi")
    await desk.served.key("other")
    stranger = system_principal(desk.served.orgs["other"])
    chats = desk.teammates.conversations
    for asking in (
        desk.teammates.get(stranger, ada.id),
        desk.teammates.send(stranger, ada.id, Message("hi")),
        desk.teammates.find_reply(stranger, ada.id, reply.run_id),
        desk.teammates.list_runs(stranger, ada.id, None, None, 10),
        desk.teammates.await_reply(stranger, reply.run_id, 1),
        desk.teammates.delete(stranger, ada.id),
        chats.list_page(stranger, ada.id, None, 10),
        chats.get(stranger, ada.id, reply.conversation_id),
        chats.list_messages(stranger, ada.id, reply.conversation_id, None, 10),
        chats.delete(stranger, ada.id, reply.conversation_id),
    ):
        with pytest.raises(AlloydError, match="not found"):
            await asking


async def test_a_model_that_fails_for_a_moment_is_asked_again(asked):
    desk, vendor = asked
    await desk.served.publish(ECHO_BACK, name="back")
    ada = await desk.make(tools=(WorkflowTool("back"),), **VENDOR)
    vendor.replies = [calls(("back", {})), says({}, 503), says(chat("There."))]
    message = await desk.teammates.send(desk.who, ada.id, Message("go"))
    async with asyncio.timeout(LONG_S):
        while (await desk.steps(message.run_id)).get("reply.2") != ("ai.generate", "waiting"):
            await asyncio.sleep(0)
    desk.served.clock.advance(3_600_000)
    desk.served.app.engine.scheduler.clock_moved()
    assert (await desk.teammates.await_reply(desk.who, message.run_id, LONG_S)).text == "There."
    assert len(vendor.seen) == 3, "what was answered is not asked again"


@pytest.mark.parametrize("levels", [65, 500, 5000])
async def test_arguments_nested_without_end_are_told_to_be_none(asked, levels):
    """What a model writes there is anybody's who talked it into it: it fails the call, not the message."""
    desk, vendor = asked
    await desk.served.publish(ECHO_BACK, name="back")
    ada = await desk.make(tools=(WorkflowTool("back"),), **VENDOR)
    vendor.replies = [calls(("back", '{"n": ' + "[" * levels + "]" * levels + "}")), says(chat("Sorry."))]
    assert (await desk.say(ada, "go")).text == "Sorry."
    assert [told["error"]["code"] for told in heard(vendor)] == ["bad_arguments"]
    echo = await desk.make("Echo", tools=(WorkflowTool("back"),))
    said = "call back " + "[" * levels
    assert (await desk.say(echo, said)).text == said


async def test_calls_without_end_are_not_all_steps(desk):
    await desk.served.publish(ECHO_BACK, name="back")
    ada = await desk.make(tools=(WorkflowTool("back"),))
    reply = await desk.say(ada, "\n".join(["call back {}"] * 1000))
    operations = [operation for operation, _state in (await desk.steps(reply.run_id)).values()]
    assert operations.count("workflow.call") == 256
    assert await desk.served.count_runs() == 1 + 16
