"""The engine: takes queued runs, fair between organizations and bounded, and has a driver for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from alloyd.db import Database, GroupedWrite, Tx
from alloyd.domain.operations.model import OperationError, Outcome, Services
from alloyd.domain.runs import machine, store, store_waits, waiting
from alloyd.domain.runs.awaited import Awaited
from alloyd.domain.runs.children import end_all, gather_outputs
from alloyd.domain.runs.driver import TURN_S, Driver, DriverSettings, Means
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import ENDED, Changes, Ended, RunState, RunView, StepError
from alloyd.domain.runs.queue import OrgQueue, RunQueue, Seed
from alloyd.domain.runs.recording import NOTHING, BeginHook, EndHook, Recorder, fresh, restore
from alloyd.domain.runs.scheduler import Scheduler
from alloyd.domain.runs.share import Share
from alloyd.domain.runs.step_slots import StepSlots
from alloyd.domain.runs.waits import Wakeup
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError
from alloyd.kit import crash
from alloyd.kit.clock import Clock
from alloyd.log import get_logger

log = get_logger("alloyd.runs")

_REFILL_PAGE = 500
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Bounds of the engine; the configuration's group ``engine``."""

    running_max: int = 256
    running_per_org_max: int = 128
    steps_running_max: int = 512
    steps_running_per_org_max: int = 256
    seeds_per_org_max: int = 1000
    seed_bytes_max: int = 16 * 1024
    takes_per_turn_max: int = 16
    start_group_max: int = 8
    window_s: float = 0.05
    share_under_pressure: float = 0.02
    step_output_bytes_max: int = 1024 * 1024
    context_bytes_max: int = 4 * 1024 * 1024
    run_deadline_ms: int = 7 * 24 * 3600 * 1000


