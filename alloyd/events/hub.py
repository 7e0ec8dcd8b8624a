"""Fan-out of committed events to live readers, each with a bounded queue and catch-up from the table."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence

from alloyd.events.model import Event


class Reader:
    """One live reader's place in the hub.

    ``wait`` then ``take``: the events that came since, in order. When more came than the queue holds, ``missed`` is
    set and the queue is empty: the reader then reads the table after the last id it has, and loses nothing.
    """

    __slots__ = ("_queue", "_wake", "closed", "kinds", "missed", "org_ids", "queue_max", "run_id", "tag")

    def __init__(
        self, org_ids: Collection[str], run_id: str | None, kinds: frozenset[str] | None, queue_max: int, tag: str
    ) -> None:
        self.org_ids = frozenset(org_ids)
        self.run_id = run_id
        self.kinds = kinds
        self.queue_max = queue_max
        self.tag = tag
        self.missed = False
        self.closed: str | None = None
        self._queue: deque[Event] = deque()
        self._wake = asyncio.Event()

    def wants(self, kind: str) -> bool:
        """Whether ``kind`` is among those asked for; ``workflow.*`` asks for all that begin so."""
        if self.kinds is None or kind in self.kinds:
            return True
        return any(wanted.endswith(".*") and kind.startswith(wanted[:-1]) for wanted in self.kinds)

    def push(self, event: Event) -> None:
        """Called by the hub."""
        if self.missed:
            return
        if len(self._queue) >= self.queue_max:
            self._queue.clear()
            self.missed = True
        else:
            self._queue.append(event)
        self._wake.set()

    def close(self, reason: str) -> None:
        """End the reader from the daemon's side: its key was revoked, or the daemon stops."""
        self.closed = reason
        self._wake.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to take; False when ``timeout_s`` passed first."""
        if self._queue or self.missed or self.closed:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> list[Event]:
        """All queued events, oldest first; they leave the queue."""
        taken = list(self._queue)
        self._queue.clear()
        self._wake.clear()
        return taken


class Hub:
    """Knows the live readers. Publishing never waits for any of them."""

    def __init__(self, queue_max: int = 1000) -> None:
        self.last_id = 0
        self.queue_max = queue_max
        self._by_run: dict[str, list[Reader]] = {}
        self._by_org: dict[str, list[Reader]] = {}

    @property
    def reader_count(self) -> int:
        """Live readers now."""
        by_org = {id(reader) for readers in self._by_org.values() for reader in readers}
        return len(by_org) + sum(len(readers) for readers in self._by_run.values())

    def open(
        self,
        org_ids: Collection[str],
        *,
        run_id: str | None = None,
        kinds: frozenset[str] | None = None,
        tag: str = "",
    ) -> Reader:
        """A reader of one run's events, or of all events of ``org_ids``. ``tag`` names its credential."""
        reader = Reader(org_ids, run_id, kinds, self.queue_max, tag)
        if run_id is not None:
            self._by_run.setdefault(run_id, []).append(reader)
        else:
            for org_id in reader.org_ids:
                self._by_org.setdefault(org_id, []).append(reader)
        return reader

    def release(self, reader: Reader) -> None:
        """Forget a reader that is done."""
        if reader.run_id is not None:
            _remove(self._by_run, reader.run_id, reader)
            return
        for org_id in reader.org_ids:
            _remove(self._by_org, org_id, reader)

    def publish(self, events: Sequence[Event]) -> None:
        """Hand on events that are durable, in the order of their ids."""
        self.last_id = max(self.last_id, events[-1].id)
        by_run, by_org = self._by_run, self._by_org
        if not by_run and not by_org:
            return
        for event in events:
            if event.run_id is not None:
                for reader in by_run.get(event.run_id, ()):
                    if event.org_id in reader.org_ids:
                        reader.push(event)
            for reader in by_org.get(event.org_id, ()):
                if reader.wants(event.kind):
                    reader.push(event)

    def close_tagged(self, tag: str, reason: str) -> int:
        """Close every reader of one credential; how many there were."""
        return self._close(lambda reader: reader.tag == tag, reason)

    def close_all(self, reason: str) -> int:
        """Close every reader: the daemon stops."""
        return self._close(lambda _reader: True, reason)

    def _close(self, matches: Callable[[Reader], bool], reason: str) -> int:
        found = {
            id(reader): reader
            for readers in (*self._by_run.values(), *self._by_org.values())
            for reader in readers
            if matches(reader)
        }
        for reader in found.values():
            reader.close(reason)
        return len(found)


def _remove(index: dict[str, list[Reader]], key: str, reader: Reader) -> None:
    readers = index.get(key)
    if readers is None:
        return
    if reader in readers:
        readers.remove(reader)
    if not readers:
        del index[key]
