"""What is kept of conversations: order, bounds, deletion."""

from __future__ import annotations

import asyncio

import pytest

from alloyd.config.model import TeammatesConfig
from alloyd.domain.teammates.model import Message
from alloyd.errors import AlloydError
from alloyd.kit.ids import new_id
from tests.app import open_app
from tests.domain.teammates.conftest import LONG_S, VENDOR, Desk
from tests.vendor import Held, chat, says


async def test_messages_of_one_conversation_wait_for_each_other(asked):
    """The second one, sent while the first is being answered, is answered after it, and knows of it."""
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    held = Held([], [])
    vendor.replies = [says(chat("Hello.")), held, says(chat("Third."))]
    first = await desk.say(ada, "one")
    conversation = first.conversation_id
    second = await desk.teammates.send(desk.who, ada.id, Message("two", conversation))
    async with asyncio.timeout(LONG_S):
        while len(vendor.seen) < 2:
            await asyncio.sleep(0)
    third = await desk.teammates.send(desk.who, ada.id, Message("three", conversation))
    elsewhere = await desk.say(ada, "meanwhile")
    assert elsewhere.text == "Third.", "another conversation does not wait"
    assert (await desk.teammates.find_reply(desk.who, ada.id, third.run_id)).status == "queued"
    await desk.served.app.runs.cancel(desk.who, second.run_id)
    assert (await desk.teammates.await_reply(desk.who, third.run_id, LONG_S)).text == "Third."
    assert await desk.texts(ada, conversation) == [
        ("user", "one"),
        ("assistant", "Hello."),
        ("user", "three"),
        ("assistant", "Third."),
    ]
    assert [message["content"] for message in vendor.seen[-1][2]["messages"][1:]] == ["one", "Hello.", "three"]


async def test_many_at_once_are_kept_in_the_order_in_which_they_came(desk):
    ada = await desk.make()
    first = await desk.say(ada, "start")
    sent = [
        await desk.teammates.send(desk.who, ada.id, Message(f"n{number}", first.conversation_id)) for number in range(8)
    ]
    for one in sent:
        await desk.teammates.await_reply(desk.who, one.run_id, LONG_S)
    said = [text for role, text in await desk.texts(ada, first.conversation_id) if role == "user"]
    assert said == ["start", *(f"n{number}" for number in range(8))]


async def test_the_bounds_of_what_is_kept(tmp_path):
    few = TeammatesConfig(conversation_messages_max=4, conversations_max=2, history_messages_max=2)
    async with open_app(tmp_path, teammates=few) as served:
        desk = Desk(served, await served.principal())
        ada = await desk.make()
        first = await desk.say(ada, "a")
        for text in ("b", "c"):
            await desk.say(ada, text, conversation_id=first.conversation_id)
        chats = desk.teammates.conversations
        kept = await chats.list_messages(desk.who, ada.id, first.conversation_id, None, 10)
        assert [(one.number, one.text) for one in kept] == [(6, "c"), (5, "c"), (4, "b"), (3, "b")]
        assert (await chats.get(desk.who, ada.id, first.conversation_id)).messages == 4
        page = await chats.list_messages(desk.who, ada.id, first.conversation_id, 5, 1)
        assert [one.number for one in page] == [4]
        served.clock.advance(1)
        second = await desk.say(ada, "other")
        served.clock.advance(1)
        await desk.say(ada, "again", conversation_id=first.conversation_id)
        served.clock.advance(1)
        third = await desk.say(ada, "third")
        listed = await chats.list_page(desk.who, ada.id, None, 10)
        assert [one.id for one in listed] == [third.conversation_id, first.conversation_id]
        with pytest.raises(AlloydError, match="conversation not found"):
            await desk.say(ada, "gone", conversation_id=second.conversation_id)
        assert [one.id for one in await chats.list_page(desk.who, ada.id, third.conversation_id, 1)] == [
            first.conversation_id
        ]


async def test_a_deleted_conversation_is_gone_and_a_turn_under_way_is_answered(asked):
    desk, vendor = asked
    ada = await desk.make(**VENDOR)
    held = Held([], [])
    vendor.replies = [says(chat("Hello."))]
    first = await desk.say(ada, "one")
    vendor.replies = [answer_when(held.goes_on)]
    sent = await desk.teammates.send(desk.who, ada.id, Message("two", first.conversation_id))
    async with asyncio.timeout(LONG_S):
        while len(vendor.seen) < 2:
            await asyncio.sleep(0)
    await desk.teammates.conversations.delete(desk.who, ada.id, first.conversation_id)
    held.goes_on.set()
    assert (await desk.teammates.await_reply(desk.who, sent.run_id, LONG_S)).text == "At last."
    with pytest.raises(AlloydError, match="conversation not found"):
        await desk.texts(ada, first.conversation_id)
    assert "teammate.conversation_deleted" in await desk.served.kinds()


def answer_when(event):
    async def reply(request, seen):
        await event.wait()
        return await says(chat("At last."))(request, seen)

    return reply


async def test_deleting_a_teammate_takes_all_of_it_along(desk):
    ada, bob = await desk.make("Ada"), await desk.make("Bob")
    theirs = await desk.say(bob, "stays")
    for text in ("a", "b", "c"):
        await desk.say(ada, text)
    await desk.teammates.delete(desk.who, ada.id)
    counts = (
        "SELECT (SELECT count(*) FROM teammates), (SELECT count(*) FROM conversations), "
        "(SELECT count(*) FROM conversation_messages)"
    )
    async with asyncio.timeout(LONG_S):
        while (await desk.served.app.database.read(lambda conn: conn.execute(counts).fetchone())) != (1, 1, 2):
            await asyncio.sleep(0)
    assert await desk.texts(bob, theirs.conversation_id) == [("user", "stays"), ("assistant", "stays")]
    with pytest.raises(AlloydError, match="teammate not found"):
        await desk.teammates.get(desk.who, ada.id)
    assert await desk.served.count_runs() == 4, "runs stay as long as runs do"


async def test_runs_may_go_before_their_conversation(desk):
    ada = await desk.make()
    reply = await desk.say(ada, "hello")
    await desk.served.app.database.write(lambda tx: tx.execute("DELETE FROM runs WHERE id = ?", (reply.run_id,)))
    again = await desk.say(ada, "still there?", conversation_id=reply.conversation_id)
    assert again.text == "still there?"
    assert len(await desk.texts(ada, reply.conversation_id)) == 4


async def test_an_unknown_conversation_is_not_begun(desk):
    ada = await desk.make()
    with pytest.raises(AlloydError, match="conversation not found"):
        await desk.teammates.send(desk.who, ada.id, Message("hi", new_id()))
    assert await desk.served.count_runs() == 0
