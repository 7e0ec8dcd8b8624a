"""A durable reader of all events that acts on some of them, each exactly once, over restarts and kills.

What it does with an event and how far it has come are one write. It lives from the hub: no read for each event. At the
start, and after falling behind, it reads the table from its cursor on; a new one begins with what happens next.

Retention keeps what a consumer has not passed. So whoever retires a consumer deletes its row of ``event_cursors`` in a
migration.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from alloyd.db import Database, Tx
from alloyd.errors import AlloydError, Code
from alloyd.events import store
from alloyd.events.hub import Hub
from alloyd.events.model import Event
from alloyd.events.service import EventLog
from alloyd.log import get_logger

log = get_logger("alloyd.events")

PAGE_EVENTS = 200
BATCH_EVENTS_MAX = 100  # handed over in one write
QUEUE_EVENTS_MAX = 1000
QUEUE_BYTES_MAX = 16 * 1024 * 1024
# Events that nobody wanted may pass before the cursor is written down: what a restart reads again at most.
UNSAVED_EVENTS_MAX = 10_000
SAVE_INTERVAL_S = 60.0
TRIES_MAX = 5
RETRY_S = 1.0  # doubled at each further try
SKIPPED_KIND = "system.event_skipped"


class _MovedError(Exception):
    """The cursor is not where this reader left it: a write that it had given up was committed after all."""


class EventConsumer:
    """One named reader. ``wanted(event)`` is asked on the event loop for every event there is: it must be cheap.

    ``handle(tx, events)`` gets the wanted ones, oldest first, on the writer's thread, in the write that also moves the
    cursor; its reads see all that was committed before. When it raises, the events are tried one by one; one that
    failed :data:`TRIES_MAX` times is logged, told by ``system.event_skipped`` and passed over. A full or failing disk
    (``unavailable``) does not count as a try. Consumers never get ``system.event_skipped`` themselves.
    """

    def __init__(
        self,
        database: Database,
        hub: Hub,
        event_log: EventLog,
        name: str,
        wanted: Callable[[Event], bool],
        handle: Callable[[Tx, list[Event]], None],
        *,
        queue_max: int = QUEUE_EVENTS_MAX,
        unsaved_max: int = UNSAVED_EVENTS_MAX,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._database = database
        self._hub = hub
        self._log = event_log
        self._wanted = wanted
        self._handle = handle
        self._queue_max = queue_max
        self._unsaved_max = unsaved_max
        self._pause = pause
        self._queue: deque[Event] = deque()
        self._queue_bytes = 0
        self._saved = 0  # the cursor as it stands in the table
        self._seen = 0  # all events up to here were looked at
        self._behind = True  # the table has to be read to go on
        self._begun = False
        self._under_way: int | None = None  # the first event of what is handed over, taken from the queue
        self.skipped_total = 0  # events that could not be handled and were passed over, in this process's life
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()

    async def start(self) -> None:
        """Make the cursor if this consumer is new: it then gets every event from now on. :meth:`run` does it too."""
        await self._database.write(lambda tx: store.insert_cursor(tx, self.name))

    async def run(self) -> None:
        """Work for ever. When it ends by an error it can be run again, and goes on where it was."""
        await self.start()
        self._behind = True
        self._hub.attach(self._take_in)
        try:
            while True:
                try:
                    await self._begin()
                    while True:
                        await self._turn()
                except _MovedError:
                    log.warning("a consumer's cursor had moved; it is read again", consumer=self.name)
        finally:
            self._hub.detach(self._take_in)

    async def settle(self) -> None:
        """Wait until everything that was published before has been handled; :meth:`run` has to be under way."""
        while not self._idle.is_set() or self._behind or self._queue or self._has_to_save:
            self._idle.clear()
            self._wake.set()
            await self._idle.wait()

    @property
    def last_id(self) -> int:
        """All events up to this id were looked at, and what was wanted of them is handled or queued."""
        return self._seen

    @property
    def lag(self) -> int:
        """How many of the events that there are, wanted or not, come behind the last one that is done with."""
        if not self._begun:
            return 0
        done = self._seen
        if self._queue:
            done = min(done, self._queue[0].id - 1)
        if self._under_way is not None:
            done = min(done, self._under_way - 1)
        return max(0, self._hub.last_id - done)

    @property
    def _has_to_save(self) -> bool:
        return self._seen - self._saved >= self._unsaved_max

    # -- on the event loop, with every commit ------------------------------------------------------------------

    def _take_in(self, events: Sequence[Event]) -> None:
        if self._behind:
            return
        seen, wanted = self._seen, self._wanted
        try:  # nearly all events of a busy daemon are wanted by nobody: this is all that they cost
            taken = [event for event in events if wanted(event) and event.id > seen and event.kind != SKIPPED_KIND]
        except Exception:
            taken = [event for event in events if event.id > seen and self._wants(event)]
        for event in taken:
            self._queue.append(event)
            self._queue_bytes += len(event.payload)
        self._seen = max(seen, events[-1].id)
        if self._queue_bytes > QUEUE_BYTES_MAX or len(self._queue) > self._queue_max:
            self._fall_behind()
        if self._queue or self._behind or self._has_to_save:
            self._wake.set()

    def _wants(self, event: Event) -> bool:
        if event.kind == SKIPPED_KIND:
            return False
        try:
            return self._wanted(event)
        except Exception as error:  # to be handled, which tells what is wrong if it fails as well
            log.error("a consumer's filter failed", consumer=self.name, event_id=event.id, exc_info=error)
            return True

    def _fall_behind(self) -> None:
        """Forget the queue: what it held is in the table, behind the last event that was handled."""
        if self._queue:
            self._seen = min(self._seen, self._queue[0].id - 1)
        self._queue.clear()
        self._queue_bytes = 0
        self._behind = True

    # -- the loop ------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        self._fall_behind()
        self._saved = self._seen = await self._database.read(lambda conn: store.get_cursor(conn, self.name))
        self._begun = True

    async def _turn(self) -> None:
        self._wake.clear()
        if self._behind:
            await self._catch_up()
        elif self._queue:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_EVENTS_MAX))]
            self._queue_bytes -= sum(len(event.payload) for event in batch)
            self._under_way = batch[0].id
            try:
                await self._deliver(batch, batch[-1].id if self._queue else self._seen)
            finally:
                self._under_way = None
        elif self._has_to_save:
            await self._deliver([], self._seen)
        else:
            await self._rest()

    async def _catch_up(self) -> None:
        """A page of the table. Live again when nothing was published beyond what has been read."""
        self._idle.clear()
        after = self._seen
        page = await self._log.list_all(after, PAGE_EVENTS)
        upto = page[-1].id if page else after
        matched = [event for event in page if self._wants(event)]
        for start in range(0, len(matched), BATCH_EVENTS_MAX):
            batch = matched[start : start + BATCH_EVENTS_MAX]
            await self._deliver(batch, upto if batch[-1] is matched[-1] else batch[-1].id)
        self._seen = upto
        if self._has_to_save:
            await self._deliver([], self._seen)
        if self._hub.last_id <= self._seen:
            self._behind = False

    async def _rest(self) -> None:
        self._idle.set()
        try:
            async with asyncio.timeout(SAVE_INTERVAL_S):
                await self._wake.wait()
        except TimeoutError:
            if self._seen > self._saved and not self._queue and not self._behind:
                await self._deliver([], self._seen)

    # -- handing over ----------------------------------------------------------------------------------------------

    async def _deliver(self, batch: list[Event], upto: int) -> None:
        """Handle ``batch`` and move the cursor to ``upto``; returns only when that is done."""
        self._idle.clear()
        error = await self._write(batch, upto)
        if error is None:
            return
        if not batch:
            raise error
        for event in batch:
            last = upto if event is batch[-1] else event.id
            await self._deliver_one(event, last, error if len(batch) == 1 else None)

    async def _deliver_one(self, event: Event, upto: int, error: Exception | None) -> None:
        tries = 0 if error is None else 1
        while tries < TRIES_MAX:
            if tries:
                await self._pause(RETRY_S * 2 ** (tries - 1))
            error = await self._write([event], upto)
            if error is None:
                return
            tries += 1
        assert error is not None
        log.error(
            "an event could not be handled and is passed over",
            consumer=self.name,
            event_id=event.id,
            kind=event.kind,
            exc_info=error,
        )
        await self._write_skip(event, upto, error)

    async def _write(self, batch: list[Event], upto: int) -> Exception | None:
        """One try; the error if ``handle`` failed. A disk that refuses is waited for."""

        def write(tx: Tx) -> None:
            self._move(tx, upto)
            if batch:
                self._handle(tx, batch)

        return await self._commit(write, upto)

    async def _write_skip(self, event: Event, upto: int, error: Exception) -> None:
        reason = error.message if isinstance(error, AlloydError) else type(error).__name__
        payload = {
            "consumer": self.name,
            "event_id": str(event.id),
            "event_kind": event.kind,
            "tries": TRIES_MAX,
            "reason": reason,
        }

        def write(tx: Tx) -> None:
            self._move(tx, upto)
            tx.emit(Event(event.org_id, SKIPPED_KIND, str(event.id), payload))

        failed = await self._commit(write, upto)
        if failed is not None:
            raise failed
        self.skipped_total += 1

    async def _commit(self, write: Callable[[Tx], None], upto: int) -> Exception | None:
        while True:
            try:
                await self._database.write(write)
            except _MovedError:
                raise
            except AlloydError as error:
                if error.code is not Code.UNAVAILABLE:
                    return error
                log.warning("a consumer waits for the disk", consumer=self.name, reason=error.log or error.message)
                await self._pause(RETRY_S)
            except Exception as error:
                return error
            else:
                self._saved = upto
                return None

    def _move(self, tx: Tx, upto: int) -> None:
        if not store.move_cursor(tx, self.name, self._saved, upto):
            raise _MovedError
