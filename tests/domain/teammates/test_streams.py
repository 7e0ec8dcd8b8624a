"""Replies while they are written: pieces that make up the whole, one listener, bounds, models that break off."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from alloyd.domain.teammates.model import Message, Reply, WorkflowTool
from alloyd.domain.teammates.streams import STREAMS_MAX, ReplyStream, ReplyStreams
from alloyd.errors import AlloydError
from tests.domain.teammates.conftest import LONG_S, VENDOR
from tests.vendor import Held, chat, chunks, says, streams


async def hear(desk, one, text, *, listen=True):
    """The pieces and the reply."""
    sent = await desk.teammates.send(desk.who, one.id, Message(text), listen=listen)
    heard = [piece async for piece in desk.teammates.stream_reply(desk.who, sent.run_id)]
    assert isinstance(heard[-1], Reply)
    assert len(desk.served.app.reply_streams) == 0
    return heard[:-1], heard[-1]


async def test_the_pieces_make_up_the_reply(desk):
    ada = await desk.make()
    pieces, reply = await hear(desk, ada, "one two three")
    assert "".join(pieces) == reply.text == "one two three"


async def test_words_come_before_the_end(asked):
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    held = Held(chunks("Good ", finish=None, usage=None, done=False), chunks("day."))
    vendor.replies = [held]
    sent = await desk.teammates.send(desk.who, ada.id, Message("hi"), listen=True)
    heard = desk.teammates.stream_reply(desk.who, sent.run_id)
    async with asyncio.timeout(LONG_S):
        assert await anext(heard) == "Good "
        held.goes_on.set()
        rest = [piece async for piece in heard]
    assert rest[0] == "day."
    assert rest[-1].text == "Good day."
    assert rest[-1].usage.input_tokens == 9
    assert await desk.texts(ada, sent.conversation_id) == [("user", "hi"), ("assistant", "Good day.")]


async def test_turns_are_told_apart_as_in_the_whole(asked):
    desk, vendor = asked
    await desk.served.publish({"key": "n", "operation": "workflow.noop"}, name="tool")
    ada = await desk.make(tools=(WorkflowTool("tool"),), **VENDOR)
    call = {"index": 0, "id": "c", "function": {"name": "tool", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": "{}"}}
    vendor.replies = [
        streams(
            [
                *chunks("Let me ", "see.", finish=None, usage=None, done=False),
                frame({"tool_calls": [call]}),
                frame({"tool_calls": [more]}),
                *chunks(finish="tool_calls"),
            ]
        ),
        streams(chunks("It ", "works.")),
    ]
    pieces, reply = await hear(desk, ada, "go")
    assert "".join(pieces) == reply.text == "Let me see.\n\nIt works."
    assert reply.usage.input_tokens == 18


def frame(delta):
    return b"data: " + msgspec.json.encode({"model": "m", "choices": [{"index": 0, "delta": delta}]}) + b"\n\n"


async def test_who_comes_late_gets_the_whole_in_one_piece(desk):
    ada = await desk.make()
    sent = await desk.teammates.send(desk.who, ada.id, Message("one two"))
    await desk.teammates.await_reply(desk.who, sent.run_id, LONG_S)
    heard = [piece async for piece in desk.teammates.stream_reply(desk.who, sent.run_id)]
    assert heard[0] == "one two"
    assert heard[1].text == "one two"


async def test_who_leaves_takes_nothing_along(asked):
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    held = Held(chunks("Good ", finish=None, usage=None, done=False), chunks("day."))
    vendor.replies = [held]
    sent = await desk.teammates.send(desk.who, ada.id, Message("hi"), listen=True)
    heard = desk.teammates.stream_reply(desk.who, sent.run_id)
    assert await anext(heard) == "Good "
    await heard.aclose()
    assert len(desk.served.app.reply_streams) == 0
    held.goes_on.set()
    assert (await desk.teammates.await_reply(desk.who, sent.run_id, LONG_S)).text == "Good day."


async def test_a_model_that_breaks_off_is_asked_again_and_the_reply_counts(asked):
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    vendor.replies = [streams(chunks("Wrong ", finish=None, usage=None, done=False)), streams(chunks("Right."))]
    sent = await desk.teammates.send(desk.who, ada.id, Message("hi"), listen=True)
    heard = desk.teammates.stream_reply(desk.who, sent.run_id)
    assert await anext(heard) == "Wrong "
    async with asyncio.timeout(LONG_S):
        while (await desk.steps(sent.run_id))["reply.1"][1] != "waiting":
            await asyncio.sleep(0)
    desk.served.clock.advance(3_600_000)
    desk.served.app.engine.scheduler.clock_moved()
    rest = [piece async for piece in heard]
    assert [piece.text for piece in rest] == ["Right."], "nothing that can not be taken back"


async def test_a_failure_is_told_to_who_listens(asked):
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    vendor.replies = [says({"error": {"message": "no"}}, 400)]
    sent = await desk.teammates.send(desk.who, ada.id, Message("hi"), listen=True)
    with pytest.raises(AlloydError, match="could not reply"):
        await anext(desk.teammates.stream_reply(desk.who, sent.run_id))


async def test_a_reply_that_takes_too_long_goes_on(asked):
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    held = Held([], [])
    vendor.replies = [held, says(chat("later"))]
    sent = await desk.teammates.send(desk.who, ada.id, Message("hi"))
    with pytest.raises(AlloydError, match="longer"):
        await desk.teammates.await_reply(desk.who, sent.run_id, 0)
    with pytest.raises(AlloydError, match="longer"):
        await anext(desk.teammates.stream_reply(desk.who, sent.run_id, 0))
    outcome = await desk.teammates.find_reply(desk.who, ada.id, sent.run_id)
    assert outcome.reply is outcome.error is None


async def test_above_its_bound_a_stream_says_no_more():
    stream = ReplyStream(5)
    stream.say("abc")
    stream.say("")
    stream.say("def")
    stream.say("g")
    stream.close()
    stream.say("h")
    assert [piece async for piece in stream.pieces()] == ["abc"]
    assert stream.told == "abc"


def test_streams_are_bounded_and_the_newest_listener_counts():
    known = ReplyStreams(100)
    first = known.open("run-0")
    second = known.open("run-0")
    assert known.find("run-0") is second
    known.close("run-0", first)
    assert known.find("run-0") is second
    for number in range(STREAMS_MAX):
        known.open(f"more-{number}")
    assert len(known) == STREAMS_MAX
    assert known.find("run-0") is None
