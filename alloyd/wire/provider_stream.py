"""Streams of AI answers: frames as they are promised, for a reader that may be slow, silent or gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec
from aiohttp import web

from alloyd.domain.providers.model import Delta, Finished, TextDelta, ToolCallDelta
from alloyd.domain.providers.service import Streamed
from alloyd.errors import AlloydError, Code
from alloyd.wire.route import Call, Sink
from alloyd.wire.server import to_alloyd_error
from alloyd.wire.sse import HEADERS
from alloyd.wire.stream import RETRY_AFTER_S, SOCKET_BUFFER_BYTES, STALL_S, StreamSettings, log

# Pieces that may wait for the reader; the provider is not read on when they do.
PIECES_MAX: Final = 64
_HEARTBEAT: Final = b": heartbeat\n\n"
_LAST: Final = b"data: [DONE]\n\n"
_ENCODE: Final = msgspec.json.encode

# A piece, or the failure that ends the stream, as the bytes that are written.
Frame = Callable[[Delta | AlloydError], bytes]


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


async def begin(pieces: AsyncGenerator[Delta], patience_s: float) -> tuple[Delta | None, AsyncGenerator[Delta]]:
    """The first of ``pieces`` and the rest of them; None and all of them when it takes longer than ``patience_s``.

    What fails until then is raised. Who waits longer gets the headers meanwhile, and signs of life.
    """
    waiting = asyncio.ensure_future(anext(pieces))
    try:
        await asyncio.wait({waiting}, timeout=patience_s)
    except asyncio.CancelledError:
        waiting.cancel()
        await asyncio.wait({waiting})
        raise
    return (await waiting, pieces) if waiting.done() else (None, _resumed(waiting, pieces))


async def _resumed(waiting: asyncio.Future[Delta], pieces: AsyncGenerator[Delta]) -> AsyncGenerator[Delta]:
    try:
        yield await waiting
        async for delta in pieces:
            yield delta
    finally:
        waiting.cancel()
        await asyncio.wait({waiting})
        await pieces.aclose()


async def serve_pieces(
    call: Call,
    first: Delta | None,
    pieces: AsyncGenerator[Delta],
    streamed: Streamed,
    headers: dict[str, str],
    heartbeat_s: float,
    frame: Frame | None = None,
) -> web.StreamResponse | None:
    """Write ``first`` and then ``pieces`` as frames. Contract: control, "Provider streams", unless ``frame`` is given.

    A failure becomes ``event: error``. When the reader leaves, ``pieces`` is closed, and so is the call behind it.
    """
    if call.sink is not None:
        await _tell(call.sink, first, pieces, streamed)
        return None
    response = web.StreamResponse(headers={**HEADERS, "X-Request-Id": call.request_id, **headers})
    queue: asyncio.Queue[Delta | AlloydError | None] = asyncio.Queue(PIECES_MAX)
    if first is not None:
        queue.put_nowait(first)
    pump = asyncio.create_task(_pump(pieces, queue, call.request_id))
    try:
        await response.prepare(call.request)
        _bound_socket(call.request)
        await _write_all(response, queue, frame or partial(_frame, streamed), heartbeat_s)
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
    frame: Frame,
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
            frames.append(frame(item))
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


async def _tell(sink: Sink, first: Delta | None, pieces: AsyncGenerator[Delta], streamed: Streamed) -> None:
    """Hand each piece to ``sink``; a failure is raised, for what reads the sink has its own way to say so."""
    await sink.open()
    for name, told in () if first is None else _parts(first, streamed):
        await sink.send(_chunk(name, told))
    async for delta in pieces:
        for name, told in _parts(delta, streamed):
            await sink.send(_chunk(name, told))


def _chunk(name: str, told: dict[str, Any]) -> dict[str, Any]:
    return {"kind": name, "text": told["text"]} if "text" in told else {"kind": name, "data": told}


def _frame(streamed: Streamed, item: Delta | AlloydError) -> bytes:
    parts = _error_parts(item) if isinstance(item, AlloydError) else _parts(item, streamed)
    frames = b"".join(b"event: %s\ndata: %s\n\n" % (name.encode(), _ENCODE(told)) for name, told in parts)
    return frames + _LAST if isinstance(item, Finished) else frames


def _parts(item: Delta, streamed: Streamed) -> list[tuple[str, dict[str, Any]]]:
    """What a piece is told as: names of events with their data."""
    if isinstance(item, TextDelta):
        return [("delta", {"text": item.text})]
    if isinstance(item, ToolCallDelta):
        call = {"index": item.index, "id": item.id, "name": item.name, "arguments": item.arguments}
        return [("tool_call", call)]
    whole = [] if item.output is None else [("delta", {"output": item.output})]
    return [*whole, ("done", _done(item, streamed))]


def _error_parts(error: AlloydError) -> list[tuple[str, dict[str, Any]]]:
    told: dict[str, Any] = {"code": error.code.value, "message": error.message}
    if error.details is not None:
        told["details"] = error.details
    return [("error", told)]


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