class Engine:
    """Drives runs. ``end_overdue(org_id, run_id)`` is the service's way to end a run whose deadline passed."""

    def __init__(
        self,
        database: Database,
        workflows: WorkflowService,
        services: Services,
        clock: Clock,
        settings: EngineSettings,
        owner: str,
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._clock = clock
        self._settings = settings
        self._owner = owner
        self.queue = RunQueue(settings.seeds_per_org_max, settings.running_per_org_max)
        self.end_overdue: Callable[[str, str], Awaitable[None]] | None = None
        self.scheduler = Scheduler(database, clock, self.wake, self._expire)
        self.ended_total = 0
        self.recorder = Recorder(self, workflows.find_cached_graph, settings.run_deadline_ms)
        self.held_back: dict[str, int] = {}  # by organization: queued runs that wait for their concurrency key
        self.queued_per_org_max = 1_000_000
        self.end_child: Callable[[str, str], Awaitable[None]] | None = None
        self.awaited = Awaited()
        self._reading: dict[str, list[Wakeup]] = {}  # runs that are being read back, and what happens meanwhile
        self._active: dict[str, Driver] = {}
        self._loading = 0
        self._waiters: dict[str, list[asyncio.Future[Ended | None]]] = {}
        self._stopping = False
        self._records: GroupedWrite[tuple[Run, Changes], bool] = GroupedWrite(database, self._write_records)
        self._means = Means(
            services,
            clock,
            lambda run, changes: self._records.submit((run, changes)),
            StepSlots(settings.steps_running_max, settings.steps_running_per_org_max),
            lambda org_id: self.queued_of(org_id) < self.queued_per_org_max,
            self._gather,
            DriverSettings(settings.step_output_bytes_max, settings.context_bytes_max),
        )
        self._pump_planned = False
        self._share = Share(settings.start_group_max, settings.window_s, settings.share_under_pressure)
        self._taking = False
        self._idle = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduler_task: asyncio.Task[None] | None = None

    # -- life ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read back what the last process left unfinished, and begin to work. Runs may be started before."""

        def read_back(tx: Tx) -> tuple[int, dict[str, int]]:
            # Among the writes, so that each start is either counted here or told after this.
            interrupted, counts = store.requeue_interrupted(tx), store.count_queued(tx.conn)
            held_back, woken = store_waits.count_held_back(tx.conn), store_waits.list_woken(tx.conn)
            orphans = store_waits.list_orphans(tx.conn)

            def tell() -> None:
                self.held_back = held_back
                self.queue.restore(counts)
                for org_id, run_id in woken:
                    self.queue.add_woken(org_id, run_id)
                for org_id, parent_id, step_key in orphans:
                    self.end_children(org_id, parent_id, step_key)

            tx.after_commit(tell)
            return interrupted, counts

        interrupted, counts = await self._database.write(read_back)
        if counts:
            log.info("runs read back", queued=sum(counts.values()), interrupted=interrupted)
        try:
            await self.scheduler.expire_overdue()  # before they are taken
        except Exception as error:
            log.error("overdue runs can't be ended; will be tried again", exc_info=error)
        self._taking = True
        self._scheduler_task = asyncio.create_task(self.scheduler.run(), name="scheduler")
        self._plan_pump()

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, let running steps end within ``grace_s``, then interrupt them: they run again later."""
        self._taking, self._stopping = False, True
        for run_id in [waited for waited in self._waiters if waited not in self._active]:
            self._tell_waiters(run_id, None)  # at once, for nothing will move that run any more
        if self._scheduler_task is not None:
            self._scheduler_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._scheduler_task
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while any(driver.has_running_steps for driver in self._active.values()) or self._loading:
                    self._idle.clear()
                    await self._idle.wait()
        for driver in list(self._active.values()):
            await driver.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for run_id in list(self._waiters):
            self._tell_waiters(run_id, None)

    @property
    def alive(self) -> bool:
        """Whether timers are kept: for /readyz and the watchdog."""
        return self._scheduler_task is not None and not self._scheduler_task.done() and self.scheduler.alive

    @property
    def running_count(self) -> int:
        """Runs in memory."""
        return len(self._active) + self._loading

    def set_bounds(self, running_max: int, running_per_org_max: int) -> None:
        """Change how many runs may be driven at one time, in all and of one organization."""
        self._settings = replace(self._settings, running_max=running_max)
        self.queue.running_per_org_max = running_per_org_max
        self._plan_pump()

    def on_end(self, hook: EndHook) -> None:
        """Run ``hook(tx, run, ended)`` in each transaction that records a run's end, whoever ended it.

        On the writer's thread, before the commit; it looks at ``run.trigger_kind`` first, so that other runs pay
        nothing, and must not raise.
        """
        self.recorder.hooks.end.append(hook)

    def on_begin(self, hook: BeginHook) -> None:
        """Run ``hook(tx, run)`` in each transaction that records a run's first going to running; as :meth:`on_end`."""
        self.recorder.hooks.begin.append(hook)

    # -- what the service tells ------------------------------------------------------------------------------

    def counts_only(self, org_id: str, deadline_at: int) -> bool:
        """A run is queued, durably, and waits in the table for its turn: all done. False: :meth:`accept` it."""
        if not self.queue.counts_only(org_id):
            return False
        self.scheduler.add_deadline(deadline_at)
        self._plan_pump()
        return True

    def accept(self, seed: Seed, deadline_at: int) -> None:
        """A run is queued, durably."""
        if len(seed.payload) + len(seed.context) > self._settings.seed_bytes_max:
            seed.graph = None  # too large to keep in memory while it waits: read back when its turn comes
            seed.payload = seed.context = b""
        self.queue.add_started(seed)
        self.scheduler.add_deadline(deadline_at)
        self._plan_pump()

    def note_group(self, starts: int) -> None:
        """A commit held so many starts, which :meth:`accept` tells one by one."""
        self._share.note_group(starts)

    def accept_known(self, org_id: str, run_id: str, deadline_at: int, seq: int = 0) -> None:
        """A run was queued, durably, that is read back when its turn comes: it is not the newest one, unless it has a
        ``seq``."""
        if not seq:
            self.queue.add_known(org_id, run_id)
        elif not self.queue.counts_only(org_id):
            self.queue.add_started(Seed(run_id, org_id, seq))
        self.scheduler.add_deadline(deadline_at)
        self._plan_pump()

    def wake(self, org_id: str, run_id: str) -> None:
        """A timer of the run is due."""
        driver = self._active.get(run_id)
        if driver is not None:
            driver.wake()
            return
        self.queue.add_woken(org_id, run_id)
        self._plan_pump()

    def deliver(self, org_id: str, run_id: str, wakeup: Wakeup) -> None:
        """Something happened to a waiting step of the run, durably."""
        driver = self._active.get(run_id)
        if driver is not None:
            driver.deliver(wakeup)
        elif run_id in self._reading:
            self._reading[run_id].append(wakeup)
        else:
            self.queue.add_woken(org_id, run_id)
            self._plan_pump()

    def hold_back(self, org_id: str, by: int) -> None:
        """So many more runs of the organization wait for their concurrency key, or less."""
        self.held_back[org_id] = self.held_back.get(org_id, 0) + by
        if not self.held_back[org_id]:
            del self.held_back[org_id]

    def load_of(self, org_id: str) -> tuple[int, int]:
        """The organization's runs that have not begun, and those that are being driven."""
        return self.queued_of(org_id), self.queue.running_of(org_id)

    def queued_of(self, org_id: str) -> int:
        """Runs of the organization that have not begun, also those that wait for their concurrency key."""
        return self.queue.queued_of(org_id) + self.held_back.get(org_id, 0)

    def end_children(self, org_id: str, run_id: str, step_key: str | None) -> None:
        """A step, or the whole run, waits no more for its child runs: they are cancelled."""
        if not self._stopping and self.end_child is not None:
            self._spawn(end_all(self._database, self.end_child, org_id, run_id, step_key))

    async def _gather(self, run: Run, key: str) -> Outcome | OperationError:
        bytes_max = self._settings.step_output_bytes_max
        return await gather_outputs(self._database, run, key, bytes_max, self._means.services)

    def interrupt(self, org_id: str, run_id: str, before: RunView, ended: Ended) -> None:
        """The run was ended from outside, durably; it stood as ``before`` says."""
        if before.held_back:
            self.hold_back(org_id, -1)
        elif before.state is RunState.QUEUED:
            self.queue.forget_queued(org_id, run_id)
        driver = self._active.get(run_id)
        if driver is not None:
            driver.interrupt()
        self.ended_total += 1
        self._tell_waiters(run_id, ended)

    def expect_end(self, run_id: str) -> asyncio.Future[Ended | None]:
        """A future that is done when the run ends, with None when the engine stops before.

        :meth:`forget_waiter` when nobody waits any more.
        """
        future: asyncio.Future[Ended | None] = asyncio.get_running_loop().create_future()
        if self._stopping and run_id not in self._active:
            future.set_result(None)
            return future
        self._waiters.setdefault(run_id, []).append(future)
        return future

    def forget_waiter(self, run_id: str, future: asyncio.Future[Ended | None]) -> None:
        """Nobody waits for this future any more."""
        waiting = self._waiters.get(run_id)
        if waiting and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._waiters[run_id]

    # -- taking ----------------------------------------------------------------------------------------------

    def _plan_pump(self) -> None:
        if self._taking and not self._pump_planned:
            self._pump_planned = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Take a few runs, then let requests have their turn."""
        self._pump_planned = False
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(self._settings.takes_per_turn_max):
            if not self._taking or self.running_count >= self._settings.running_max:
                break
            if self._share.is_used_up(started):
                self._pump_planned = True
                loop.call_at(self._share.next_window, self._pump)
                break
            seed = self.queue.take()
            if seed is None:
                break
            self._take(seed)
            if loop.time() - started > TURN_S:
                self._plan_pump()
                break
        else:
            self._plan_pump()
        self._share.spend(loop.time() - started)
        for queue in self.queue.orgs():
            if self._taking and queue.wants_refill:
                self.queue.begin_refill(queue)
                self._spawn(self._refill(queue))

    def _take(self, seed: Seed) -> None:
        crash.reach("engine.taken")
        if seed.graph is None:
            self._loading += 1
            self._spawn(self._load(seed))
            return
        self._drive(fresh(seed, seed.graph))

    def _drive(self, run: Run, wakeups: tuple[Wakeup, ...] = ()) -> None:
        driver = Driver(run, self._means, self._driver_idle, wakeups)
        self._active[run.id] = driver
        try:
            driver.begin()
        except Exception as error:  # a defect must not leave a run stuck, nor the queue
            log.error("run can't be begun", run_id=run.id, exc_info=error)
            driver.interrupt()
            reason = StepError("internal", "an internal error; the log has it under this run's id")
            self._spawn(self._end_unrunnable(run.org_id, run.id, reason))

    async def _load(self, seed: Seed) -> None:
        """Read a run back and drive it on."""
        self._reading[seed.run_id] = []
        try:
            run, wakeups = await self._read_back(seed.org_id, seed.run_id)
        except Exception as error:
            log.error("run can't be read back; will be tried again", run_id=seed.run_id, exc_info=error)
            await asyncio.sleep(_RETRY_S)
            self._loading -= 1
            self._reading.pop(seed.run_id, None)
            self.queue.release(seed.org_id, seed.run_id)
            self.queue.add_woken(seed.org_id, seed.run_id)
        else:
            self._loading -= 1
            late = self._reading.pop(seed.run_id)
            if run is None or not self._taking:
                self.queue.release(seed.org_id, seed.run_id)
                if late:
                    self.queue.add_woken(seed.org_id, seed.run_id)
            else:
                self._drive(run, (*wakeups, *late))
        self._idle.set()
        self._plan_pump()

    async def _read_back(self, org_id: str, run_id: str) -> tuple[Run | None, tuple[Wakeup, ...]]:
        stored = await self._database.read(lambda conn: store.load_run(conn, org_id, run_id))
        if stored is None or stored.view.state in ENDED:
            return None, ()
        view = stored.view
        try:
            graph = await self._workflows.get_graph(org_id, view.workflow_id, view.version, view.scope)
            run = restore(stored, graph)
        except AlloydError as error:
            await self._end_unrunnable(org_id, run_id, StepError(error.code.value, error.message))
            return None, ()
        if view.state is RunState.WAITING and not self._is_due(run):
            wakeups = stored.wakeups
            if not any(waiting.is_for(run, wakeup) for wakeup in wakeups):
                if wakeups:
                    ids = [wakeup.id for wakeup in wakeups]
                    await self._database.write(lambda tx: store_waits.delete_wakeups(tx, org_id, ids))
                self._keep_timers(run)  # woken for nothing: twice, by an event of no use, or the clock went back
                return None, ()
        return run, stored.wakeups

    def _is_due(self, run: Run) -> bool:
        now = self._clock.now_ms()
        return any(step.fire_at is not None and step.fire_at <= now for step in run.steps.values())

    def _keep_timers(self, run: Run) -> None:
        """Let the scheduler have the timers of a run that leaves memory, even if it woke the run for one of them."""
        for step in run.steps.values():
            if step.fire_at is not None:
                self.scheduler.add_timer(run.org_id, run.id, step.fire_at)

    async def _end_unrunnable(self, org_id: str, run_id: str, reason: StepError) -> None:
        """A run whose definition can't be compiled any more ends as failed, and says why."""
        await self._database.write(
            lambda tx: self.recorder.end_from_outside(
                tx, org_id, run_id, NOTHING, lambda run, now: machine.fail_run(run, now, reason)
            )
        )

    async def _refill(self, queue: OrgQueue) -> None:
        org_id, after = queue.org_id, queue.last_seq
        bytes_max = self._settings.seed_bytes_max
        try:
            page = await self._database.read(
                lambda conn: store.list_queued(conn, org_id, after, _REFILL_PAGE, bytes_max)
            )
            seeds = [await self._seed_of(org_id, row) for row in page]
        except Exception as error:
            log.error("queue can't be read; will be tried again", org_id=org_id, exc_info=error)
            await asyncio.sleep(_RETRY_S)
            queue.refilling = False
        else:
            self.queue.end_refill(queue, seeds, complete=len(page) < _REFILL_PAGE)
        self._plan_pump()

    async def _seed_of(self, org_id: str, row: store.QueuedRun) -> Seed:
        """All that is needed to begin a run, or its id alone when it is large or has to be read back."""
        if row.payload is None:
            return Seed(row.id, org_id, row.seq)
        try:
            graph = await self._workflows.get_graph(org_id, row.workflow_id, row.version)
        except AlloydError:
            return Seed(row.id, org_id, row.seq)  # reading it back says why, in the run
        return Seed(
            row.id,
            org_id,
            row.seq,
            row.workflow_id,
            row.version,
            graph,
            row.payload.encode(),
            row.context.encode(),
            row.started_by,
            row.trigger_kind,
            row.end_user_id,
        )

    def _driver_idle(self, driver: Driver) -> None:
        run = driver.run
        self._active.pop(run.id, None)
        self.queue.release(run.org_id, run.id)
        if driver.ended:  # not when it was ended from outside a moment before: then that end counts
            self.ended_total += 1
            if run.id in self._waiters:
                self._tell_waiters(run.id, Ended(run.state, run.output, run.error))
        elif run.state is RunState.WAITING:
            self._keep_timers(run)
        if self._stopping:
            self._tell_waiters(run.id, None)
        self._idle.set()
        self._plan_pump()

    def _tell_waiters(self, run_id: str, ended: Ended | None) -> None:
        for future in self._waiters.pop(run_id, ()):
            if not future.done():
                future.set_result(ended)

    async def _expire(self, org_id: str, run_id: str) -> None:
        if self.end_overdue is not None:
            await self.end_overdue(org_id, run_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- recording -------------------------------------------------------------------------------------------

    def _write_records(self, tx: Tx, items: list[tuple[Run, Changes]]) -> list[bool]:
        """On the writer's thread: what the drivers changed since the last group."""
        results = self.recorder.record(tx, items, self._owner)
        for (run, changes), written in zip(items, results, strict=True):
            if written and changes.timers_set:
                self._plan_timers(tx, run, changes)
        return results

    def _plan_timers(self, tx: Tx, run: Run, changes: Changes) -> None:
        due = [step.fire_at for step in changes.timers_set if step.fire_at is not None]

        def tell() -> None:
            for fire_at in due:
                self.scheduler.add_timer(run.org_id, run.id, fire_at)

        tx.after_commit(tell)
