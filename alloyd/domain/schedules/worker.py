"""The loop of schedules: sleeps until the next one is due, fires what is due, a page in one write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from alloyd.db import Database, Tx
from alloyd.domain.runs.service import RunService
from alloyd.domain.schedules import store
from alloyd.domain.schedules.firing import fire, pass_over
from alloyd.domain.schedules.model import Schedule, ScheduleSettings
from alloyd.domain.schedules.plan import Plan, plan
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError, Code
from alloyd.kit import crash
from alloyd.kit.clock import Clock
from alloyd.kit.cron import Cron, CronError
from alloyd.log import get_logger

log = get_logger("alloyd.schedules")

PAGE = 100
CLOCK_LOOK_S = 1.0  # how late a clock that was moved is noticed
CLOCK_BACK_MS = 5_000  # less is what clocks do when they are kept right
_RETRY_S = 1.0


class ScheduleWorker:
    """One for the daemon. ``settings()`` gives what is in force, each time anew."""

    def __init__(
        self,
        database: Database,
        workflows: WorkflowService,
        runs: RunService,
        clock: Clock,
        settings: Callable[[], ScheduleSettings],
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._runs = runs
        self._clock = clock
        self._settings = settings
        self._changed = asyncio.Event()
        self._seen_ms = 0  # the latest time that the clock has shown
        self._next_due: int | None = None
        self.alive = True

    def wake(self) -> None:
        """A schedule changed, or the clock was moved: look again."""
        self._changed.set()

    async def run(self) -> None:
        """The loop; ends only when it is cancelled. What fails is tried again."""
        while True:
            try:
                await self.turn()
                self.alive = True
                await self._sleep()
            except Exception as error:
                self.alive = False
                log.error("schedules failed; will try again", exc_info=error)
                await asyncio.sleep(_RETRY_S)

    async def turn(self) -> None:
        """Fire all that is due now."""
        self._changed.clear()
        if not self._seen_ms or self._clock.now_ms() < self._seen_ms - CLOCK_BACK_MS:
            await self._bring_back()
        while True:
            now = self._seen_ms = self._clock.now_ms()
            due = await self._list_due(now)
            if not due:
                break
            await self._fire_all(due, now)
        self._next_due = await self._database.read(store.find_next_due)

    async def _fire_all(self, due: list[Schedule], now: int) -> None:
        planned = [(schedule, self._plan(schedule, now)) for schedule in due]

        def write(tx: Tx) -> None:
            for schedule, made in planned:
                self._carry_out(tx, schedule, made)

        try:
            crash.reach("schedule.before_fire")
            await self._database.write(write)
            crash.reach("schedule.after_fire")
        except AlloydError as error:
            if error.code is Code.UNAVAILABLE:
                raise
            await self._fire_each(planned, error)
        except Exception as error:
            await self._fire_each(planned, error)

    async def _fire_each(self, planned: list[tuple[Schedule, Plan | None]], error: Exception) -> None:
        """One of them fails: it must not keep the others. It is told as missed and goes on with its next time."""
        log.error("firing schedules together failed; each is fired alone", exc_info=error)
        for schedule, made in planned:
            try:
                await self._fire_one(schedule, made)
            except AlloydError as fault:
                if fault.code is Code.UNAVAILABLE:
                    raise
                await self._pass_over(schedule, made, fault.message)
            except Exception as fault:
                log.error("a schedule can't be fired", schedule_id=schedule.id, exc_info=fault)
                await self._pass_over(schedule, made, "an internal error; the log has it under this schedule's id")

    async def _list_due(self, now: int) -> list[Schedule]:
        return await self._database.read(lambda conn: store.list_due(conn, now, PAGE))

    async def _list_enabled(self, after_id: str) -> list[Schedule]:
        return await self._database.read(lambda conn: store.list_enabled(conn, after_id, PAGE))

    async def _fire_one(self, schedule: Schedule, made: Plan | None) -> None:
        await self._database.write(lambda tx: self._carry_out(tx, schedule, made))

    async def _pass_over(self, schedule: Schedule, made: Plan | None, reason: str) -> None:
        next_fire_at = made.next_fire_at if made else None
        await self._database.write(lambda tx: pass_over(tx, schedule, next_fire_at, reason))

    def _plan(self, schedule: Schedule, now: int) -> Plan | None:
        """None when the time zone is not known any more."""
        assert schedule.next_fire_at is not None
        try:
            cron = Cron(schedule.cron, schedule.timezone)
        except CronError as error:
            log.error("a schedule can't be read any more", schedule_id=schedule.id, reason=str(error))
            return None
        return plan(cron, schedule.misfire, schedule.next_fire_at, now, self._settings())

    def _carry_out(self, tx: Tx, schedule: Schedule, made: Plan | None) -> None:
        if made is None:
            pass_over(tx, schedule, None, "its cron expression or time zone is not known any more: change it")
        else:
            fire(tx, schedule, made, self._workflows, self._runs)

    # -- the clock -------------------------------------------------------------------------------------------

    async def _bring_back(self) -> None:
        """At the start, and when the clock was put back: nobody waits longer than to the next time not fired yet."""
        now, after_id = self._clock.now_ms(), ""
        self._seen_ms = now
        while page := await self._list_enabled(after_id):
            after_id = page[-1].id
            for schedule in page:
                await self._bring_one_back(schedule, now)

    async def _bring_one_back(self, schedule: Schedule, now: int) -> None:
        assert schedule.next_fire_at is not None
        try:
            cron = Cron(schedule.cron, schedule.timezone)
        except CronError:
            return
        nearest = cron.next_after(now)
        if nearest is None or schedule.next_fire_at <= nearest:
            return
        fired = await self._database.read(lambda conn: store.list_fired_after(conn, schedule.org_id, schedule.id, now))
        free = next((when for when in cron.times_after(now) if when not in fired), None)
        if free is not None and free < schedule.next_fire_at:
            await self._database.write(lambda tx: store.move_on(tx, schedule, free, schedule.last_fire_at))

    async def _sleep(self) -> None:
        """Until the next one is due, a change, or a clock that does not go on as it should."""
        while not self._changed.is_set():
            now = self._clock.now_ms()
            if now < self._seen_ms - CLOCK_BACK_MS or (self._next_due is not None and self._next_due <= now):
                return
            self._seen_ms = max(self._seen_ms, now)
            # One millisecond more, so that the clock has reached it when we look.
            wait_s = CLOCK_LOOK_S if self._next_due is None else min(CLOCK_LOOK_S, (self._next_due - now + 1) / 1000)
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
