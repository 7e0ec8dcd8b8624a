"""What all streams of events share: who may open how many, where they begin, when they are cut."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from alloyd.errors import AlloydError, Code, bad_request
from alloyd.events.feed import Feed
from alloyd.events.model import Story
from alloyd.events.service import EventLog
from alloyd.kit.clock import Clock
from alloyd.log import get_logger
from alloyd.principal import Principal
from alloyd.wire.route import Call

log = get_logger("alloyd.wire.stream")

REVOKED = "the credential was revoked"
EXPIRED = "the token expired"
STOPPING = "the daemon stops"

KINDS_MAX = 50
# What may lie in the kernel for a reader that does not read; the rest waits in the table.
SOCKET_BUFFER_BYTES = 128 * 1024
# A reader that takes nothing for this long is cut off; it resumes where it was.
STALL_S = 120.0
# Batches of events are put together up to this, and then written, and waited for.
WRITE_BYTES = 64 * 1024
RETRY_AFTER_S = 10

_KIND = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?\Z")


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Bounds of streams; the configuration's group ``events``."""

    heartbeat_s: float = 15.0
    streams_per_principal_max: int = 100
    streams_max: int = 2000


class Stream:
    """One open stream: its feed, and what is known of its connection."""

    __slots__ = ("_transport", "_writing", "expires_at", "feed", "last_write", "principal_id", "sends_heartbeats")

    def __init__(self, feed: Feed, principal: Principal, request: web.Request, *, sends_heartbeats: bool) -> None:
        self.feed = feed
        self.principal_id = principal.id
        self.expires_at = principal.expires_at
        self.sends_heartbeats = sends_heartbeats
        self.last_write = asyncio.get_running_loop().time()
        self._writing = False
        self._transport = request.transport
        feed.reader.on_close = self._cut_if_writing

    def bound_socket(self) -> None:
        """Keep the kernel from holding megabytes for a reader that does not read."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)

    async def send(self, writer: AbstractStreamWriter, pieces: Iterable[bytes]) -> None:
        """Write ``pieces``, some together, each time as soon as the other side takes it. Not all once it is closed.

        Raises ConnectionError when the other side is gone.
        """
        waiting: list[bytes] = []
        size = 0
        for piece in pieces:
            waiting.append(piece)
            size += len(piece)
            if size >= WRITE_BYTES:
                await self._write(writer, waiting)
                waiting, size = [], 0
                if self.feed.reader.closed is not None:
                    return
        if waiting:
            await self._write(writer, waiting)

    async def _write(self, writer: AbstractStreamWriter, pieces: list[bytes]) -> None:
        self._writing = True
        await writer.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self._writing = False
        self.last_write = asyncio.get_running_loop().time()

    def look_after(self, now: float, heartbeat_s: float) -> None:
        """Ask for a sign of life after ``heartbeat_s`` of silence; cut the connection when a write hangs."""
        silent_s = now - self.last_write
        if self._writing:
            if silent_s > STALL_S:
                self.cut()
        elif self.sends_heartbeats and silent_s >= heartbeat_s:
            self.feed.nudge()

    def cut(self) -> None:
        """End the connection without waiting for what is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def _cut_if_writing(self) -> None:
        if self._writing:
            self.cut()


