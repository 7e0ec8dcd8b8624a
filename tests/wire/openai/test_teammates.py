"""Teammates as models, by OpenAI's own client."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from alloyd.domain.teammates.model import Channel, NewTeammate
from alloyd.kit.ids import new_id
from tests.vendor import chat, chunks, says, streams
from tests.wire.openai.conftest import Scene

HI: list[Any] = [{"role": "user", "content": "hello there"}]


async def make(scene: Scene, name: str = "Ada", slug: str = "acme", **more: Any) -> str:
    """A teammate on the API channel; as a model is named."""
    wanted = NewTeammate(name, **{"provider": "echo", "channel": Channel.API, **more})
    return f"teammate/{(await scene.served.app.teammates.create(await scene.served.principal(slug), wanted)).id}"


async def test_they_are_listed_to_who_may_talk_to_them(scene: Scene) -> None:
    ada = await make(scene)
    await make(scene, "Mute", channel=Channel.NONE)
    await make(scene, "Theirs", "other")
    client = await scene.client()
    found = [model async for model in client.models.list() if model.id.startswith("teammate/")]
    assert [(model.id, model.owned_by, model.model_extra) for model in found] == [(ada, "alloyd", {"name": "Ada"})]
    assert found[0].created == scene.served.clock.now_ms() // 1000
    assert await client.models.retrieve(ada) == found[0]
    viewer = await scene.client("acme viewer")
    assert not [model async for model in viewer.models.list() if model.id.startswith("teammate/")]
    with pytest.raises(openai.NotFoundError):
        await viewer.models.retrieve(ada)


async def test_an_answer(scene: Scene) -> None:
    ada = await make(scene)
    client = await scene.client()
    raw = await client.chat.completions.with_raw_response.create(model=ada, messages=HI)
    answer = raw.parse()
    assert (answer.model, answer.choices[0].message.content) == (ada, "hello there")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.usage.model_extra) == (2, {"cost_usd": 0.0})
    assert "X-Alloyd-Conversation-Id" not in raw.headers
    run = await scene.served.data("GET", f"/workflow-runs/{raw.headers['X-Alloyd-Run-Id']}")
    assert (run["status"], run["trigger"]) == ("completed", "teammate")


async def test_a_stream(scene: Scene) -> None:
    ada = await make(scene)
    client = await scene.client()
    stream = await client.chat.completions.create(
        model=ada, messages=HI, stream=True, stream_options={"include_usage": True}
    )
    pieces = [piece async for piece in stream]
    assert {piece.model for piece in pieces} == {ada}
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces[:-1]) == "hello there"
    assert pieces[-2].choices[0].finish_reason == "stop"
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.completion_tokens == 2
    assert stream.response.headers["X-Alloyd-Run-Id"]


async def test_earlier_messages_are_its_history(scene: Scene) -> None:
    scene.vendor.replies = [says(chat("Paris."))]
    ada = await make(scene, provider="main", model="m", instructions="Be brief.")
    client = await scene.client()
    earlier: list[Any] = [
        {"role": "system", "content": "The user is six."},
        {"role": "user", "content": [{"type": "text", "text": "France?"}]},
        {"role": "assistant", "content": "A country."},
    ]
    answer = await client.chat.completions.create(model=ada, messages=[*earlier, *HI], temperature=0.1)
    assert answer.choices[0].message.content == "Paris."
    sent = scene.vendor.seen[0][2]["messages"]
    texts = [message["content"] for message in sent]
    assert "Be brief." in texts[0]
    assert texts[-3:] == ["France?", "A country.", "hello there"]
    assert any("The user is six." in text for text in texts)


async def test_a_stream_over_a_vendor(scene: Scene) -> None:
    scene.vendor.replies = [streams(chunks("Par", "is."))]
    ada = await make(scene, provider="main", model="m")
    client = await scene.client()
    async with client.chat.completions.stream(model=ada, messages=HI) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "Paris."


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [*HI, {"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}, *HI]}, "messages"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "https://a.test/b.png"}}],
                    }
                ]
            },
            "messages",
        ),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"n": 2}, "n"),
    ],
)
async def test_what_it_does_not_take(scene: Scene, more: dict[str, Any], param: str) -> None:
    client = await scene.client()
    asked: dict[str, Any] = {"model": await make(scene), "messages": HI, **more}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**asked)
    assert caught.value.param == param


async def test_what_is_not_there(scene: Scene) -> None:
    models = [
        await make(scene, "Theirs", "other"),
        await make(scene, "Web", channel=Channel.WEBCHAT),
        f"teammate/{new_id()}",
        "teammate/",
    ]
    client = await scene.client()
    told = set()
    for model in models:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model=model, messages=HI)
        told.add(str(caught.value))
    assert len(told) == 1
    assert caught.value.code == "model_not_found"


async def test_a_failure_is_not_to_be_repeated(scene: Scene) -> None:
    scene.vendor.replies = [says({}, 503, headers={"Retry-After": "36000"})]
    ada = await make(scene, provider="main", model="m")
    client = await scene.client(max_retries=2)
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model=ada, messages=HI)
    assert caught.value.response.headers["X-Should-Retry"] == "false"
    assert caught.value.response.headers["X-Alloyd-Run-Id"]
    assert len(scene.vendor.seen) == 1
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model=ada, messages=HI, stream=True)
    assert caught.value.response.headers["X-Should-Retry"] == "false"
    viewer = await scene.client("acme viewer")
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await viewer.chat.completions.create(model=ada, messages=HI, stream=True)
    assert "X-Should-Retry" not in refused.value.response.headers


async def test_one_scope_does_not_open_the_other(scene: Scene) -> None:
    ada = await make(scene)
    made = await scene.served.data("POST", "/api-keys", {"name": "models", "scopes": ["providers:execute"]}, 201)
    client = await scene.client(api_key=made["key"])
    assert (await client.chat.completions.create(model="echo", messages=HI)).choices
    with pytest.raises(openai.PermissionDeniedError):
        await client.chat.completions.create(model=ada, messages=HI)
