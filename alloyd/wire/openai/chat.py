"""``POST /v1/chat/completions``: ask a model, or a teammate, as OpenAI's clients do."""

from __future__ import annotations

import time
from typing import Any, Final

from aiohttp import web

from alloyd.domain.providers.model import TEXT, Execute, Origin
from alloyd.domain.providers.service import Gateway, Streamed
from alloyd.errors import bad_request
from alloyd.kit.clock import Clock
from alloyd.wire.openai.answers import Chunks, completion
from alloyd.wire.openai.codec import in_its_words
from alloyd.wire.openai.models import to_execute
from alloyd.wire.openai.shapes import ChatBody, ChatCompletion, tells_usage, usage_of
from alloyd.wire.openai.teammates import ACTION, PREFIX, TeammateModels
from alloyd.wire.provider_stream import ProviderStreams, serve_pieces
from alloyd.wire.route import Call, Route
from alloyd.wire.sse import MEDIA_TYPE

# A conversation with a few pictures in it.
CHAT_BYTES_MAX: Final = 32 * 1024 * 1024
OVERHEAD: Final = "X-Alloyd-Overhead-Ms"
PROVIDER: Final = "X-Alloyd-Provider"
# Those of the body that the gateway has as well.
_SAME_NAME: Final = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "reasoning_effort",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "stop",
)


class ChatRoutes:
    """Handlers over the gateway and the teammates."""

    def __init__(self, gateway: Gateway, streams: ProviderStreams, clock: Clock, teammates: TeammateModels) -> None:
        self._gateway = gateway
        self._teammates = teammates
        self._streams = streams
        self._clock = clock

    async def complete(self, call: Call) -> ChatCompletion | web.StreamResponse | None:
        """Ask, and answer in one piece or, with ``stream``, in many."""
        started = time.perf_counter()
        body: ChatBody = call.body
        _check(body)
        if body.model.startswith(PREFIX):
            return await self._teammates.complete(call, body)
        request = to_execute(TEXT, body.model, {"messages": body.messages}, _params(body))
        if body.stream:
            return await self._stream(call, request, body, started)
        done = await self._gateway.execute(call.who, request, Origin(request_id=call.request_id))
        call.add_header(OVERHEAD, overhead(started, done.upstream_s))
        call.add_header(PROVIDER, done.provider_id)
        return completion(done.model, self._now_s(), done.output, usage_of(done.used, done.cost_micro_usd))

    async def _stream(self, call: Call, request: Execute, body: ChatBody, started: float) -> web.StreamResponse | None:
        streamed = Streamed()
        chunks = Chunks(
            lambda: streamed.model,
            lambda finished: usage_of(finished.used, streamed.cost_micro_usd),
            self._now_s(),
            tells_usage(body),
        )
        with self._streams.entered(call.who.id):
            pieces = self._gateway.stream(call.who, request, streamed, Origin(request_id=call.request_id))
            try:
                first = await anext(pieces)
                headers = {OVERHEAD: overhead(started, streamed.upstream_s), PROVIDER: streamed.provider_id}
                heartbeat_s = self._streams.settings.heartbeat_s
                return await serve_pieces(call, first, pieces, streamed, headers, heartbeat_s, chunks.frame)
            finally:
                await pieces.aclose()

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000


def _check(body: ChatBody) -> None:
    if body.n not in (None, 1):
        raise bad_request("n: one answer is given; ask again for another", "n")
    if body.stream_options is not None and not body.stream:
        raise bad_request("stream_options: only with stream: true", "stream_options")


def _params(body: ChatBody) -> dict[str, Any]:
    """The body's parameters as the gateway has them; empty lists are none."""
    params = {name: getattr(body, name) for name in _SAME_NAME}
    params["max_tokens"] = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    return {name: value for name, value in params.items() if value is not None and value != []}


def rename_field(field: str) -> str:
    """The body's name for what the gateway, or a teammate, calls ``field``."""
    if field in ("input", "message") or field.startswith("history"):
        return "messages"
    return field.removeprefix("input.").removeprefix("params.")


def overhead(started: float, upstream_s: float) -> str:
    """Milliseconds that were ours, the durable usage record's among them."""
    return f"{max(time.perf_counter() - started - upstream_s, 0) * 1000:.2f}"


def routes(gateway: Gateway, streams: ProviderStreams, clock: Clock, teammates: TeammateModels) -> list[Route]:
    """The route of chat completions."""
    handlers = ChatRoutes(gateway, streams, clock, teammates)
    return [
        Route(
            "POST",
            "/chat/completions",
            in_its_words(handlers.complete, rename_field),
            "provider.execute",
            "Ask a model or a teammate, in the OpenAI format",
            body=ChatBody,
            output=ChatCompletion,
            streams=MEDIA_TYPE,
            statuses=(404, 409, 422, 429, 502, 503),
            body_bytes_max=CHAT_BYTES_MAX,
            audit_as=ACTION,  # of a model's answer its usage record tells
        )
    ]
