"""Many readers in one process, each checked event by event: ``python -m tests.load.readers``.

Its orders are lines of JSON on stdin. First :class:`Orders`, answered by ``open`` once all are; then ``{"upto": ID}``,
answered by :class:`Findings` once every reader has had that event, or the time is over; then the end of stdin, upon
which all leave.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import socket
import sys
import time
from collections import Counter
from typing import Any, cast

import msgspec
import uvloop

from tests.load.dechunk import Dechunker
from tests.load.story import Follower, Story, split_sse, split_websocket

OPEN_TIMEOUT_S = 120.0
OPENING_AT_ONCE = 64
SLOW_READS_PART = 0.5  # of the time that it pauses
SLOW_BUFFER_BYTES = 64 * 1024
AGES_OF_EVERY = 20  # the ages of events are noted by each so many-th reader
_TURN_S = 0.25

# Nobody emits it: until the subscription says after what to begin, nothing comes.
_NO_KIND = "load.none"


class Orders(msgspec.Struct):
    """Who reads. Of both sorts ``slow_percent`` keep stopping for a while, ``cut_percent`` hang up and resume."""

    port: int
    keys: list[str]
    sse: int
    websockets: int
    slow_percent: float = 5.0
    cut_percent: float = 5.0
    patience_s: float = 120.0
    seed: int = 0
    cut_after_s: tuple[float, float] = (1.0, 5.0)
    slow_pause_s: float = 2.0


class Findings(msgspec.Struct):
    """What all readers had. ``had``: for each sort ``[first id, last id, readers]`` of those that agree."""

    ids: dict[str, list[int]]
    had: dict[str, list[tuple[int, int, int]]]
    delivered: int
    faults: list[str]
    fault_count: int
    resumed: int
    pauses: int
    behind: int
    ages_ms: list[float]
    cpu_s: float


class Room:
    """What the readers share."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.rng = random.Random(orders.seed)
        self.stories = {"sse": Story(split_sse), "websocket": Story(split_websocket)}
        self.followers: dict[str, list[Follower]] = {"sse": [], "websocket": []}
        self.ages_ms: list[float] = []
        self.resumed = self.pauses = 0
        self.over = asyncio.Event()  # nobody is slow or cut any more


