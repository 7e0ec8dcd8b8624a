"""Messages are answered: turns, tools, conversations, through the real engine with echo."""

from __future__ import annotations

from alloyd.domain.teammates.model import StorageRights, WorkflowTool


async def test_a_message_is_answered_and_kept(desk):
    ada = await desk.make(role="a clerk")
    first = await desk.say(ada, "Good morning")
    assert first.text == "Good morning"
    assert first.finish == "stop"
    assert first.usage.input_tokens > 0
    assert first.usage.cost_micro_usd == 0
    second = await desk.say(ada, "And now?", conversation_id=first.conversation_id)
    assert second.conversation_id == first.conversation_id
    assert await desk.texts(ada, first.conversation_id) == [
        ("user", "Good morning"),
        ("assistant", "Good morning"),
        ("user", "And now?"),
        ("assistant", "And now?"),
    ]
    assert await desk.steps(first.run_id) == {
        "reply": ("teammate.message", "completed"),
        "reply.1": ("ai.generate", "completed"),
    }


async def test_tools_are_steps_side_by_side(desk):
    await desk.served.publish(
        {"key": "add", "operation": "transform", "config": {"values": {"sum": "{{ trigger.a + trigger.b }}"}}},
        name="adder",
    )
    ada = await desk.make(tools=(WorkflowTool("adder"),), storage=StorageRights(read=("notes",), write=("notes",)))
    reply = await desk.say(
        ada, 'call storage_write {"path": "/notes/a.txt", "content": "hi"}\ncall adder {"a": 1, "b": 2}'
    )
    assert await desk.steps(reply.run_id) == {
        "reply": ("teammate.message", "completed"),
        "reply.1": ("ai.generate", "completed"),
        "reply.1.1": ("storage.write", "completed"),
        "reply.1.2": ("workflow.call", "completed"),
        "reply.2": ("ai.generate", "completed"),
    }
    assert '"sum":3' in reply.text
    read = await desk.say(ada, 'call storage_read {"path": "notes/a.txt"}')
    assert '"content":"hi"' in read.text