class Streams:
    """All open streams of the daemon."""

    def __init__(self, event_log: EventLog, settings: StreamSettings | None = None, clock: Clock | None = None) -> None:
        self.settings = settings or StreamSettings()
        self._clock = clock or Clock()
        self._log = event_log
        self._open: dict[Stream, None] = {}
        self._by_principal: dict[str, int] = {}
        self._stopping = False
        self._timer: asyncio.TimerHandle | None = None
        self._tick_s = min(1.0, self.settings.heartbeat_s / 4)

    @property
    def count(self) -> int:
        """Open streams."""
        return len(self._open)

    def open(
        self,
        call: Call,
        org_ids: Collection[str],
        *,
        story: Story | None = None,
        kinds: frozenset[str] | None = None,
        sends_heartbeats: bool = True,
    ) -> Stream:
        """A stream for the caller of ``call``, subscribed when this returns; :meth:`release` it in the end.

        Call it before anything is awaited in the handler: from here on a revoked key closes the stream.
        Raises ``rate_limited`` when too many are open, ``unavailable`` when the daemon stops.
        """
        principal = call.who
        self._admit(principal)
        reader = self._log.hub.open(org_ids, story=story, kinds=kinds, tag=principal.id)
        stream = Stream(Feed(self._log, reader), principal, call.request, sends_heartbeats=sends_heartbeats)
        self._open[stream] = None
        self._by_principal[principal.id] = self._by_principal.get(principal.id, 0) + 1
        if self._timer is None:
            self._tick()
        return stream

    def narrow(self, stream: Stream, kinds: frozenset[str] | None) -> None:
        """Go on with other kinds from now on; what was still to be sent is sent first."""
        old = stream.feed.reader
        hub = self._log.hub
        reader = hub.open(old.org_ids, kinds=kinds, tag=old.tag)
        reader.on_close, reader.closed = old.on_close, old.closed
        hub.release(old)
        feed = Feed(self._log, reader)
        feed.carry_on(stream.feed)
        stream.feed = feed

    def release(self, stream: Stream) -> None:
        """The stream is over."""
        if stream not in self._open:
            return
        del self._open[stream]
        self._log.hub.release(stream.feed.reader)
        stream.feed.reader.on_close = None
        left = self._by_principal[stream.principal_id] - 1
        if left:
            self._by_principal[stream.principal_id] = left
        else:
            del self._by_principal[stream.principal_id]

    def stop(self) -> None:
        """Close every stream and open no more: the daemon stops."""
        self._stopping = True
        self._log.hub.close_all(STOPPING)

    def _admit(self, principal: Principal) -> None:
        if self._stopping:
            raise AlloydError(Code.UNAVAILABLE, "the daemon is stopping", retry_after_s=RETRY_AFTER_S)
        if self._by_principal.get(principal.id, 0) >= self.settings.streams_per_principal_max:
            most = self.settings.streams_per_principal_max
            message = f"{most} streams are open with this credential; close one first"
            raise AlloydError(Code.RATE_LIMITED, message, retry_after_s=RETRY_AFTER_S)
        if len(self._open) >= self.settings.streams_max:
            raise AlloydError(Code.RATE_LIMITED, "too many streams are open; try again", retry_after_s=RETRY_AFTER_S)

    def _tick(self) -> None:
        """One timer for all streams: one for each wait would cost more than the events do."""
        if not self._open:
            self._timer = None
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        heartbeat_s = self.settings.heartbeat_s - self._tick_s
        now_ms = self._clock.now_ms()
        for stream in list(self._open):
            if stream.expires_at is not None and stream.expires_at <= now_ms:
                stream.feed.reader.close(EXPIRED)
            stream.look_after(now, heartbeat_s)
        self._timer = loop.call_later(self._tick_s, self._tick)


def parse_kinds(kinds: Collection[str], field: str = "kinds") -> frozenset[str] | None:
    """The kinds asked for; None means all. ``workflow.*`` is all that begin so. Raises ``bad_request``."""
    wanted = {kind.strip() for kind in kinds} - {""}
    if "*" in wanted or not wanted:
        return None
    if len(wanted) > KINDS_MAX:
        raise bad_request(f"{field}: more than {KINDS_MAX} kinds", field)
    for kind in sorted(wanted):
        if len(kind) > 100 or not _KIND.match(kind):
            raise bad_request(f"{field}: not an event kind: {kind[:100]!r}; such as workflow.run.started", field)
    return frozenset(wanted)


def last_event_id(call: Call, in_query: str | None) -> str | None:
    """Where the caller wants to go on: the header that browsers send, or the query for a first connection."""
    return call.request.headers.get("Last-Event-ID") or in_query or None
