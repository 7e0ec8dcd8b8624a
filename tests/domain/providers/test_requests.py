"""Golden requests of both vendors."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.providers.messages import read_prompt
from alloyd.domain.providers.model import (
    Model,
    Price,
    ProviderSettings,
)
from alloyd.domain.providers.openai import OpenAIProvider
from alloyd.egress import Outbound
from alloyd.kit.clock import ManualClock
from tests import vendor as played
from tests.domain.providers.formats import MODEL, collect, prompt, provider
from tests.vendor import Vendor, says, streams

PNG = "iVBORw0KGgo="
LOOK = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {}}}}
TALK = {
    "system": "Be kind.",
    "messages": [
        {"role": "user", "content": ["See:", {"type": "image", "url": "https://a.test/b.png"}]},
        {"role": "user", "content": [{"type": "image", "media_type": "image/png", "data": PNG}]},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [{"id": "c1", "name": "look", "arguments": {"at": 1}}, {"id": "c2", "name": "look"}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "tool", "tool_call_id": "c2", "content": "a dog"},
        {"role": "user", "content": "And?"},
    ],
}
PARAMS = {
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 50,
    "stop": "END",
    "tools": [LOOK],
    "tool_choice": "required",
}
OPENAI_TALK = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See:"},
                {"type": "image_url", "image_url": {"url": "https://a.test/b.png"}},
            ],
        },
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
                {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "tool", "tool_call_id": "c2", "content": "a dog"},
        {"role": "user", "content": "And?"},
    ],
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["END"],
    "max_tokens": 50,
    "tools": [{"type": "function", "function": LOOK}],
    "tool_choice": "required",
}
ANTHROPIC_TALK = {
    "model": "m",
    "max_tokens": 50,
    "system": "Be kind.",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See:"},
                {"type": "image", "source": {"type": "url", "url": "https://a.test/b.png"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}},
                {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "a cat"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "a dog"},
                {"type": "text", "text": "And?"},
            ],
        },
    ],
    "temperature": 0.5,
    "top_p": 0.9,
    "stop_sequences": ["END"],
    "tools": [{"name": "look", "description": "Looks.", "input_schema": LOOK["parameters"]}],
    "tool_choice": {"type": "any"},
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
PRICED = Price(1, 1)


@pytest.mark.parametrize(
    ("kind", "path", "modality", "given", "params", "model", "body"),
    [
        ("openai", "/v1/chat/completions", "text", TALK, PARAMS, MODEL, OPENAI_TALK),
        ("anthropic", "/v1/messages", "text", TALK, PARAMS, MODEL, ANTHROPIC_TALK),
        (
            "openai",
            "/v1/chat/completions",
            "text",
            "hi",
            {"response_format": {"type": "json_schema", "schema": SCHEMA}, "reasoning_effort": "low", "seed": 1},
            MODEL,
            {
                "model": "m",
                "messages": [{"role": "user", "content": "hi"}],
                "seed": 1,
                "reasoning_effort": "low",
                "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
            },
        ),
        (
            "openai",
            "/v1/chat/completions",
            "text",
            "hi",
            {"tools": [LOOK], "tool_choice": "look"},
            Model("m", price=PRICED),
            {
                "model": "m",
                "messages": [{"role": "user", "content": "hi"}],
                "max_tokens": 4096,
                "tools": [{"type": "function", "function": LOOK}],
                "tool_choice": {"type": "function", "function": {"name": "look"}},
            },
        ),
        (
            "anthropic",
            "/v1/messages",
            "text",
            "hi",
            {"response_format": {"type": "json_schema", "schema": SCHEMA}, "top_k": 5},
            Model("m", max_output_tokens=77),
            {
                "model": "m",
                "max_tokens": 77,
                "messages": [{"role": "user", "content": "hi"}],
                "top_k": 5,
                "tools": [
                    {
                        "name": "json_answer",
                        "description": "Give the answer, in the form that this tool takes.",
                        "input_schema": SCHEMA,
                    }
                ],
                "tool_choice": {"type": "tool", "name": "json_answer"},
            },
        ),
        (
            "anthropic",
            "/v1/messages",
            "text",
            "hi",
            {"tools": [{"name": "t"}], "tool_choice": "t"},
            MODEL,
            {
                "model": "m",
                "max_tokens": 4096,
                "messages": [{"role": "user", "content": "hi"}],
                "tools": [{"name": "t", "input_schema": {"type": "object", "properties": {}}}],
                "tool_choice": {"type": "tool", "name": "t"},
            },
        ),
        (
            "openai",
            "/v1/embeddings",
            "embedding",
            ["a", "b"],
            {"dimensions": 3},
            MODEL,
            {"model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 3},
        ),
        (
            "openai",
            "/v1/images/generations",
            "image",
            "a cat",
            {"n": 2, "size": "256x256"},
            Model("dall-e-3"),
            {"model": "dall-e-3", "prompt": "a cat", "n": 2, "size": "256x256", "response_format": "b64_json"},
        ),
        (
            "openai",
            "/v1/audio/speech",
            "audio",
            "say it",
            {"voice": "nova", "speed": 2},
            MODEL,
            {"model": "m", "input": "say it", "voice": "nova", "response_format": "mp3", "speed": 2.0},
        ),
    ],
)
async def test_golden_requests(
    kind: str,
    path: str,
    modality: str,
    given: Any,
    params: Any,
    model: Model,
    body: Any,
    vendor: Vendor,
    outbound: Outbound,
) -> None:
    vendor.replies = [says({"content": [], "choices": [{"message": {}}], "data": [{"embedding": [1], "url": "u"}] * 2})]
    await provider(kind, vendor, outbound).execute(model, read_prompt(modality, given, params))
    ((seen_path, headers, seen_body),) = vendor.seen
    assert (seen_path, seen_body) == (path, body)
    assert headers["Content-Type"] == "application/json"
    if kind == "openai":
        assert headers["Authorization"] == "Bearer the-key"
    else:
        assert (headers["x-api-key"], headers["anthropic-version"]) == ("the-key", "2023-06-01")


async def test_golden_requests_for_streams(vendor: Vendor, outbound: Outbound) -> None:
    vendor.replies = [streams(played.chunks("x"))]
    await collect(provider("openai", vendor, outbound), prompt())
    vendor.replies = [streams(played.spoken("x"))]
    await collect(provider("anthropic", vendor, outbound), prompt())
    hi = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    assert vendor.seen[0][2] == {**hi, "stream_options": {"include_usage": True}}
    assert vendor.seen[1][2] == {**hi, "max_tokens": 4096}


def test_the_vendor_itself_has_another_name_for_the_bound(outbound: Outbound) -> None:
    own = OpenAIProvider(ProviderSettings("p", "openai", "https://api.openai.com/v1"), outbound, ManualClock())
    assert own._chat(MODEL, prompt(max_tokens=5), streams=False)["max_completion_tokens"] == 5  # no call


@pytest.mark.parametrize(
    ("kind", "params", "sent"),
    [
        ("openai", {"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ("openai", {"parallel_tool_calls": True}, {"parallel_tool_calls": True}),
        (
            "anthropic",
            {"parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            "anthropic",
            {"parallel_tool_calls": False, "tool_choice": "required"},
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        ),
        ("anthropic", {"parallel_tool_calls": False, "tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        ("anthropic", {"parallel_tool_calls": True}, {}),
    ],
)
async def test_one_tool_call_at_a_time(
    kind: str, params: Any, sent: dict[str, Any], vendor: Vendor, outbound: Outbound
) -> None:
    vendor.replies = [says({"content": [], "choices": [{"message": {}}]})]
    await provider(kind, vendor, outbound).execute(MODEL, prompt(tools=[LOOK], **params))
    body = vendor.seen[0][2]
    assert {name: body[name] for name in ("parallel_tool_calls", "tool_choice") if name in body} == sent


async def test_strict_is_the_callers_wish(vendor: Vendor, outbound: Outbound) -> None:
    schema = {"name": "city", "strict": True, "schema": {"type": "object"}}
    wanted = {"type": "json_schema", "json_schema": schema}
    asked = prompt(tools=[{"type": "function", "function": {**LOOK, "strict": False}}], response_format=wanted)
    await provider("openai", vendor, outbound).execute(MODEL, asked)
    body = vendor.seen[0][2]
    assert (body["tools"][0]["function"]["strict"], body["response_format"]) == (False, wanted)


async def test_arguments_nested_without_end_are_handed_on_as_text(vendor: Vendor, outbound: Outbound) -> None:
    deep = "[" * 5000 + "]" * 5000
    vendor.replies = [says({"content": []})]
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": deep}}
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    asked = read_prompt("text", {"messages": [*said, {"role": "tool", "tool_call_id": "c", "content": "no"}]}, {})
    await provider("anthropic", vendor, outbound).execute(MODEL, asked)
    assert vendor.seen[0][2]["messages"][1]["content"] == [
        {"type": "tool_use", "id": "c", "name": "look", "input": {"input": deep}}
    ]
