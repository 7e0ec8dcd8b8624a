"""Chat completions by OpenAI's own client, unchanged."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import openai
import pytest

from tests.vendor import LONG_S, Held, chat, chunks, says, streams
from tests.wire.openai.conftest import Scene

HI: list[Any] = [{"role": "user", "content": "Say hello"}]
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {}}}}}
CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}},
    {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{damaged"}},
]


async def test_an_answer(scene: Scene) -> None:
    scene.vendor.replies = [says(chat("Hi"))]
    client = await scene.client()
    answer = await client.chat.completions.create(model="m", messages=HI)
    assert (answer.object, answer.model, answer.id[:9]) == ("chat.completion", "m-2026", "chatcmpl-")
    assert answer.created == scene.served.clock.now_ms() // 1000
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Hi", "stop")
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (9, 3, 12)
    assert answer.usage.model_extra == {"cost_usd": 0.000015}
    assert await scene.records() == [("main", "ok", 9, 3, 15)]


async def test_the_client_in_a_thread(scene: Scene) -> None:
    key = await scene.served.key("acme")

    def ask() -> tuple[str | None, str, list[str]]:
        with openai.OpenAI(api_key=key, base_url=f"{scene.served.url}/v1", max_retries=0) as client:
            answer = client.chat.completions.create(model="echo", messages=HI)
            pieces = client.chat.completions.create(model="echo", messages=HI, stream=True)
            text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
            return answer.choices[0].message.content, text, [model.id for model in client.models.list()]

    told, streamed, models = await asyncio.to_thread(ask)
    assert (told, streamed) == ("Say hello", "Say hello")
    assert "echo" in models


async def test_everything_that_can_be_asked_reaches_the_vendor(scene: Scene) -> None:
    scene.vendor.replies = [says(chat("{}"))]
    client = await scene.client()
    schema = {"name": "city", "strict": True, "schema": {"type": "object"}}
    image = {"type": "image_url", "image_url": {"url": "https://a.test/b.png", "detail": "low"}}
    asked: dict[str, Any] = {
        "messages": [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "See:"}, image]},
            {"role": "assistant", "content": None, "tool_calls": CALLS[:1]},
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "And?", "name": "ann"},
        ],
        "temperature": 1,
        "top_p": 0.5,
        "max_completion_tokens": 50,
        "max_tokens": 7,
        "stop": "END",
        "seed": 1,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "reasoning_effort": "low",
        "tools": [{**LOOK, "function": {**LOOK["function"], "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": schema},
        "n": 1,
        "user": "ann",
        "metadata": {"a": "b"},
        "logit_bias": {"1": 2},
        "store": False,
    }
    await client.chat.completions.create(model="main/m", **asked)
    ((path, _headers, sent),) = scene.vendor.seen
    assert path == "/v1/chat/completions"
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool", "user"]
    assert sent["messages"][1]["content"] == [
        {"type": "text", "text": "See:"},
        {"type": "image_url", "image_url": {"url": "https://a.test/b.png"}},
    ]
    assert sent["messages"][2]["tool_calls"] == CALLS[:1]
    assert {name: value for name, value in sent.items() if name != "messages"} == {
        "model": "m",
        "temperature": 1.0,
        "top_p": 0.5,
        "max_tokens": 50,
        "stop": ["END"],
        "seed": 1,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "reasoning_effort": "low",
        "tools": asked["tools"],
        "tool_choice": asked["tool_choice"],
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }


async def test_empty_lists_and_nulls_ask_for_nothing(scene: Scene) -> None:
    status, _answer, _headers = await scene.ask(
        "POST",
        "/chat/completions",
        {"model": "m", "messages": HI, "tools": [], "stop": [], "temperature": None, "stream": None, "n": None},
    )
    assert status == 200
    ((_path, _headers, sent),) = scene.vendor.seen
    assert set(sent) == {"model", "messages"}


async def test_a_stream(scene: Scene) -> None:
    scene.vendor.replies = [streams(chunks("Hel", "lo", finish="length"))]
    client = await scene.client()
    stream = await client.chat.completions.create(
        model="m", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    pieces = [piece async for piece in stream]
    assert len({(piece.id, piece.model, piece.object) for piece in pieces}) == 1
    assert pieces[0].choices[0].delta.role == "assistant"
    assert [piece.choices[0].delta.content for piece in pieces[:-2]] == ["", "Hel", "lo"]
    assert [piece.choices[0].finish_reason for piece in pieces[:-1]] == [None, None, None, "length"]
    assert (pieces[-1].choices, [piece.usage for piece in pieces[:-1]]) == ([], [None] * 4)
    assert pieces[-1].usage is not None
    assert (pieces[-1].usage.prompt_tokens, pieces[-1].usage.completion_tokens) == (9, 3)
    assert await scene.records() == [("main", "ok", 9, 3, 15)]


async def test_a_stream_tells_usage_only_when_asked(scene: Scene) -> None:
    client = await scene.client()
    stream = await client.chat.completions.create(model="echo", messages=HI, stream=True)
    assert [piece.usage for piece in [piece async for piece in stream]] == [None] * 4
    headers = {"Authorization": f"Bearer {await scene.served.key('acme')}"}
    body = {"model": "echo", "messages": HI, "stream": True}
    url = f"{scene.served.url}/v1/chat/completions"
    async with scene.served.session.post(url, json=body, headers=headers) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["X-Alloyd-Provider"] == "echo"
        frames = (await response.text()).split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    assert all(frame.startswith("data: {") for frame in frames[:-2])
    assert "usage" not in msgspec.json.decode(frames[0].removeprefix("data: "))


async def test_tool_calls(scene: Scene) -> None:
    scene.vendor.replies = [says(chat("", message={"content": None, "tool_calls": CALLS}, finish_reason="tool_calls"))]
    client = await scene.client()
    answer = await client.chat.completions.create(model="m", messages=HI, tools=[LOOK])  # type: ignore[list-item]
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls is not None
    told = [(one.id, one.type, one.function.name, one.function.arguments) for one in choice.message.tool_calls]  # type: ignore[union-attr]
    assert told == [("c1", "function", "look", '{"at":1}'), ("c2", "function", "look", "{damaged")]


async def test_parallel_tool_calls_in_a_stream(scene: Scene) -> None:
    def delta(*calls: Any) -> bytes:
        choice = {"index": 0, "delta": {"tool_calls": list(calls)}, "finish_reason": None}
        return b"data: " + msgspec.json.encode({"model": "m-2026", "choices": [choice]}) + b"\n\n"

    begun = [{"index": index, "id": f"c{index}", "function": {"name": "look", "arguments": ""}} for index in (0, 1)]
    more = [{"index": index, "function": {"arguments": text}} for index, text in ((1, "{}"), (0, '{"at'), (0, '":1}'))]
    scene.vendor.replies = [streams([delta(*begun), *map(delta, more), *chunks(finish="tool_calls")])]
    client = await scene.client()
    async with client.chat.completions.stream(model="m", messages=HI, tools=[LOOK]) as stream:  # type: ignore[list-item]
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert [(one.id, one.function.name, one.function.arguments) for one in calls] == [
        ("c0", "look", '{"at":1}'),
        ("c1", "look", "{}"),
    ]
    assert final.choices[0].finish_reason == "tool_calls"


async def test_echo_calls_a_tool_without_an_account(scene: Scene) -> None:
    client = await scene.client()
    asked: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": '{"at": 2}'}], "tools": [LOOK]}
    answer = await client.chat.completions.create(**asked, tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("look", '{"at":2}')
    stream = await client.chat.completions.create(**asked, tool_choice="required", stream=True)
    deltas = [one async for piece in stream for one in piece.choices[0].delta.tool_calls or ()]
    assert [(one.index, one.id, one.type, one.function.name) for one in deltas] == [(0, call.id, "function", "look")]


@pytest.mark.parametrize("model", ["tier/fast", "main/m", "m"])
async def test_names_of_a_model(scene: Scene, model: str) -> None:
    client = await scene.client()
    answer = await client.chat.completions.create(model=model, messages=HI)
    assert answer.model == "m-2026"


async def test_who_leaves_ends_the_vendors_work(scene: Scene) -> None:
    held = Held(chunks("Hel", done=False, finish=None, usage=None))
    scene.vendor.replies = [held]
    client = await scene.client()
    stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
    async with asyncio.timeout(LONG_S):
        await held.opened.wait()
        await anext(aiter(stream))
        await stream.close()
        await held.left.wait()
        while not (found := await scene.records()):
            await asyncio.sleep(0)
    assert [(provider, status) for provider, status, *_rest in found] == [("main", "cancelled")]


async def test_what_breaks_in_mid_stream_is_an_error_of_the_client(scene: Scene) -> None:
    scene.vendor.replies = [streams(chunks("Hel", done=False, finish=None, usage=None), cut=True)]
    client = await scene.client()
    stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
    with pytest.raises(openai.APIError, match="failed in mid-stream") as caught:
        [piece async for piece in stream]
    assert isinstance(caught.value.body, dict)
    assert (caught.value.body["type"], caught.value.body["code"]) == ("server_error", "upstream_failed")
