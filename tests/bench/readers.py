"""Many readers of the event stream in one process, which note how old each event is when it comes.

``python -m tests.bench.readers PORT COUNT KEY...`` prints ``open`` once all are open; when stdin ends it prints
their findings as JSON and ends.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from datetime import datetime
from functools import lru_cache, partial
from typing import cast

import uvloop

from tests.bench.figures import percentile
from tests.bench.workflows import TICK_KIND

_TICK = re.compile(rb"^data: (\{[^\n]*\"kind\":\"" + re.escape(TICK_KIND.encode()) + rb"\"[^\n]*\})\r?$", re.MULTILINE)
_OPENED = b": open\n"
OPEN_TIMEOUT_S = 60.0


@lru_cache(maxsize=256)
def times_of(line: bytes) -> tuple[float, float]:
    """``(timestamp, sent)`` of an event: the wall clock's seconds, and the sender's monotonic ones."""
    event = json.loads(line)
    return datetime.fromisoformat(event["timestamp"]).timestamp(), event["payload"]["sent"] / 1e9


class Reader(asyncio.Protocol):
    """One open stream."""

    def __init__(self, request: bytes, findings: Findings) -> None:
        self._request = request
        self._findings = findings
        self._rest = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        cast("asyncio.Transport", transport).write(self._request)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Note the events that are there to their end."""
        wall, monotonic = time.time(), time.monotonic()
        data = self._rest + data
        whole = data.rfind(b"\n\n") + 2
        if whole < 2:
            self._rest = data
            return
        self._rest = data[whole:]
        if not self._open:
            if _OPENED not in data:
                self._findings.refused(data)
                return
            self._open = True
            self._findings.opened()
        for match in _TICK.finditer(data, 0, whole):
            timestamp, sent = times_of(match[1])
            self._findings.from_commit_ms.append((wall - timestamp) * 1000)
            self._findings.from_send_ms.append((monotonic - sent) * 1000)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count who was cut off."""
        self._findings.lost += 1
        if not self._open:
            self._findings.refused(self._rest)


class Findings:
    """What all readers saw."""

    def __init__(self, count: int) -> None:
        self.from_commit_ms: list[float] = []
        self.from_send_ms: list[float] = []
        self.lost = 0
        self._closed = count
        self.all_open = asyncio.Event()

    def opened(self) -> None:
        """One more stream is open."""
        self._closed -= 1
        if not self._closed:
            self.all_open.set()

    def refused(self, answer: bytes) -> None:
        """One was not let in: say why and give up."""
        sys.stderr.write(f"a reader was not let in: {answer[:500].decode(errors='replace')}\n")
        self.all_open.set()

    @property
    def are_open(self) -> bool:
        """Whether all streams are open."""
        return not self._closed

    def to_json(self) -> str:
        """Percentiles in milliseconds."""
        told: dict[str, float] = {"received": len(self.from_commit_ms), "lost": self.lost}
        for name, values in (("commit", self.from_commit_ms), ("send", self.from_send_ms)):
            for percent in (50, 99, 100):
                told[f"{name}_p{percent}"] = percentile(values or [0.0], percent)
        return json.dumps(told)


async def main(port: int, count: int, keys: list[str]) -> None:
    """Open ``count`` readers, shared out among ``keys``, and read until stdin ends."""
    loop = asyncio.get_running_loop()
    findings = Findings(count)
    transports = []
    for number in range(count):
        request = (
            f"GET /v1/events/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {keys[number % len(keys)]}\r\nAccept: text/event-stream\r\n\r\n"
        ).encode()
        made = await loop.create_connection(partial(Reader, request, findings), "127.0.0.1", port)
        transports.append(made[0])
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        await findings.all_open.wait()
    if not findings.are_open:
        return
    print("open", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(findings.to_json(), flush=True)
    for transport in transports:
        transport.abort()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
