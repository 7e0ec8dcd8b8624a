"""What every reader has to get: the one sequence of frames, which is kept once and compared by its bytes.

Comparing a piece of a stream with bytes that are there already costs next to nothing, so that one process can check a
thousand readers in full. Only what is new, or differs, is taken apart.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

FAULTS_TOLD_MAX = 20

_TIMESTAMP = re.compile(rb'"timestamp":"([^"]+)"')
_SSE_ID = re.compile(rb"id: ([0-9]+)\n")
_JSON_ID = re.compile(rb'\{"id":"([0-9]+)"')

_PING, _CLOSE, _TEXT = 9, 8, 1


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of a stream. ``event_id`` is None for what is no event; ``ping`` is what a pong has to answer."""

    end: int
    event_id: int | None = None
    ping: bytes | None = None


Split = Callable[[bytes], Iterator[Frame]]


def split_sse(data: bytes) -> Iterator[Frame]:
    """The whole frames that ``data`` begins with. Raises ValueError for what is neither event nor comment."""
    start = 0
    while (found := data.find(b"\n\n", start)) >= 0:
        end = found + 2
        if data.startswith(b":", start):
            yield Frame(end)
        else:
            known = _SSE_ID.match(data, start)
            if known is None:
                raise ValueError(f"not an event: {data[start : start + 200]!r}")
            yield Frame(end, int(known[1]))
        start = end


def split_websocket(data: bytes) -> Iterator[Frame]:
    """The same for a server's WebSocket frames, which are whole messages. Raises ValueError for others."""
    start = 0
    while len(data) - start >= 2:
        opcode, length, begin = data[start], data[start + 1], start + 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(data) - begin < width:
                return
            length, begin = int.from_bytes(data[begin : begin + width], "big"), begin + width
        end = begin + length
        if end > len(data):
            return
        if opcode == 0x80 | _PING:
            yield Frame(end, ping=data[begin:end])
        else:
            known = _JSON_ID.match(data, begin)
            if opcode != 0x80 | _TEXT or known is None:
                raise ValueError(f"not an event: {data[start : start + 200]!r}")
            yield Frame(end, int(known[1]))
        start = end


@dataclass(slots=True)
class Story:
    """All frames that any reader of one dialect has had, in the order of the first to have them."""

    split: Split
    content: bytearray = field(default_factory=bytearray)
    ids: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    committed_ms: list[float] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0

    def append(self, event_id: int, frame: bytes) -> None:
        """What nobody has had before."""
        self.places[event_id] = len(self.ids)
        self.ids.append(event_id)
        self.content += frame
        self.ends.append(len(self.content))
        told = _TIMESTAMP.findall(frame)[-1].decode()
        self.committed_ms.append(datetime.fromisoformat(told).timestamp() * 1000)

    def begin_of(self, place: int) -> int:
        """Where in :attr:`content` the frame of ``place`` begins."""
        return self.ends[place - 1] if place else 0

    def accuse(self, fault: str) -> None:
        """Note what should not be."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_TOLD_MAX:
            self.faults.append(fault)


class Follower:
    """One reader's way along the story, over all its connections."""

    __slots__ = ("_held", "_name", "_position", "first", "next", "story")

    def __init__(self, story: Story, name: str) -> None:
        self.story = story
        self.first: int | None = None  # the place of its first event
        self.next = 0  # the place of the event that has to come next, once there was one
        self._name = name
        self._position = 0  # how far its bytes are known to be the story's, begun frames with them
        self._held = b""  # begins at _position; no part of the story yet

    @property
    def last_id(self) -> int | None:
        """The last event that it had in full."""
        return None if self.first is None or not self.next else self.story.ids[self.next - 1]

    @property
    def had(self) -> int:
        """How many events."""
        return 0 if self.first is None else self.next - self.first

    def reconnect(self) -> None:
        """Forget the frame that was begun: the stream goes on behind :attr:`last_id`."""
        self._held = b""
        self._position = self.story.begin_of(self.next)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came. What pings said that have to be answered, oldest first. Raises ValueError for no frames."""
        if self._held:
            data, self._held = self._held + data, b""
        story = self.story
        if self.first is not None and story.content.startswith(data, self._position):
            self._position += len(data)
            if self._position >= (story.ends[self.next] if self.next < len(story.ends) else len(story.content) + 1):
                self.next = bisect_right(story.ends, self._position, self.next)
            return []
        begin = story.begin_of(self.next) if self.first is not None else 0
        if begin < self._position:
            data = bytes(story.content[begin : self._position]) + data
        return self._take_apart(data)

    def _take_apart(self, data: bytes) -> list[bytes]:
        pings: list[bytes] = []
        start = 0
        for frame in self.story.split(data):
            if frame.event_id is not None:
                self._take(frame.event_id, data[start : frame.end])
            elif frame.ping is not None:
                pings.append(frame.ping)
            start = frame.end
        self._held = data[start:]
        self._position = self.story.begin_of(self.next)
        return pings

    def _take(self, event_id: int, frame: bytes) -> None:
        story = self.story
        place = story.places.get(event_id)
        if place is None and (not story.ids or event_id > story.ids[-1]):
            place = len(story.ids)
            story.append(event_id, frame)
        if place is None:
            story.accuse(f"{self._name}: event {event_id}, which others did not get")
            return
        if self.first is None:
            self.first = self.next = place
        if place != self.next:
            before = self.last_id
            what = "once more" if place < self.next else f"{place - self.next} events are missing"
            story.accuse(f"{self._name}: event {event_id} after {before}: {what}")
        elif story.content[story.begin_of(place) : story.ends[place]] != frame:
            story.accuse(f"{self._name}: event {event_id} is not what others got: {frame[:300]!r}")
        self.next = max(self.next, place + 1)
