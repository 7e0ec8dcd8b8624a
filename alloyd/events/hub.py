"""Fan-out of committed events to live readers, each with a bounded queue and catch-up from the table."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from alloyd.events.model import Event, Story

K = TypeVar("K")

# Up to so many readers get events with each commit; more of them in turns, each with all that came since the last, so
# that they never take most of the loop's time.
_READERS_WOKEN_AT_ONCE = 32
_WAKE_PAUSE_S_MAX = 0.05

# So that what is written to one reader at a time, and waits for it in memory, stays small.
_BATCH_EVENTS_MAX = 100

_TEXT = 0x81  # the first byte of a WebSocket frame: the last of its message, which is text

RevocationWatcher = Callable[[str], None]
Listener = Callable[[Sequence[Event]], None]


class Batch:
    """Events that reach a reader together, oldest first. One object for all its readers, so it is encoded once."""

    __slots__ = ("_frames", "_messages", "events")

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self._frames: bytes | None = None
        self._messages: bytes | None = None

    def to_frames(self) -> bytes:
        """All of it as server-sent events."""
        if self._frames is None:
            events = self.events
            self._frames = (
                events[0].to_frame() if len(events) == 1 else b"".join([event.to_frame() for event in events])
            )
        return self._frames

    def to_messages(self) -> bytes:
        """All of it as a server's WebSocket frames, a text message for each event. A server's are not masked."""
        if self._messages is None:
            pieces: list[bytes] = []
            for event in self.events:
                encoded = event.to_json()
                pieces += (_message_head(len(encoded)), encoded)
            self._messages = b"".join(pieces)
        return self._messages


def _message_head(length: int) -> bytes:
    """RFC 6455, section 5.2: a whole text message."""
    if length < 126:
        return bytes((_TEXT, length))
    if length < 0x10000:
        return struct.pack("!BBH", _TEXT, 126, length)
    return struct.pack("!BBQ", _TEXT, 127, length)


class Reader:
    """One live reader's place in the hub.

    ``wait`` then ``take``: the events that came since, in order. When more came than the queue holds, ``missed`` is
    set and the queue is empty: the reader then calls ``recover``, reads the table after the last id it has, and loses
    nothing. ``closed`` says why the daemon ended it; ``on_close`` is called then, for a reader that hangs in a write.
    """

    __slots__ = (
        "_exact",
        "_prefixes",
        "_queue",
        "_queued",
        "_wake",
        "closed",
        "kinds",
        "missed",
        "on_close",
        "org_ids",
        "queue_max",
        "story",
        "tag",
    )

    def __init__(
        self, org_ids: Collection[str], story: Story | None, kinds: frozenset[str] | None, queue_max: int, tag: str
    ) -> None:
        self.org_ids = frozenset(org_ids)
        self.story = story
        self.kinds = kinds
        self.queue_max = queue_max
        self.tag = tag
        self.missed = False
        self.closed: str | None = None
        self.on_close: Callable[[], None] | None = None
        self._exact = frozenset(kind for kind in kinds or () if not kind.endswith(".*"))
        self._prefixes = tuple(kind[:-1] for kind in kinds or () if kind.endswith(".*"))
        self._queue: deque[Batch] = deque()
        self._queued = 0
        self._wake = asyncio.Event()

    def wants(self, kind: str) -> bool:
        """Whether ``kind`` is among those asked for; ``workflow.*`` asks for all that begin so."""
        return self.kinds is None or kind in self._exact or kind.startswith(self._prefixes)

    @property
    def has_queued(self) -> bool:
        """Whether :meth:`take` has something to give."""
        return bool(self._queue)

    def push(self, batch: Batch) -> None:
        """Called by the hub, which wakes the reader afterwards."""
        if self.missed:
            return
        self._queued += len(batch.events)
        if self._queued > self.queue_max:
            self._queue.clear()
            self._queued = 0
            self.missed = True
        else:
            self._queue.append(batch)

    def wake(self) -> None:
        """Let a waiting reader look up, whether there is something to take or not."""
        self._wake.set()

    def close(self, reason: str) -> None:
        """End the reader from the daemon's side: its key was revoked, or the daemon stops."""
        if self.closed is None:
            self.closed = reason
            if self.on_close is not None:
                self.on_close()
        self._wake.set()

    def recover(self) -> None:
        """Queue again from now on; what was missed is in the table already."""
        self.missed = False
        self._queue.clear()
        self._queued = 0

    async def look_up(self) -> None:
        """Wait for the next ``wake``, ``close`` or event."""
        await self._wake.wait()
        self._wake.clear()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to take; False when ``timeout_s`` passed first."""
        if self._queue or self.missed or self.closed:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self.look_up()
        except TimeoutError:
            return False
        return True

    def take(self) -> list[Event]:
        """All queued events, oldest first; they leave the queue."""
        return [event for batch in self.take_batches() for event in batch.events]

    def take_batches(self) -> Sequence[Batch]:
        """:meth:`take`, in the batches that they came in."""
        if not self._queue:
            return ()
        taken = list(self._queue)
        self._queue.clear()
        self._queued = 0
        return taken


# A set that keeps its order: a reader leaves in one step, however many there are.
_Readers = dict[Reader, None]


class Hub:
    """Knows the live readers. Publishing never waits for any of them."""

    def __init__(self, queue_max: int = 1000) -> None:
        self.last_id = 0
        self.queue_max = queue_max
        self.reader_count = 0  # live readers now
        # By run or job, by organization, and by set of organizations where a caller has several.
        self._by_run: dict[str, _Readers] = {}
        self._by_job: dict[str, _Readers] = {}
        self._by_org: dict[str, _Readers] = {}
        self._by_orgs: dict[frozenset[str], _Readers] = {}
        self._watchers: list[RevocationWatcher] = []
        self._listeners: list[Listener] = []
        self._published: list[Event] = []  # and not pushed yet: the next turn does
        self._to_wake: dict[Reader, None] = {}
        self._wake_at = 0.0  # no turn of waking before this, in the loop's time
        self._turn_planned = False

    def open(
        self,
        org_ids: Collection[str],
        *,
        story: Story | None = None,
        kinds: frozenset[str] | None = None,
        tag: str = "",
    ) -> Reader:
        """A reader of one run's or job's events, or of all events of ``org_ids``. ``tag`` names its credential."""
        self._push_published()  # it begins with what comes next, and a reader that it takes over from has all before
        reader = Reader(org_ids, story, kinds, self.queue_max, tag)
        if story is not None:
            self._told_of(story).setdefault(story.id, {})[reader] = None
        elif len(reader.org_ids) == 1:
            self._by_org.setdefault(next(iter(reader.org_ids)), {})[reader] = None
        else:
            self._by_orgs.setdefault(reader.org_ids, {})[reader] = None
        self.reader_count += 1
        return reader

    def release(self, reader: Reader) -> None:
        """Forget a reader that is done."""
        if reader.story is not None:
            known = _remove(self._told_of(reader.story), reader.story.id, reader)
        elif len(reader.org_ids) == 1:
            known = _remove(self._by_org, next(iter(reader.org_ids)), reader)
        else:
            known = _remove(self._by_orgs, reader.org_ids, reader)
        self.reader_count -= known

    def _told_of(self, story: Story) -> dict[str, _Readers]:
        return self._by_run if story.of == "run" else self._by_job

    def attach(self, listener: Listener) -> None:
        """Call ``listener(events)`` with all that is published: alloyd's own consumers. It must not raise or block."""
        self._listeners.append(listener)

    def detach(self, listener: Listener) -> None:
        """The opposite of :meth:`attach`."""
        self._listeners.remove(listener)

    def publish(self, events: Sequence[Event]) -> None:
        """Hand on events that are durable, in the order of their ids."""
        self.last_id = max(self.last_id, events[-1].id)
        for listener in self._listeners:
            listener(events)
        if not self.reader_count:
            return
        self._published += events
        if self.reader_count <= _READERS_WOKEN_AT_ONCE:
            self._push_published()
            self._wake_all()
        else:
            self._plan_turn()

    def _push_published(self) -> None:
        events, self._published = self._published, []
        if not events:
            return
        if self._by_run:
            self._push_stories(self._by_run, _grouped(events, lambda event: event.run_id))
        if self._by_job:
            self._push_stories(self._by_job, _grouped(events, lambda event: event.job_id))
        if self._by_org:
            for org_id, of_org in _grouped(events, lambda event: event.org_id).items():
                self._push(self._by_org.get(org_id, ()), of_org)
        for org_ids, many in self._by_orgs.items():
            self._push(many, [event for event in events if event.org_id in org_ids])

    def _push_stories(self, index: dict[str, _Readers], stories: dict[str, list[Event]]) -> None:
        for story_id, told in stories.items():
            # A run or job belongs to one organization, so its first event speaks for all of them.
            readers = index.get(story_id, {})
            self._push([reader for reader in readers if told[0].org_id in reader.org_ids], told)

    def _push(self, readers: Iterable[Reader], events: Sequence[Event]) -> None:
        """Give ``events`` to each of ``readers``: the same batches for all that want the same of them."""
        batches: dict[frozenset[str] | None, list[Batch]] = {}
        for reader in readers:
            kinds = reader.kinds
            if kinds not in batches:
                wanted = events if kinds is None else [event for event in events if reader.wants(event.kind)]
                starts = range(0, len(wanted), _BATCH_EVENTS_MAX)
                batches[kinds] = [Batch(wanted[start : start + _BATCH_EVENTS_MAX]) for start in starts]
            for batch in batches[kinds]:
                reader.push(batch)
                self._to_wake[reader] = None

    # -- waking ----------------------------------------------------------------------------------------------

    def _plan_turn(self) -> None:
        """The next turn leaves the loop as much time as the last one took of it."""
        if self._turn_planned:
            return
        loop = asyncio.get_running_loop()
        self._turn_planned = True
        if loop.time() >= self._wake_at:
            loop.call_soon(self._take_turn, loop)
        else:
            loop.call_at(self._wake_at, self._take_turn, loop)

    def _take_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turn_planned = False
        started = loop.time()
        self._push_published()
        self._wake_all()
        # Runs behind all that was woken just now: the loop is first in, first out.
        loop.call_soon(lambda: loop.call_soon(self._end_turn, loop, started))

    def _end_turn(self, loop: asyncio.AbstractEventLoop, started: float) -> None:
        ended = loop.time()
        self._wake_at = ended + min(ended - started, _WAKE_PAUSE_S_MAX)

    def _wake_all(self) -> None:
        for reader in self._to_wake:
            reader.wake()
        self._to_wake.clear()

    # -- ending ----------------------------------------------------------------------------------------------

    def watch_revocations(self, watcher: RevocationWatcher) -> None:
        """Call ``watcher(tag)`` whenever the readers of a credential are closed."""
        self._watchers.append(watcher)

    def close_tagged(self, tag: str, reason: str) -> int:
        """Close every reader of one credential; how many there were."""
        for watcher in self._watchers:
            watcher(tag)
        return self._close(lambda reader: reader.tag == tag, reason)

    def close_all_tagged(self, tags: Collection[str], reason: str) -> int:
        """:meth:`close_tagged` for many at once."""
        for watcher in self._watchers:
            for tag in tags:
                watcher(tag)
        ended = frozenset(tags)
        return self._close(lambda reader: reader.tag in ended, reason)

    def close_all(self, reason: str) -> int:
        """Close every reader: the daemon stops."""
        return self._close(lambda _reader: True, reason)

    def _close(self, matches: Callable[[Reader], bool], reason: str) -> int:
        indexes = (*self._by_run.values(), *self._by_job.values(), *self._by_org.values(), *self._by_orgs.values())
        found = {reader: None for readers in indexes for reader in readers if matches(reader)}
        for reader in found:
            reader.close(reason)
        return len(found)


def _grouped(events: Sequence[Event], key_of: Callable[[Event], str | None]) -> dict[str, list[Event]]:
    grouped: dict[str, list[Event]] = {}
    for event in events:
        key = key_of(event)
        if key is not None:
            grouped.setdefault(key, []).append(event)
    return grouped


def _remove(index: dict[K, _Readers], key: K, reader: Reader) -> bool:
    readers = index.get(key)
    if readers is None or reader not in readers:
        return False
    del readers[reader]
    if not readers:
        del index[key]
    return True
