"""A steady load of triggers: so many a second, whether they are answered quickly or not."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import cast

from tests.bench.load import answer_end

CONNECTIONS = 32
ANSWERS_TIMEOUT_S = 120.0


@dataclass
class Told:
    """What became of the triggers. ``taken_ms`` counts from when each was due."""

    planned: int
    answered: int = 0
    refused: int = 0
    taken_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0


class _Connection(asyncio.Protocol):
    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self._data = bytearray()
        self._due = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._sender.idle.append(self)

    def send(self, request: bytes, due: float) -> None:
        assert self.transport is not None
        self._due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = answer_end(self._data)
        if end is not None:
            del self._data[: end[1]]
            self._sender.answered(self, end[0], self._due)


class _Sender:
    def __init__(self, request: bytes, told: Told) -> None:
        self.idle: deque[_Connection] = deque()
        self.done = asyncio.Event()
        self._due: deque[float] = deque()
        self._request = request
        self._told = told

    def put(self, due: float) -> None:
        self._due.append(due)
        self._send()

    def _send(self) -> None:
        while self._due and self.idle:
            self.idle.popleft().send(self._request, self._due.popleft())

    def answered(self, connection: _Connection, status: int, due: float) -> None:
        told = self._told
        told.taken_ms.append((time.perf_counter() - due) * 1000)
        if status == 200:
            told.answered += 1
        else:
            told.refused += 1
        if told.answered + told.refused == told.planned:
            self.done.set()
        self.idle.append(connection)
        self._send()


async def trigger_steadily(port: int, request: bytes, per_s: float, count: int) -> Told:
    """Send ``request`` ``count`` times, ``per_s`` a second. Raises TimeoutError when answers do not come."""
    loop = asyncio.get_running_loop()
    told = Told(count)
    sender = _Sender(request, told)
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Connection(sender), "127.0.0.1", port)
    started = time.perf_counter()
    for number in range(count):
        due = started + number / per_s
        wait_s = due - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        sender.put(due)
    async with asyncio.timeout(ANSWERS_TIMEOUT_S):
        await sender.done.wait()
    told.seconds = time.perf_counter() - started
    for connection in sender.idle:
        if connection.transport is not None:
            connection.transport.abort()
    return told
