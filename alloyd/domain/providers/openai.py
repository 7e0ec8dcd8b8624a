"""Any OpenAI-compatible server by its base URL: OpenAI, Ollama, vLLM, llama.cpp, LM Studio, OpenRouter."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import urlsplit

from alloyd.domain.providers import openai_format as wire
from alloyd.domain.providers.model import (
    AUDIO,
    CONTENT_FILTER,
    EMBEDDING,
    IMAGE,
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

BASE_URL: Final = "https://api.openai.com/v1"
_OWN_HOST: Final = "api.openai.com"
_AUDIO_TYPES: Final[Mapping[str, str]] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


class OpenAIProvider:
    """One server, under the name it is configured by."""

    image_tokens_max = 50_000  # a small model's large picture

    def __init__(self, settings: ProviderSettings, outbound: Outbound, clock: Clock) -> None:
        self.settings = settings
        self.modalities = frozenset({TEXT, EMBEDDING, IMAGE, AUDIO})
        headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._upstream = Upstream(settings, outbound, clock, headers)
        # The vendor's newer models refuse the old name, other servers do not know the new one.
        own = urlsplit(settings.base_url).hostname == _OWN_HOST
        self._token_field = "max_completion_tokens" if own else "max_tokens"

    def check(self, model: Model, prompt: Prompt) -> None:
        """Raises ``bad_request`` for ``top_k``, which this API does not have."""
        if "top_k" in prompt.params:
            raise bad_request(f"params.top_k: {self.settings.id} does not take it", "params.top_k")

    async def execute(self, model: Model, prompt: Prompt) -> Answer:
        """One request, one answer."""
        used = first_guess(prompt)
        if prompt.modality == TEXT:
            found = await self._upstream.ask_json("/chat/completions", self._chat(model, prompt, streams=False))
            return wire.read_chat(found, model, used)
        if prompt.modality == EMBEDDING:
            found = await self._upstream.ask_json("/embeddings", wire.embedding_body(model, prompt))
            return wire.read_embeddings(found, model, len(prompt.texts), used)
        if prompt.modality == IMAGE:
            found = await self._upstream.ask_json("/images/generations", wire.image_body(model, prompt))
            return wire.read_images(found, model, used, f"image/{prompt.params.get('output_format', 'png')}")
        content = await self._upstream.ask("/audio/speech", wire.speech_body(model, prompt))
        if not content:
            raise bad_answer("the answer is empty")
        media_type = _AUDIO_TYPES[prompt.params.get("format", "mp3")]
        return Answer({"audio": base64.b64encode(content).decode(), "media_type": media_type}, used, model.id)

    async def stream(self, model: Model, prompt: Prompt, used: Used) -> AsyncGenerator[Delta]:
        """The text in pieces; other modalities in one."""
        if prompt.modality != TEXT:
            answer = await self.execute(model, prompt)
            _copy(answer.used, used)
            yield Finished(STOP, used, answer.model, answer.output)
            return
        _copy(first_guess(prompt), used)
        reading = _Reading(model, used)
        events = self._upstream.events("/chat/completions", self._chat(model, prompt, streams=True))
        async with aclosing(events) as following:
            async for event in following:
                if event.data == b"[DONE]":
                    reading.done = True
                    break
                for delta in reading.take(decode_object(event.data)):
                    yield delta
        yield reading.finish()

    def _chat(self, model: Model, prompt: Prompt, *, streams: bool) -> dict[str, Any]:
        priced = model.price is not None and not model.price.free
        return wire.chat_body(model, prompt, streams=streams, token_field=self._token_field, always_bounded=priced)


class _Reading:
    """What has been read of a stream so far."""

    def __init__(self, model: Model, used: Used) -> None:
        self._model = model
        self._used = used
        self._told_model = model.id
        self._reason: str | None = None
        self._calls = 0
        self.done = False

    def take(self, chunk: Mapping[str, Any]) -> list[Delta]:
        """The deltas of one chunk. Raises ProviderFault when the server tells an error in mid-stream."""
        if chunk.get("error"):
            error = chunk["error"]
            words = error.get("message") if isinstance(error, dict) else error
            raise ProviderFault("unavailable", f"broke off: {str(words)[:300]}", retryable=True)
        self._told_model = wire.told_model(chunk, self._model)
        wire.read_usage(chunk.get("usage"), self._used)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return []
        if choices[0].get("finish_reason") is not None:
            self._reason = wire.finish_reason(choices[0]["finish_reason"])
        delta = choices[0].get("delta")
        return self._deltas(delta) if isinstance(delta, dict) else []

    def _deltas(self, delta: Mapping[str, Any]) -> list[Delta]:
        found: list[Delta] = []
        for name in ("content", "refusal"):
            text = delta.get(name)
            if isinstance(text, str) and text:
                found.append(TextDelta(text))
                self._count(text)
                if name == "refusal":
                    self._reason = CONTENT_FILTER
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                continue
            index = call.get("index", self._calls)
            if not isinstance(index, int) or not 0 <= index < wire.TOOL_CALLS_MAX:
                raise bad_answer("the answer has a tool call with an impossible index")
            self._calls = max(self._calls, index + 1)
            arguments = function.get("arguments")
            piece = arguments if isinstance(arguments, str) else ""
            self._count(piece)
            found.append(ToolCallDelta(index, _text(call.get("id")), _text(function.get("name")), piece))
        return found

    def _count(self, piece: str) -> None:
        if not self._used.told:
            self._used.output_tokens += estimate_tokens(piece)

    def finish(self) -> Finished:
        """The end. Raises ProviderFault when the server hung up before it."""
        if self._reason is None and not self.done:
            raise ProviderFault("unreachable", "the stream broke off", retryable=True)
        reason = self._reason or STOP
        if self._calls and reason == STOP:
            reason = TOOL_CALLS
        return Finished(reason, self._used, self._told_model)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _copy(source: Used, target: Used) -> None:
    target.input_tokens, target.output_tokens = source.input_tokens, source.output_tokens
    target.images, target.characters, target.told = source.images, source.characters, source.told
