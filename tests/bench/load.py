"""The same request on many connections: by wrk, or by a client of our own where there is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import cast

import uvloop

from tests.bench import wrk
from tests.bench.figures import percentile
from tests.bench.wrk import Load, Request


def load(port: int, request: Request, connections: int, seconds: float, directory: Path) -> Load:
    """Load 127.0.0.1:``port``: each of ``connections`` sends its next request when it has the answer to its last."""
    found = wrk.find_wrk()
    if found is not None:
        return wrk.run(found, port, request, connections, seconds, directory)
    return uvloop.run(_load_for(port, encode(request, port), connections, seconds))


def generator() -> str:
    """What makes the load, in words."""
    return "wrk" if wrk.find_wrk() else "tests/bench/load.py (wrk is not installed)"


def encode(request: Request, port: int) -> bytes:
    """The request as it goes over the wire."""
    headers = {"Host": f"127.0.0.1:{port}", **request.headers}
    if request.body:
        headers["Content-Length"] = str(len(request.body))
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + request.body


def answer_end(data: bytes | bytearray) -> tuple[int, int] | None:
    """``(status, length)`` of the answer that ``data`` begins with, None until all of it is there.

    Raises ValueError for an answer without ``Content-Length``: what is measured here always has one.
    """
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = bytes(data[:head_end]).lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError("an answer without Content-Length")
    length = head_end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])
    return (int(head[9:12]), length) if len(data) >= length else None


class _Connection(asyncio.Protocol):
    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._data = bytearray()
        self._sent_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def send(self) -> None:
        assert self.transport is not None
        self._sent_at = time.perf_counter()
        self.transport.write(self._tally.request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = answer_end(self._data)
        if end is None:
            return
        del self._data[: end[1]]
        self._tally.count(end[0], time.perf_counter() - self._sent_at)
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.lost += 1


class _Tally:
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.seconds: list[float] = []
        self.failed = 0
        self.lost = 0

    def count(self, status: int, seconds: float) -> None:
        self.seconds.append(seconds)
        self.failed += status >= 400


async def _load_for(port: int, request: bytes, connections: int, seconds: float) -> Load:
    return await load_from(port, request, connections, asyncio.sleep(seconds))


async def load_from(port: int, request: bytes, connections: int, end: Awaitable[object]) -> Load:
    """Load by our own client until ``end`` is done."""
    loop = asyncio.get_running_loop()
    tally = _Tally(request)
    opened = []
    for _ in range(connections):
        _transport, connection = await loop.create_connection(lambda: _Connection(tally), "127.0.0.1", port)
        opened.append(connection)
    started = time.perf_counter()
    for connection in opened:
        connection.send()
    await end
    took, answered, failed = time.perf_counter() - started, len(tally.seconds), tally.failed + tally.lost
    taken = [second * 1000 for second in tally.seconds] or [0.0]
    for connection in opened:
        if connection.transport is not None:
            connection.transport.abort()
    return Load(answered, failed, took, percentile(taken, 50), percentile(taken, 99))
