"""Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

from alloyd.domain.providers import anthropic_format as wire
from alloyd.domain.providers.model import (
    STOP,
    TEXT,
    TOOL_CALLS,
    Answer,
    Delta,
    Finished,
    Model,
    Prompt,
    ProviderFault,
    ProviderSettings,
    TextDelta,
    ToolCallDelta,
    Used,
)
from alloyd.domain.providers.prices import estimate_tokens, first_guess
from alloyd.domain.providers.upstream import Upstream, bad_answer, decode_object
from alloyd.egress import Outbound
from alloyd.errors import bad_request
from alloyd.kit.clock import Clock

BASE_URL: Final = "https://api.anthropic.com"
API_VERSION: Final = "2023-06-01"
_PATH: Final = "/v1/messages"
_NOT_TAKEN: Final = ("seed", "frequency_penalty", "presence_penalty", "reasoning_effort")
# What this API says in mid-stream when it may do better later.
_PASSING: Final = frozenset({"overloaded_error", "rate_limit_error", "api_error", "timeout_error"})


class AnthropicProvider:
    """One account, under the name it is configured by."""

    image_tokens_max = 5_000

    def __init__(self, settings: ProviderSettings, outbound: Outbound, clock: Clock) -> None:
        self.settings = settings
        self.modalities = frozenset({TEXT})
        headers = {"anthropic-version": API_VERSION}
        if settings.api_key:
            headers["x-api-key"] = settings.api_key
        self._upstream = Upstream(settings, outbound, clock, headers)

    def check(self, model: Model, prompt: Prompt) -> None:
        """Raises ``bad_request`` for parameters that this API does not have."""
        for name in _NOT_TAKEN:
            if name in prompt.params:
                raise bad_request(f"params.{name}: {self.settings.id} does not take it", f"params.{name}")
        if prompt.params.get("temperature", 0) > 1:
            message = f"params.temperature: {self.settings.id} takes at most 1"
            raise bad_request(message, "params.temperature")
        if wire.wants_json(prompt) and "tools" in prompt.params:
            message = f"params.response_format: {self.settings.id} does not take it together with tools"
            raise bad_request(message, "params.response_format")
        if all(message.role == "system" or not (message.parts or message.tool_calls) for message in prompt.messages):
            raise bad_request("input.messages: a message of the user is wanted", "input.messages")

    async def execute(self, model: Model, prompt: Prompt) -> Answer:
        """One request, one answer."""
        used = first_guess(prompt)
        found = await self._upstream.ask_json(_PATH, wire.messages_body(model, prompt, streams=False))
        return wire.read_message(found, model, prompt, used)

    async def stream(self, model: Model, prompt: Prompt, used: Used) -> AsyncGenerator[Delta]:
        """The answer in pieces."""
        used.input_tokens = first_guess(prompt).input_tokens
        reading = _Reading(model, used, as_text=wire.wants_json(prompt))
        events = self._upstream.events(_PATH, wire.messages_body(model, prompt, streams=True))
        async with aclosing(events) as following:
            async for event in following:
                for delta in reading.take(decode_object(event.data)):
                    yield delta
                if reading.stopped:
                    break
        yield reading.finish()


class _Reading:
    """What has been read of a stream so far. ``as_text``: the call of the answer's tool is the text."""

    def __init__(self, model: Model, used: Used, *, as_text: bool) -> None:
        self._model = model
        self._used = used
        self._as_text = as_text
        self._told_model = model.id
        self._reason: str | None = None
        self._calls: dict[int, int] = {}  # the index of a block to that of its call
        self._counted = False
        self.stopped = False

    def take(self, event: Mapping[str, Any]) -> list[Delta]:
        """The deltas of one event. Raises ProviderFault when the server tells an error in mid-stream."""
        kind = event.get("type")
        if kind == "message_start" and isinstance(event.get("message"), dict):
            self._told_model = wire.told_model(event["message"], self._model)
            wire.read_usage(event["message"].get("usage"), self._used)
        elif kind == "content_block_start":
            return self._begin_block(event)
        elif kind == "content_block_delta":
            return self._block_delta(event)
        elif kind == "message_delta":
            delta = event.get("delta")
            if isinstance(delta, dict) and delta.get("stop_reason") is not None:
                self._reason = wire.finish_reason(delta["stop_reason"])
            self._counted = True
            wire.read_usage(event.get("usage"), self._used)
        elif kind == "message_stop":
            self.stopped = True
        elif kind == "error":
            raise _mid_stream_fault(event.get("error"))
        return []

    def _begin_block(self, event: Mapping[str, Any]) -> list[Delta]:
        block = event.get("content_block")
        if not isinstance(block, dict) or block.get("type") != "tool_use" or self._as_text:
            return []
        place = event.get("index")
        if not isinstance(place, int) or len(self._calls) >= wire.BLOCKS_MAX:
            raise bad_answer("the answer has a block with an impossible index")
        index = self._calls[place] = len(self._calls)
        call_id, name = block.get("id"), block.get("name")
        if not isinstance(call_id, str) or not isinstance(name, str):
            raise bad_answer("the answer has a tool call without a name")
        return [ToolCallDelta(index, call_id, name, "")]

    def _block_delta(self, event: Mapping[str, Any]) -> list[Delta]:
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return []
        text, piece = delta.get("text"), delta.get("partial_json")
        if delta.get("type") == "text_delta" and isinstance(text, str) and text:
            return [TextDelta(self._count(text))]
        if delta.get("type") == "input_json_delta" and isinstance(piece, str) and piece:
            if self._as_text:
                return [TextDelta(self._count(piece))]
            index = self._calls.get(event.get("index", -1))
            return [] if index is None else [ToolCallDelta(index, None, None, self._count(piece))]
        return []

    def _count(self, piece: str) -> str:
        """The server counts at the end only: what was streamed by then is estimated."""
        if not self._counted:
            self._used.output_tokens += estimate_tokens(piece)
        return piece

    def finish(self) -> Finished:
        """The end. Raises ProviderFault when the server hung up before it."""
        if self._reason is None and not self.stopped:
            raise ProviderFault("unreachable", "the stream broke off", retryable=True)
        reason = self._reason or STOP
        if self._as_text and reason == TOOL_CALLS:
            reason = STOP
        return Finished(reason, self._used, self._told_model)


def _mid_stream_fault(error: Any) -> ProviderFault:
    kind = error.get("type") if isinstance(error, dict) else None
    words = error.get("message") if isinstance(error, dict) else None
    told = f"broke off: {str(words)[:300]}" if words else "broke off"
    return ProviderFault("unavailable" if kind in _PASSING else "refused", told, retryable=kind in _PASSING)
