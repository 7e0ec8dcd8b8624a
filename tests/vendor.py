"""Other people's AI servers, played on loopback: they speak the real formats, and misbehave as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

LONG_S = 30.0
Reply = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]


def chat(text: str = "Hello!", **more: Any) -> dict[str, Any]:
    """A whole answer of OpenAI's chat completions."""
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": more.pop("finish_reason", "stop")}
    usage = more.pop("usage", {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12})
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m-2026", "choices": [choice], "usage": usage}


def chunks(*texts: str, finish: str | None = "stop", usage: Any = (9, 3), done: bool = True) -> list[bytes]:
    """A streamed answer of OpenAI's, a frame each."""

    def frame(choices: Any, **more: Any) -> bytes:
        return b"data: " + msgspec.json.encode({"model": "m-2026", "choices": choices, **more}) + b"\n\n"

    found = [frame([{"index": 0, "delta": {"content": text}, "finish_reason": None}]) for text in texts]
    if finish is not None:
        found.append(frame([{"index": 0, "delta": {}, "finish_reason": finish}]))
    if usage is not None:
        found.append(frame([], usage={"prompt_tokens": usage[0], "completion_tokens": usage[1]}))
    return [*found, b"data: [DONE]\n\n"] if done else found


def message(*blocks: dict[str, Any], stop_reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    """A whole answer of Anthropic's messages."""
    content = list(blocks) or [{"type": "text", "text": "Hello!"}]
    usage = {"input_tokens": 9, "output_tokens": 3, **more.pop("usage", {})}
    return {"type": "message", "model": "c-2026", "content": content, "stop_reason": stop_reason, "usage": usage}


def frames(*events: dict[str, Any]) -> list[bytes]:
    """Events of Anthropic's stream, a frame each."""
    return [
        b"event: " + event["type"].encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n" for event in events
    ]


def spoken(*texts: str, stop_reason: str = "end_turn", usage: tuple[int, int] = (9, 3)) -> list[bytes]:
    """A streamed answer of Anthropic's, of words alone."""
    return frames(
        {"type": "message_start", "message": {"model": "c-2026", "usage": {"input_tokens": usage[0]}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}} for text in texts),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": {"output_tokens": usage[1]}},
        {"type": "message_stop"},
    )


def says(body: Any = None, status: int = 200, **more: Any) -> Reply:
    """Answers with JSON, or with bytes as they are."""

    async def reply(_request: web.Request, _asked: Any) -> web.StreamResponse:
        data = body if isinstance(body, bytes) else msgspec.json.encode(chat() if body is None else body)
        return web.Response(
            body=data,
            status=status,
            content_type=more.get("content_type", "application/json"),
            headers=more.get("headers"),
        )

    return reply


def streams(pieces: Sequence[bytes], *, cut: bool = False, content_type: str = "text/event-stream") -> Reply:
    """Answers with ``pieces``; ``cut`` breaks the connection after them."""

    async def reply(request: web.Request, _asked: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if cut:
            assert request.transport is not None
            request.transport.abort()
        return response

    return reply


@dataclass
class Held:
    """A stream that stays open after its first pieces, until the other side leaves or the test lets it end."""

    pieces: Sequence[bytes]
    rest: Sequence[bytes] = ()
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: web.Request, _asked: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            if self.pieces:
                await response.prepare(request)
            for piece in self.pieces:
                await response.write(piece)
            self.opened.set()
            await self.goes_on.wait()
            for piece in self.rest:
                await response.write(piece)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        return response


@dataclass
class Vendor:
    """One played server. ``replies`` are given in turn, the last of them for ever; ``seen`` is what was asked."""

    port: int = 0
    replies: list[Reply] = field(default_factory=lambda: [says()])
    seen: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Remember the request, and reply."""
        asked = msgspec.json.decode(await request.read() or b"null")
        self.seen.append((request.path, dict(request.headers), asked))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return await reply(request, asked)


@asynccontextmanager
async def open_vendor(*replies: Reply) -> AsyncIterator[Vendor]:
    """A server on loopback."""
    vendor = Vendor()
    if replies:
        vendor.replies = list(replies)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", vendor.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    vendor.port = runner.addresses[0][1]
    try:
        yield vendor
    finally:
        await runner.cleanup()
