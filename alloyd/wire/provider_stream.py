"""Streams of AI answers: frames as they are promised, for a reader that may be slow, silent or gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiohttp import web

from alloyd.domain.providers.model import Delta, Finished, TextDelta, ToolCallDelta
from alloyd.domain.providers.service import Streamed
from alloyd.errors import AlloydError, Code
from alloyd.wire.route import Call
from alloyd.wire.server import to_alloyd_error
from alloyd.wire.sse import HEADERS
from alloyd.wire.stream import RETRY_AFTER_S, SOCKET_BUFFER_BYTES, STALL_S, StreamSettings, log

# Pieces that may wait for the reader; the provider is not read on when they do.
PIECES_MAX: Final = 64
_HEARTBEAT: Final = b": heartbeat\n\n"
_LAST: Final = b"data: [DONE]\n\n"
_ENCODE: Final = msgspec.json.encode


@dataclass(slots=True)
class ProviderStreams:
    """The answers under way, by who reads them: a revoked credential ends its own at once."""

    settings: StreamSettings
    _open: dict[str, set[asyncio.Task[Any]]] = field(default_factory=dict)

    @contextmanager
    def entered(self, principal_id: str) -> Iterator[None]:
        """Inside, the current task is one of the caller's streams. Raises ``rate_limited`` when it has too many."""
        task = asyncio.current_task()
        assert task is not None
        mine = self._open.setdefault(principal_id, set())
        if len(mine) >= self.settings.streams_per_principal_max:
            most = self.settings.streams_per_principal_max
            message = f"{most} streams are open with this credential; close one first"
            raise AlloydError(Code.RATE_LIMITED, message, retry_after_s=RETRY_AFTER_S)
        mine.add(task)
        try:
            yield
        finally:
            mine.discard(task)
            if not mine:
                self._open.pop(principal_id, None)

    def revoke(self, principal_id: str) -> None:
        """The credential has ended: cut its streams off. What they used is recorded."""
        for task in self._open.get(principal_id, ()):
            task.cancel()


async def serve_pieces(
    call: Call,
    first: Delta,
    pieces: AsyncGenerator[Delta],
    streamed: Streamed,
    headers: dict[str, str],
    heartbeat_s: float,
) -> web.StreamResponse:
    """Write ``first`` and then ``pieces`` as frames. Contract: control, "Provider streams".

    A failure becomes ``event: error``. When the reader leaves, ``pieces`` is closed, and so is the call behind it.
    """
    response = web.StreamResponse(headers={**HEADERS, "X-Request-Id": call.request_id, **headers})
    queue: asyncio.Queue[Delta | AlloydError | None] = asyncio.Queue(PIECES_MAX)
    queue.put_nowait(first)
    pump = asyncio.create_task(_pump(pieces, queue, call.request_id))
    try:
        await response.prepare(call.request)
        _bound_socket(call.request)
        await _write_all(response, queue, streamed, heartbeat_s)
    except (ConnectionError, TimeoutError):
        if call.request.transport is not None:
            call.request.transport.abort()  # gone, or it takes nothing: nobody waits for the rest
    finally:
        pump.cancel()
        await asyncio.wait({pump})
    return response


async def _pump(
    pieces: AsyncGenerator[Delta], queue: asyncio.Queue[Delta | AlloydError | None], request_id: str
) -> None:
    try:
        try:
            async for delta in pieces:
                await queue.put(delta)
            await queue.put(None)
        except Exception as error:
            if not isinstance(error, AlloydError):
                log.exception("an AI stream broke off", request_id=request_id)
            await queue.put(to_alloyd_error(error))
    finally:
        with suppress(Exception):
            await pieces.aclose()


async def _write_all(
    response: web.StreamResponse,
    queue: asyncio.Queue[Delta | AlloydError | None],
    streamed: Streamed,
    heartbeat_s: float,
) -> None:
    while True:
        try:
            async with asyncio.timeout(heartbeat_s):
                item = await queue.get()
        except TimeoutError:
            await _write(response, _HEARTBEAT)
            continue
        frames: list[bytes] = []
        while item is not None:
            frames.append(_frame(item, streamed))
            if queue.empty():
                break
            item = queue.get_nowait()
        if frames:
            await _write(response, b"".join(frames))
        if item is None or isinstance(item, AlloydError):
            break
    await response.write_eof()


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(STALL_S):
        await response.write(data)


def _frame(item: Delta | AlloydError, streamed: Streamed) -> bytes:
    if isinstance(item, TextDelta):
        return b"event: delta\ndata: " + _ENCODE({"text": item.text}) + b"\n\n"
    if isinstance(item, ToolCallDelta):
        told = {"index": item.index, "id": item.id, "name": item.name, "arguments": item.arguments}
        return b"event: tool_call\ndata: " + _ENCODE(told) + b"\n\n"
    if isinstance(item, Finished):
        whole = b"" if item.output is None else b"event: delta\ndata: " + _ENCODE({"output": item.output}) + b"\n\n"
        return whole + b"event: done\ndata: " + _ENCODE(_done(item, streamed)) + b"\n\n" + _LAST
    told = {"code": item.code.value, "message": item.message}
    if item.details is not None:
        told["details"] = item.details
    return b"event: error\ndata: " + _ENCODE(told) + b"\n\n"


def _done(item: Finished, streamed: Streamed) -> dict[str, Any]:
    cost = None if streamed.cost_micro_usd is None else streamed.cost_micro_usd / 1_000_000
    return {
        "finish_reason": item.finish_reason,
        "usage": {
            "input_tokens": item.used.input_tokens,
            "output_tokens": item.used.output_tokens,
            "cost_usd": cost,
        },
        "provider_id": streamed.provider_id,
        "model": item.model,
    }


def _bound_socket(request: web.Request) -> None:
    """Keep the kernel from taking megabytes for a reader that does not read: the provider would be read on."""
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
