"""What is made of both vendors' answers, the broken ones too."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from alloyd.domain.providers.model import (
    Finished,
    ProviderFault,
    TextDelta,
    ToolCallDelta,
    Used,
)
from alloyd.egress import Outbound
from alloyd.errors import AlloydError
from tests import vendor as played
from tests.domain.providers.formats import MODEL, collect, prompt, provider
from tests.vendor import Vendor, says, streams

PNG = "iVBORw0KGgo="
LOOK = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {}}}}


OUTPUTS: list[tuple[str, str, Any, Any, tuple[int, int, bool]]] = [
    ("openai", "text", played.chat("Hi"), {"text": "Hi", "finish_reason": "stop"}, (9, 3, True)),
    (
        "openai",
        "text",
        played.chat("H", finish_reason="length"),
        {"text": "H", "finish_reason": "length"},
        (9, 3, True),
    ),
    ("openai", "text", played.chat("Hello", usage=None), {"text": "Hello", "finish_reason": "stop"}, (1, 2, False)),
    (
        "openai",
        "text",
        played.chat(None, message={"refusal": "No."}),  # type: ignore[arg-type] # as the vendor does
        {"text": "No.", "finish_reason": "content_filter"},
        (9, 3, True),
    ),
    (
        "openai",
        "text",
        played.chat(
            "",
            message={
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}},
                    {"function": {"name": "look", "arguments": "{broken"}},
                ]
            },
        ),
        {
            "text": "",
            "finish_reason": "tool_calls",
            "tool_calls": [
                {"id": "c1", "name": "look", "arguments": {"at": 1}},
                {"id": "call_1", "name": "look", "arguments": "{broken"},
            ],
        },
        (9, 3, True),
    ),
    ("anthropic", "text", played.message(), {"text": "Hello!", "finish_reason": "stop"}, (9, 3, True)),
    (
        "anthropic",
        "text",
        played.message(
            stop_reason="max_tokens", usage={"cache_read_input_tokens": 4, "cache_creation_input_tokens": 5}
        ),
        {"text": "Hello!", "finish_reason": "length"},
        (18, 3, True),
    ),
    (
        "anthropic",
        "text",
        played.message({"type": "tool_use", "id": "t", "name": "look", "input": {"at": 1}}, stop_reason="tool_use"),
        {
            "text": "",
            "finish_reason": "tool_calls",
            "tool_calls": [{"id": "t", "name": "look", "arguments": {"at": 1}}],
        },
        (9, 3, True),
    ),
    (
        "anthropic",
        "text",
        played.message({"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "A"}, stop_reason="refusal"),
        {"text": "A", "finish_reason": "content_filter"},
        (9, 3, True),
    ),
    (
        "openai",
        "embedding",
        {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}], "usage": {"prompt_tokens": 7}},
        {"embeddings": [[1], [2]]},
        (7, 0, True),
    ),
    (
        "openai",
        "image",
        {"data": [{"b64_json": PNG}, {"url": "https://x.test/"}]},
        {"images": [{"data": PNG, "media_type": "image/png"}, {"url": "https://x.test/"}]},
        (1, 0, False),
    ),
    ("openai", "audio", b"\x01\x02", {"audio": "AQI=", "media_type": "audio/mpeg"}, (1, 0, False)),
]


@pytest.mark.parametrize(("kind", "modality", "told", "output", "used"), OUTPUTS)
async def test_answers(
    kind: str,
    modality: str,
    told: Any,
    output: Any,
    used: tuple[int, int, bool],
    vendor: Vendor,
    outbound: Outbound,
) -> None:
    vendor.replies = [says(told)]
    given = ["a", "b"] if modality == "embedding" else "hi"
    answer = await provider(kind, vendor, outbound).execute(MODEL, prompt(modality, given))
    assert answer.output == output
    assert (answer.used.input_tokens, answer.used.output_tokens, answer.used.told) == used


async def test_json_is_shown_as_text_by_a_vendor_that_has_no_format_for_it(vendor: Vendor, outbound: Outbound) -> None:
    asked = prompt(response_format={"type": "json_object"})
    one = provider("anthropic", vendor, outbound)
    block = {"type": "tool_use", "id": "t", "name": "json_answer", "input": {"a": 1}}
    vendor.replies = [says(played.message(block, stop_reason="tool_use"))]
    answer = await one.execute(MODEL, asked)
    assert answer.output == {"text": '{"a":1}', "finish_reason": "stop"}
    vendor.replies = [
        streams(
            played.frames(
                {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}},
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "input_json_delta", "partial_json": "{}"},
                },
                {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
                {"type": "message_stop"},
            )
        )
    ]
    deltas, used = await collect(one, asked)
    assert deltas == [TextDelta("{}"), Finished("stop", used, "m")]


async def test_streams_of_words(vendor: Vendor, outbound: Outbound) -> None:
    vendor.replies = [streams(played.chunks("Hel", "lo!", finish="length"))]
    deltas, used = await collect(provider("openai", vendor, outbound), prompt())
    assert deltas == [TextDelta("Hel"), TextDelta("lo!"), Finished("length", Used(9, 3, told=True), "m-2026")]
    vendor.replies = [streams(played.spoken("Hel", "lo!", stop_reason="stop_sequence"))]
    deltas, used = await collect(provider("anthropic", vendor, outbound), prompt())
    assert deltas == [TextDelta("Hel"), TextDelta("lo!"), Finished("stop", used, "c-2026")]
    assert used == Used(9, 3, told=True)


async def test_what_nobody_counted_is_estimated(vendor: Vendor, outbound: Outbound) -> None:
    vendor.replies = [streams(played.chunks("four", "five!", usage=None))]
    _, used = await collect(provider("openai", vendor, outbound), prompt(given="a question of some length"))
    assert used == Used(7, 3, told=False)


async def test_streams_of_tool_calls(vendor: Vendor, outbound: Outbound) -> None:
    def call(index: int, **more: Any) -> bytes:
        return played.msgspec.json.encode({"choices": [{"delta": {"tool_calls": [{"index": index, **more}]}}]})

    pieces = [
        call(0, id="c1", function={"name": "look", "arguments": ""}),
        call(0, function={"arguments": '{"at":'}),
        call(0, function={"arguments": "1}"}),
        call(1, id="c2", function={"name": "go", "arguments": "{}"}),
        b"[DONE]",
    ]
    vendor.replies = [streams([b"data: " + piece + b"\n\n" for piece in pieces])]
    deltas, used = await collect(provider("openai", vendor, outbound), prompt())
    assert deltas == [
        ToolCallDelta(0, "c1", "look", ""),
        ToolCallDelta(0, None, None, '{"at":'),
        ToolCallDelta(0, None, None, "1}"),
        ToolCallDelta(1, "c2", "go", "{}"),
        Finished("tool_calls", used, "m"),
    ]
    events = played.frames(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "look"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 8}},
        {"type": "message_stop"},
    )
    vendor.replies = [streams(events)]
    deltas, used = await collect(provider("anthropic", vendor, outbound), prompt())
    assert deltas == [
        TextDelta("I"),
        ToolCallDelta(0, "t", "look", ""),
        ToolCallDelta(0, None, None, '{"a":1}'),
        Finished("tool_calls", used, "m"),
    ]


BROKEN: list[tuple[str, str, Any]] = [
    ("openai", "text", b"<html>"),
    ("openai", "text", []),
    ("openai", "text", {}),
    ("openai", "text", {"choices": [{}]}),
    ("openai", "text", played.chat(message={"tool_calls": [{"function": {}}]})),
    ("openai", "embedding", {"data": []}),
    ("openai", "embedding", {"data": [{"embedding": "x"}]}),
    ("openai", "embedding", {"data": [{"index": 5, "embedding": [1]}]}),
    ("openai", "image", {"data": []}),
    ("openai", "image", {"data": [{}]}),
    ("openai", "audio", b""),
    ("anthropic", "text", {"content": "x"}),
]


@pytest.mark.parametrize(("kind", "modality", "told"), BROKEN)
async def test_answers_that_are_none(kind: str, modality: str, told: Any, vendor: Vendor, outbound: Outbound) -> None:
    vendor.replies = [says(told)]
    with pytest.raises(ProviderFault) as caught:
        await provider(kind, vendor, outbound).execute(MODEL, prompt(modality))
    assert (caught.value.code, caught.value.retryable) == ("bad_answer", True)


ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
BROKEN_STREAMS: list[tuple[str, Any, str, bool]] = [
    ("openai", streams([b"data: {oops\n\n"]), "bad_answer", True),
    ("openai", streams([b'data: {"error": {"message": "x"}}\n\n']), "unavailable", True),
    ("openai", streams(played.chunks("a", finish=None, usage=None, done=False)), "unreachable", True),
    ("openai", streams(played.chunks("a", finish=None, done=False), cut=True), "unreachable", True),
    ("openai", streams([], content_type="text/html"), "bad_answer", True),
    ("openai", says(played.chat()), "bad_answer", True),
    (
        "openai",
        streams([b'data: {"choices": [{"delta": {"tool_calls": [{"index": 999, "function": {}}]}}]}\n\n']),
        "bad_answer",
        True,
    ),
    ("anthropic", streams(played.frames(ERROR)), "unavailable", True),
    (
        "anthropic",
        streams(played.frames({"type": "error", "error": {"type": "odd", "message": "x"}})),
        "refused",
        False,
    ),
    ("anthropic", streams(played.spoken("x")[:4]), "unreachable", True),
    (
        "anthropic",
        streams(played.frames({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}})),
        "bad_answer",
        True,
    ),
]


@pytest.mark.parametrize(("kind", "reply", "code", "retryable"), BROKEN_STREAMS)
async def test_streams_that_break(
    kind: str, reply: Any, code: str, retryable: bool, vendor: Vendor, outbound: Outbound
) -> None:
    vendor.replies = [reply]
    with pytest.raises(ProviderFault) as caught:
        await collect(provider(kind, vendor, outbound), prompt())
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("status", "code", "retryable", "refused"),
    [
        (400, "refused", False, True),
        (422, "refused", False, True),
        (401, "rejected", True, False),
        (404, "rejected", True, False),
        (408, "unavailable", True, False),
        (429, "rate_limited", True, False),
        (500, "unavailable", True, False),
        (529, "unavailable", True, False),
        (302, "bad_answer", False, False),
    ],
)
async def test_statuses(
    status: int, code: str, retryable: bool, refused: bool, vendor: Vendor, outbound: Outbound
) -> None:
    words = {"error": {"message": f"said with the-key\n{'x' * 1000}"}}
    vendor.replies = [says(words, status, headers={"Retry-After": "7", "Location": vendor.url})]
    with pytest.raises(ProviderFault) as caught:
        await provider("openai", vendor, outbound).execute(MODEL, prompt())
    fault = caught.value
    assert (fault.code, fault.retryable, fault.refused, fault.status) == (code, retryable, refused, status)
    assert fault.retry_after_ms == (7000 if status in (408, 429, 500, 529) else None)
    assert len(fault.message) < 400
    assert "the-key" not in fault.message
    assert len(vendor.seen) == 1


async def test_an_answer_may_not_be_endless(
    vendor: Vendor, outbound: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alloyd.domain.providers.upstream.ANSWER_BYTES_MAX", 1000)
    monkeypatch.setattr("alloyd.domain.providers.upstream.STREAM_BYTES_MAX", 1000)
    one = provider("openai", vendor, outbound)
    vendor.replies = [says(played.chat("x" * 2000))]
    with pytest.raises(ProviderFault) as caught:
        await one.execute(MODEL, prompt())
    assert caught.value.code == "too_large"
    vendor.replies = [streams(played.chunks(*["x" * 50] * 50))]
    with pytest.raises(ProviderFault) as caught:
        await collect(one, prompt())
    assert caught.value.code == "too_large"


async def test_silence_ends(vendor: Vendor, outbound: Outbound) -> None:
    held = played.Held(played.chunks("a", finish=None, usage=None, done=False))
    vendor.replies = [held]
    one = provider("openai", vendor, outbound, first_byte_timeout_s=0.1)
    with pytest.raises(ProviderFault) as caught:
        await collect(one, prompt())
    assert (caught.value.code, caught.value.retryable) == ("timeout", True)


async def test_a_stream_without_end_ends(vendor: Vendor, outbound: Outbound) -> None:
    left = asyncio.Event()

    async def drip(request: web.Request, _asked: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b": nothing yet\n\n")
                await asyncio.sleep(0)
        except (ConnectionError, asyncio.CancelledError):
            left.set()
            raise

    vendor.replies = [drip]
    one = provider("openai", vendor, outbound, timeout_s=0.2)
    with pytest.raises(ProviderFault) as caught:
        await collect(one, prompt())
    assert (caught.value.code, caught.value.retryable) == ("timeout", True)
    async with asyncio.timeout(played.LONG_S):
        await left.wait()


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        ("openai", {"top_k": 3}, "params.top_k"),
        ("anthropic", {"seed": 3}, "params.seed"),
        ("anthropic", {"temperature": 1.5}, "params.temperature"),
        ("anthropic", {"tools": [LOOK], "response_format": {"type": "json_object"}}, "params.response_format"),
    ],
)
def test_what_a_vendor_does_not_take(kind: str, params: Any, field: str, outbound: Outbound) -> None:
    one = provider(kind, Vendor(), outbound)
    with pytest.raises(AlloydError) as caught:
        one.check(MODEL, prompt(**params))
    assert caught.value.field == field
    one.check(replace(MODEL), prompt())


async def test_the_words_of_a_refusal_may_be_nonsense(vendor: Vendor, outbound: Outbound) -> None:
    vendor.replies = [says(b"[" * 5000 + b"]" * 5000, 400)]
    with pytest.raises(ProviderFault) as caught:
        await provider("openai", vendor, outbound).execute(MODEL, prompt())
    assert caught.value.code == "refused"
