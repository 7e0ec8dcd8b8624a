"""One reader's way through history and into what happens now: in order, nothing missing, nothing twice."""

from __future__ import annotations

import re
from collections.abc import Sequence

from alloyd.events.hub import Batch, Reader
from alloyd.events.model import Event
from alloyd.events.service import EventLog

PAGE_EVENTS = 200

_EVENT_ID = re.compile(r"[0-9]{1,18}\Z")  # fits SQLite's integers


class Feed:
    """The events of a :class:`Reader`, which is open before history is read, so that no event falls between.

    What comes twice, from the table and from the hub, is told apart by its id: ids grow with the order of commits.
    A new feed is live; :meth:`replay` and :meth:`resume` say where to begin instead.
    """

    def __init__(self, log: EventLog, reader: Reader) -> None:
        self.reader = reader
        self.last_id = log.hub.last_id
        self.ended = False  # the run's or job's terminal event was handed out
        self._log = log
        self._behind = False
        self._ask_if_ended = False
        self._is_over = False
        self._nudged = False
        self._earlier_reader: Reader | None = None  # decides what was wanted up to _earlier_until
        self._earlier_until = 0

    def replay(self, *, is_over: bool = False) -> None:
        """Begin with the oldest event. ``is_over``: nothing more will come, whatever history shows."""
        self.last_id = 0
        self._behind = True
        self._is_over = is_over

    async def resume(self, event_id: str, *, is_over: bool = False) -> None:
        """Begin after ``event_id``; with the oldest event when it is not an id that this reader can have seen."""
        self.replay(is_over=is_over)
        if not _EVENT_ID.match(event_id):
            return
        number, reader = int(event_id), self.reader
        if reader.story is None:
            known = await self._log.exists(reader.org_ids, number)
        else:
            known = await self._log.exists_in_story(_only(reader), reader.story, number)
        if known:
            self.last_id = number
            self._ask_if_ended = reader.story is not None

    def carry_on(self, earlier: Feed) -> None:
        """Begin where ``earlier``, whose reader is released, was told to stop: with what it had not handed out yet."""
        if earlier.has_backlog:
            self._earlier_reader, self._earlier_until = earlier.reader, self.last_id
            self.last_id = earlier.last_id
            self._behind = True

    @property
    def has_backlog(self) -> bool:
        """Whether there are events to hand out without waiting."""
        return self._behind or self.reader.missed or self.reader.has_queued

    def nudge(self) -> None:
        """Make :meth:`read` answer soon, with nothing if there is nothing."""
        self._nudged = True
        self.reader.wake()

    async def read(self) -> Sequence[Batch] | None:
        """The next events, oldest first. Empty after a :meth:`nudge`; None when no more will come.

        No more will come once a run's or job's terminal event was handed out, or when the reader was closed:
        ``reader.closed`` says why.
        """
        reader = self.reader
        while reader.closed is None and not self.ended:
            if reader.missed:
                reader.recover()
                self._behind = True
            if self._behind:
                batches = await self._read_history()
            else:
                batches = [fresh for batch in reader.take_batches() if (fresh := self._fresh(batch)) is not None]
            if batches:
                return batches
            if self._nudged:
                self._nudged = False
                return ()
            if not self._behind and not reader.missed and not self.ended:
                await reader.look_up()
        return None

    async def _read_history(self) -> list[Batch]:
        reader = self.reader
        if reader.story is None:
            page, more = await self._log.pages.page(reader.org_ids, self.last_id, PAGE_EVENTS)
        else:
            told = await self._log.list_of_story(_only(reader), reader.story, self.last_id, PAGE_EVENTS)
            page, more = Batch(told), len(told) == PAGE_EVENTS
        events = page.events
        if events:
            self.last_id = events[-1].id
        self._behind = more
        wanted = self._until_end([event for event in events if self._wants(event)])
        if not self._behind and not self.ended:
            await self._find_end(events)
        if not wanted:
            return []
        return [page if len(wanted) == len(events) else Batch(wanted)]

    def _wants(self, event: Event) -> bool:
        earlier = self._earlier_reader
        reader = earlier if earlier is not None and event.id <= self._earlier_until else self.reader
        return reader.wants(event.kind)

    async def _find_end(self, page: Sequence[Event]) -> None:
        """The terminal event may lie before where this feed began, or be deleted by now."""
        if self._ask_if_ended and not page:
            assert self.reader.story is not None
            self._is_over |= await self._log.story_has_ended(_only(self.reader), self.reader.story)
        self._ask_if_ended = False
        self.ended = self._is_over

    def _fresh(self, batch: Batch) -> Batch | None:
        """What of ``batch`` was not handed out yet."""
        events: Sequence[Event] = batch.events
        if events[0].id <= self.last_id:
            events = [event for event in events if event.id > self.last_id]
            if not events:
                return None
        self.last_id = events[-1].id
        if self.reader.story is not None:
            events = self._until_end(events)
        return batch if len(events) == len(batch.events) else Batch(events)

    def _until_end(self, events: Sequence[Event]) -> Sequence[Event]:
        story = self.reader.story
        if story is None:
            return events
        for place, event in enumerate(events):
            if event.ends(story):
                self.ended = True
                return events[: place + 1]
        return events


def _only(reader: Reader) -> str:
    """The one organization of a run's or job's reader."""
    (org_id,) = reader.org_ids
    return org_id
