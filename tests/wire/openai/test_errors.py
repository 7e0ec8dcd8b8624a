"""What goes wrong, as OpenAI's client raises it and as it stands in the body."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from alloyd.domain.usage.model import Budget, UsageSettings
from tests.people import sign_in
from tests.vendor import says
from tests.wire.openai.conftest import Scene

HI: list[Any] = [{"role": "user", "content": "hi"}]
CHAT = "/chat/completions"
SMALL = {"model": "m", "messages": HI}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"stop": 7}, "stop"),
        ({"top_k": 5}, "top_k"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
    ],
)
async def test_what_is_wrong_is_named(scene: Scene, more: dict[str, Any], param: str) -> None:
    status, answer, _headers = await scene.ask("POST", CHAT, SMALL | more)
    assert status == 400, answer
    assert set(answer) == {"error"}
    error = answer["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, None)
    assert error["message"].startswith(f"{param}: ")
    assert scene.vendor.seen == []


async def test_a_field_that_is_missing(scene: Scene) -> None:
    client = await scene.client()
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post(CHAT, cast_to=object, body={"model": "m"})
    assert (caught.value.param, caught.value.status_code) == ("messages", 400)


async def test_no_such_model(scene: Scene) -> None:
    client = await scene.client()
    for model in ("gpt-nonsense", "nobody/m", "tier/none"):
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model=model, messages=HI)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve(model)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_no_such_key(scene: Scene) -> None:
    for key in ("sk-nonsense", f"{await scene.served.key('acme')}x"):
        client = await scene.client(api_key=key)
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
        assert caught.value.code == "invalid_api_key"
    status, answer, headers = await scene.ask("GET", "/models", key=None)
    assert (status, answer["error"]["type"]) == (401, "invalid_request_error")
    assert headers["WWW-Authenticate"] == "Bearer"


async def test_a_viewer_lists_but_does_not_ask(scene: Scene) -> None:
    client = await scene.client("acme viewer")
    assert [model.id async for model in client.models.list()]
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await client.chat.completions.create(model="m", messages=HI)
    assert caught.value.code == "insufficient_permissions"


async def test_a_users_token_is_as_good(scene: Scene) -> None:
    person = await sign_in(scene.served, "ann", "acme member")
    client = await scene.client(api_key=scene.served.keys[person.name])
    answer = await client.chat.completions.create(model="m", messages=HI)
    assert answer.choices[0].message.content == "Hello!"


async def test_a_used_up_budget(scene: Scene) -> None:
    scene.served.app.usage.set_default(UsageSettings(Budget(1)))
    client = await scene.client()
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="m", messages=HI)
    assert (caught.value.code, caught.value.type) == ("insufficient_quota", "insufficient_quota")
    assert int(caught.value.response.headers["Retry-After"]) > 0
    assert scene.vendor.seen == []


@pytest.mark.parametrize(
    ("status", "kind", "code", "body"),
    [
        (429, openai.RateLimitError, "rate_limit_exceeded", {"error": {"message": "slow down"}}),
        (503, openai.InternalServerError, "upstream_failed", {"error": {"message": "sorry"}}),
        (400, openai.BadRequestError, None, {"error": {"message": "too long a context"}}),
    ],
)
async def test_a_vendors_no(scene: Scene, status: int, kind: Any, code: str | None, body: Any) -> None:
    scene.vendor.replies = [says(body, status, headers={"Retry-After": "7"})]
    client = await scene.client()
    for streams in (False, True):
        with pytest.raises(kind, match=body["error"]["message"]) as caught:
            await client.chat.completions.create(model="m", messages=HI, stream=streams)
        assert caught.value.code == code
        if status != 400:
            assert caught.value.response.headers["Retry-After"] == "7"
            return  # it is not asked again until then


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/chat/completions", 405, "method_not_supported"),
        ("GET", "/chat/completions/", 405, "method_not_supported"),
        ("DELETE", "/models/m", 405, "method_not_supported"),
        ("GET", "/chat/completions/abc", 404, "unknown_url"),
        ("POST", "/chat", 404, "unknown_url"),
        ("POST", "/embeddings/x", 404, "unknown_url"),
    ],
)
async def test_paths_of_its_own_are_refused_in_its_words(
    scene: Scene, method: str, path: str, status: int, code: str
) -> None:
    got, answer, headers = await scene.ask(method, path)
    assert (got, set(answer), answer["error"]["code"]) == (status, {"error"}, code)
    assert (status != 405) or headers["Allow"]


@pytest.mark.parametrize("path", ["/modelsx", "/chats", "/responses", "/embedding", "/"])
async def test_all_other_paths_are_the_control_planes(scene: Scene, path: str) -> None:
    status, envelope, _headers = await scene.served.ask("GET", path)
    assert (status, envelope["error"]["code"]) == (404, "not_found")
