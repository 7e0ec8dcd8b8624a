"""Keeps time for runs: timers and deadlines are rows; the near timers also stand in a heap in memory.

Sleeps until the next one is due. A timer never fires early; one whose time passed while no daemon ran fires at once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable

from alloyd.db import Database
from alloyd.domain.runs import store
from alloyd.kit.clock import Clock
from alloyd.log import get_logger

log = get_logger("alloyd.runs")

HORIZON_MS = 60_000
PAGE = 5_000
OVERDUE_PAGE = 250  # ended together, so that they share commits
_RETRY_S = 1.0


class Scheduler:
    """Wakes runs when their timers are due and ends those whose deadline has passed."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        wake: Callable[[str, str], None],
        expire: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._wake_run = wake
        self._expire_run = expire
        self._heap: list[tuple[int, str, str]] = []
        self._in_heap: set[tuple[int, str]] = set()
        self._read_to = (-1, 0)  # timers of the table up to here, by time and id, have been in the heap
        self._covered = -1  # new timers up to here have to be put into the heap by whoever sets them
        self._next_deadline: int | None = None
        self._changed = asyncio.Event()
        self.alive = True

    def add_timer(self, org_id: str, run_id: str, fire_at: int) -> None:
        """A timer stands in the table, at ``fire_at`` ms since the epoch. Telling it twice is the same as once."""
        if fire_at > self._covered or (fire_at, run_id) in self._in_heap:
            return
        heapq.heappush(self._heap, (fire_at, org_id, run_id))
        self._in_heap.add((fire_at, run_id))
        if self._heap[0][0] == fire_at:
            self._changed.set()

    def add_deadline(self, deadline_at: int | None) -> None:
        """A run was queued that has to be done by ``deadline_at``."""
        if deadline_at is None:
            return
        if self._next_deadline is None or deadline_at < self._next_deadline:
            self._next_deadline = deadline_at
            self._changed.set()

    def clock_moved(self) -> None:
        """Look at the clock again: for tests that move it."""
        self._changed.set()

    async def run(self) -> None:
        """The loop; ends only when it is cancelled. What fails is tried again."""
        self._next_deadline = self._clock.now_ms()  # makes the first turn look
        while True:
            try:
                await self._turn()
            except Exception as error:
                self.alive = False
                log.error("scheduler failed; will try again", exc_info=error)
                await asyncio.sleep(_RETRY_S)

    async def _turn(self) -> None:
        self._changed.clear()
        now = self._clock.now_ms()
        stubborn: BaseException | None = None
        if self._next_deadline is not None and self._next_deadline <= now:
            stubborn = await self.expire_overdue()  # before timers: what was to be over by then does not go on
        if now + HORIZON_MS // 2 >= self._read_to[0]:
            await self._load(now + HORIZON_MS)
        while self._heap and self._heap[0][0] <= now:
            fire_at, org_id, run_id = heapq.heappop(self._heap)
            self._in_heap.discard((fire_at, run_id))
            self._wake_run(org_id, run_id)
        if stubborn is not None:
            raise stubborn
        self.alive = True
        await self._sleep_until(self._next_due(), now)

    async def _load(self, until_ms: int) -> None:
        """Bring the timers up to ``until_ms`` into the heap, a page at most; the rest at the next turn."""
        # From here on, for what is committed while the table is read is not on the page.
        self._covered = max(self._covered, until_ms)
        after = self._read_to
        page = await self._database.read(lambda conn: store.list_timers(conn, after, until_ms, PAGE))
        for timer in page:
            self.add_timer(timer.org_id, timer.run_id, timer.fire_at)
        self._read_to = (until_ms, 1 << 62) if len(page) < PAGE else (page[-1].fire_at, page[-1].id)

    async def expire_overdue(self) -> BaseException | None:
        """End runs whose deadline has passed, a page of them; the rest at the next turn.

        Returns why one of them could not be ended: it must not keep the others, nor timers.
        """
        now = self._clock.now_ms()
        try:
            overdue = await self._database.read(lambda conn: store.list_overdue(conn, now, OVERDUE_PAGE))
            ended = await asyncio.gather(
                *(self._expire_run(org_id, run_id) for org_id, run_id in overdue), return_exceptions=True
            )
            self._next_deadline = None  # before it is read: a run may be queued meanwhile
            self.add_deadline(await self._database.read(store.find_next_deadline))
        except BaseException:
            self._next_deadline = now
            raise
        return next((error for error in ended if error is not None), None)

    def _next_due(self) -> int:
        due = self._read_to[0] - HORIZON_MS // 2
        if self._heap:
            due = min(due, self._heap[0][0])
        if self._next_deadline is not None:
            due = min(due, self._next_deadline)
        return due

    async def _sleep_until(self, due: int, now: int) -> None:
        # Rounded up to a whole millisecond and one more, so that the clock has reached it when we look.
        wait_s = max(0.0, (due - now + 1) / 1000)
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return