class Connection(asyncio.Protocol):
    """One connection of a reader."""

    def __init__(self, reader: Reader, request: bytes, subscription: bytes) -> None:
        self._reader = reader
        self._request = request
        self._subscription = subscription
        self._head: bytes | None = b""
        self._chunks = Dechunker() if reader.sort == "sse" else None
        self._open = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Check what came."""
        if self._head is not None:
            data = self._read_head(data)
            if not data:
                return
        if self._chunks is not None:
            data = self._chunks.feed(data)
        self._reader.take(self, data)

    def _read_head(self, data: bytes) -> bytes:
        assert self._head is not None
        assert self.transport is not None
        head, end, rest = (self._head + data).partition(b"\r\n\r\n")
        self._head = head
        if not end:
            return b""
        if head.split(b" ", 2)[1] not in (b"200", b"101"):
            self.opened.set_exception(RuntimeError(f"not let in: {(head + rest)[:500]!r}"))
            self.transport.abort()
            return b""
        self._head = None
        if self._subscription:
            self.transport.write(self._subscription)
        self.opened.set_result(None)
        return rest

    def connection_lost(self, exc: Exception | None) -> None:
        """The daemon hung up, or this reader did."""
        if not self.opened.done():
            self.opened.set_exception(RuntimeError(f"hung up before the answer: {exc!r}"))
        self._reader.lost(self)


class Reader:
    """One reader over all its connections."""

    def __init__(self, room: Room, sort: str, number: int, key: str) -> None:
        self.sort = sort
        self.is_slow = self.is_cut = False
        self.follower = Follower(room.stories[sort], f"{sort} {number}")
        self._room = room
        self._key = key
        self._notes_ages = number % AGES_OF_EVERY == 0
        self._connection: Connection | None = None

    async def connect(self) -> None:
        """Open the stream, behind the last event if there was one. Raises RuntimeError when it is refused."""
        sock = socket.socket()
        if self.is_slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self._room.orders.port))
        request, subscription = self._ask()
        connection = Connection(self, request, subscription)
        self._connection = connection
        await loop.create_connection(lambda: connection, sock=sock)
        await connection.opened

    def _ask(self) -> tuple[bytes, bytes]:
        last_id = self.follower.last_id
        lines = [f"Host: 127.0.0.1:{self._room.orders.port}", f"Authorization: Bearer {self._key}"]
        if self.sort == "sse":
            path = "/v1/events/stream"
            lines += ["Accept: text/event-stream", *([] if last_id is None else [f"Last-Event-ID: {last_id}"])]
            subscription = b""
        else:
            path = "/v1/events/ws" if last_id is None else f"/v1/events/ws?kinds={_NO_KIND}"
            key = base64.b64encode(os.urandom(16)).decode()
            lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
            lines.append(f"Sec-WebSocket-Key: {key}")
            told = b'{"type":"subscribe","after":"%d"}' % (last_id or 0)
            subscription = b"" if last_id is None else client_frame(1, told)
        return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode(), subscription

    def take(self, connection: Connection, data: bytes) -> None:
        """What the present connection brought."""
        if connection is not self._connection:
            return
        follower = self.follower
        before = follower.next if follower.first is not None else None
        try:
            pings = follower.feed(data)
        except ValueError as error:
            follower.story.accuse(str(error))
            self.hang_up()
            return
        for ping in pings:
            assert connection.transport is not None
            connection.transport.write(client_frame(10, ping))
        if self._notes_ages and before is not None and not self.is_slow and not self.is_cut:
            now_ms = time.time() * 1000
            self._room.ages_ms += [now_ms - at for at in follower.story.committed_ms[before : follower.next]]

    def lost(self, connection: Connection) -> None:
        """A connection ended. Only the reader itself may have ended it."""
        if connection is self._connection:
            self._connection = None
            self.follower.story.accuse(f"{self.sort}: the daemon hung up after event {self.follower.last_id}")

    def hang_up(self) -> None:
        """End the connection at once, wherever in a frame it is."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.transport is not None:
            connection.transport.abort()

    async def misbehave(self) -> None:
        """Be slow, or hang up and come back, until it is over."""
        room = self._room
        while not room.over.is_set():
            if self.is_slow:
                await self._be_slow()
            else:
                await self._wait(room.rng.uniform(*room.orders.cut_after_s))
                if self.follower.last_id is not None and not room.over.is_set():
                    self.hang_up()
                    self.follower.reconnect()
                    await self.connect()
                    room.resumed += 1

    async def _be_slow(self) -> None:
        connection = self._connection
        if connection is None or connection.transport is None:
            raise RuntimeError("a slow reader lost its connection")
        connection.transport.pause_reading()
        await self._wait(self._room.orders.slow_pause_s)
        connection.transport.resume_reading()
        self._room.pauses += 1
        await self._wait(self._room.orders.slow_pause_s * SLOW_READS_PART)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._room.over.wait()


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A masked WebSocket frame. Raises ValueError for more than 125 bytes."""
    if len(payload) > 125:
        raise ValueError("short frames only")
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes((0x80 | opcode, 0x80 | len(payload))) + mask + masked


def make_readers(room: Room) -> list[Reader]:
    """All readers of the orders. Who is slow and who is cut is spread over both sorts."""
    orders = room.orders
    readers = []
    for sort, count in (("sse", orders.sse), ("websocket", orders.websockets)):
        slow, cut = round(count * orders.slow_percent / 100), round(count * orders.cut_percent / 100)
        for number in range(count):
            reader = Reader(room, sort, number, orders.keys[len(readers) % len(orders.keys)])
            reader.is_slow, reader.is_cut = number < slow, slow <= number < slow + cut
            room.followers[sort].append(reader.follower)
            readers.append(reader)
    return readers


async def open_all(readers: list[Reader]) -> None:
    """Connect all, a few at a time. Raises RuntimeError when one is refused."""
    slots = asyncio.Semaphore(OPENING_AT_ONCE)

    async def connect(reader: Reader) -> None:
        async with slots:
            await reader.connect()

    async with asyncio.timeout(OPEN_TIMEOUT_S), asyncio.TaskGroup() as group:
        for reader in readers:
            group.create_task(connect(reader))


async def await_event(room: Room, upto: int) -> int:
    """Wait until all have had event ``upto``; how many have not when the time is over."""
    until = time.monotonic() + room.orders.patience_s
    while True:
        behind = [f for followers in room.followers.values() for f in followers if (f.last_id or 0) < upto]
        if not behind or time.monotonic() > until:
            return len(behind)
        await asyncio.sleep(_TURN_S)


def findings(room: Room, behind: int) -> Findings:
    """What there is to say in the end."""
    had: dict[str, list[tuple[int, int, int]]] = {}
    for sort, followers in room.followers.items():
        ids = room.stories[sort].ids
        spans = Counter((-1 if f.first is None else ids[f.first], f.last_id or -1) for f in followers)
        had[sort] = [(first, last, count) for (first, last), count in spans.items()]
    stories = room.stories.values()
    times = os.times()
    return Findings(
        ids={sort: story.ids for sort, story in room.stories.items()},
        had=had,
        delivered=sum(f.had for followers in room.followers.values() for f in followers),
        faults=[fault for story in stories for fault in story.faults],
        fault_count=sum(story.fault_count for story in stories),
        resumed=room.resumed,
        pauses=room.pauses,
        behind=behind,
        ages_ms=room.ages_ms,
        cpu_s=times.user + times.system,
    )


async def main() -> None:
    """Follow the orders."""
    loop = asyncio.get_running_loop()
    room = Room(msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders))
    readers = make_readers(room)
    await open_all(readers)
    print("open", flush=True)
    restless = [asyncio.create_task(reader.misbehave()) for reader in readers if reader.is_slow or reader.is_cut]
    order: dict[str, Any] = msgspec.json.decode(await loop.run_in_executor(None, sys.stdin.buffer.readline))
    room.over.set()
    await asyncio.gather(*restless)
    behind = await await_event(room, order["upto"])
    print(msgspec.json.encode(findings(room, behind)).decode(), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    for reader in readers:
        reader.hang_up()


if __name__ == "__main__":
    uvloop.run(main())
