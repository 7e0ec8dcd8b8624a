"""Drives one run: turns of the machine, each recorded before anything outside depends on it.

No task of its own: turns are plain calls, and what they wait for (the record's commit, a step's end) calls back. Pure
steps in a row are one turn and one commit. Only one record is under way at a time; what ends meanwhile waits in the
inbox.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from alloyd.domain.operations.model import (
    Done,
    Grow,
    OperationError,
    Outcome,
    Services,
    Spread,
    StartChild,
    WaitForEvent,
    WaitUntil,
)
from alloyd.domain.runs import attempt, growth, machine, waiting
from alloyd.domain.runs.large_outputs import put_away
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import ENCODER, ENDED, Changes, RunState, StepError, StepState, TimerKind
from alloyd.domain.runs.outputs import context_after
from alloyd.domain.runs.step_slots import StepSlots
from alloyd.domain.runs.waits import Wakeup
from alloyd.domain.workflows.model import Node
from alloyd.errors import AlloydError
from alloyd.kit import crash
from alloyd.kit.clock import Clock, rfc3339
from alloyd.log import get_logger

log = get_logger("alloyd.runs")

_RECORD_RETRY_S = 1.0
_NO_ROOM_RETRY_MS = 10_000
# How long one turn may compute before it is recorded and others have the loop, in seconds.
TURN_S = 0.02
Record = Callable[[Run, Changes], "asyncio.Future[bool]"]


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """Bounds of a run; the configuration's group ``engine``."""

    step_output_bytes_max: int = 1024 * 1024
    context_bytes_max: int = 4 * 1024 * 1024


@dataclass(slots=True)
class Means:
    """What every driver of an engine shares."""

    services: Services
    clock: Clock
    record: Record
    step_slots: StepSlots
    has_room: Callable[[str], bool]  # whether the organization may queue more runs
    gather: Callable[[Run, str], Awaitable[Outcome | OperationError]]  # the output of a foreach that is done
    settings: DriverSettings


class Driver:
    """One run under way. ``on_idle(driver)`` is called once, when it has ended, waits, or was let go."""

    __slots__ = (
        "_closed",
        "_held",
        "_inbox",
        "_last_wakeup",
        "_means",
        "_on_idle",
        "_recording",
        "_starting",
        "_tasks",
        "_wakeups",
        "ended",
        "run",
    )

    def __init__(
        self, run: Run, means: Means, on_idle: Callable[[Driver], None], wakeups: tuple[Wakeup, ...] = ()
    ) -> None:
        self.run = run
        self._means = means
        self._on_idle = on_idle
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._inbox: deque[tuple[str, Outcome | OperationError]] = deque()
        self._starting: list[str] = []
        self._wakeups: deque[Wakeup] = deque(wakeups)
        self._last_wakeup = 0  # those up to here were looked at
        self._held: dict[str, int] = {}  # by foreach that is done: the wakeup that is taken with its output
        self._recording = False
        self._closed = False
        self.ended = False  # durably, by its own steps

    # -- from outside ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start or resume the run."""
        machine.begin_run(self.run, self._means.clock.now_ms())
        self._turn()

    def wake(self) -> None:
        """A timer of this run fired while it is in memory."""
        if self._recording:
            return  # the turn after the record looks for due timers itself
        self._turn()

    def deliver(self, wakeup: Wakeup) -> None:
        """Something happened to a waiting step; telling it twice is the same as once."""
        self._wakeups.append(wakeup)
        if not self._recording:
            self._turn()

    def interrupt(self) -> None:
        """The run was ended from outside, durably: stop its steps and let go."""
        self._let_go()

    async def stop(self) -> None:
        """The daemon stops: cancel what runs and wait for it; the run stays as it is recorded."""
        tasks = list(self._tasks.values())
        self._let_go()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def has_running_steps(self) -> bool:
        """Whether a step with effects is under way, or a record."""
        return bool(self._tasks) or self._recording

    # -- turns -----------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Take what has ended, compute what is pure, and record all of it in one commit."""
        try:
            self._advance()
        except Exception as error:  # a defect must end the run, not leave it stuck
            log.error("run broke the machine", run_id=self.run.id, exc_info=error)
            if self.run.state not in ENDED:
                reason = StepError("internal", "an internal error; the log has it under this run's id")
                machine.fail_run(self.run, self._means.clock.now_ms(), reason)
        self._record()

    def _advance(self) -> None:
        run, now = self.run, self._means.clock.now_ms()
        run.names["now"] = rfc3339(now)
        self._take_wakeups(now)  # first: what was acknowledged before a timeout counts
        self._fire_due(now)
        if self._inbox:
            machine.resume_run(run)  # it may have waited while the output of a foreach was gathered
        while self._inbox and run.state not in ENDED:
            key, outcome = self._inbox.popleft()
            self._settle(key, outcome, now)
        loop = asyncio.get_running_loop()
        until = loop.time() + TURN_S
        while run.state not in ENDED:
            if run.resuming:
                self._resume(run.resuming.pop(0), now)
            elif run.ready and loop.time() < until:
                self._take(run.ready.pop(0), now)
            else:
                break
        machine.settle_state(run, now)

    def _fire_due(self, now: int) -> None:
        due = [
            step.key
            for step in self.run.steps.values()
            if step.state is StepState.WAITING and step.fire_at is not None and step.fire_at <= now
        ]
        if due and self.run.state not in ENDED:
            machine.resume_run(self.run)
            for key in due:
                crash.reach("engine.timer_fired")
                step = self.run.steps[key]
                if step.timer is TimerKind.TIMEOUT:
                    self._settle(key, waiting.timed_out(step), now)
                else:
                    machine.fire_timer(self.run, key, now)

    def _take_wakeups(self, now: int) -> None:
        run = self.run
        while self._wakeups and run.state not in ENDED:
            wakeup = self._wakeups.popleft()
            if wakeup.id <= self._last_wakeup:
                continue
            self._last_wakeup = wakeup.id
            key = wakeup.step_key
            if key in self._held or not waiting.is_for(run, wakeup):
                waiting.noted(run).taken.append(wakeup.id)
                continue
            crash.reach("engine.wakeup_taken")
            machine.resume_run(run)
            outcome = waiting.outcome_of(run, wakeup)
            if outcome is None and waiting.is_drained(run.steps[key]):
                # Taken with the output: until that is recorded, the row tells a restart to gather it again.
                self._held[key] = wakeup.id
                self._tasks[key] = asyncio.create_task(self._gather(key), name=f"gather {run.id} {key}")
                continue
            waiting.noted(run).taken.append(wakeup.id)
            if outcome is not None:
                self._settle(key, outcome, now)

    async def _gather(self, key: str) -> None:
        while True:
            try:
                outcome = await self._means.gather(self.run, key)
                break
            except Exception as error:  # the disk; the items' outputs are there
                log.error("items' outputs can't be read; will be tried again", run_id=self.run.id, exc_info=error)
                await asyncio.sleep(_RECORD_RETRY_S)
        self._end_task(key, outcome)

    def _take(self, key: str, now: int) -> None:
        run, node = self.run, self.run.node(key)
        before = run.steps.get(key)
        try:
            # Asked once: a step that is tried or run again was wanted, and may have been felt outside already.
            wanted = (before is not None and before.attempt > 0) or attempt.is_wanted(run, node)
        except OperationError as error:
            machine.begin_step(run, key, now)
            machine.fail_step(run, key, attempt.to_step_error(error), now, retryable=False)
            return
        if not wanted:
            machine.skip_step(run, key, now)
            return
        step = machine.begin_step(run, key, now)
        if not node.operation.pure:
            self._starting.append(key)
            return
        try:
            outcome: Outcome | OperationError = attempt.compute(run, node, step.attempt, self._means.services)
        except OperationError as error:
            outcome = error
        self._settle(key, outcome, now)

    def _resume(self, key: str, now: int) -> None:
        """The steps that a step has grown are settled; in the turn that records that, it goes on."""
        run = self.run
        machine.resume_run(run)
        try:
            outcome: Outcome | OperationError = attempt.resume(run, key, self._means.services)
        except OperationError as error:
            outcome = error
        self._settle(key, outcome, now)

    def _settle(self, key: str, outcome: Outcome | OperationError, now: int) -> None:
        run = self.run
        held = self._held.pop(key, None)
        if held is not None:
            waiting.noted(run).taken.append(held)
        step = run.steps[key]
        if step.state is not StepState.RUNNING and (step.state is not StepState.WAITING or step.wait is None):
            return  # the run went another way meanwhile
        if isinstance(outcome, StartChild | Spread):
            outcome = self._check_room(outcome)
        if not isinstance(outcome, OperationError):
            try:
                encoded = attempt.encode_output(outcome, self._means.settings.step_output_bytes_max)
                if isinstance(outcome, Done):
                    self._check_context(run.node(key), outcome)
            except attempt.TooLargeError as error:
                if isinstance(outcome, Done) and held is None and self._means.services.objects is not None:
                    work = self._put_away(key, outcome, error.encoded)
                    self._tasks[key] = asyncio.create_task(work, name=f"put away {run.id} {key}")
                    return
                outcome = error
            except OperationError as error:
                outcome = error
        if isinstance(outcome, OperationError):
            machine.fail_step(
                run,
                key,
                attempt.to_step_error(outcome),
                now,
                retryable=outcome.retryable,
                retry_after_ms=outcome.retry_after_ms,
            )
        elif not isinstance(outcome, Done):
            self._begin_wait(key, outcome, now)
        else:
            machine.complete_step(run, key, outcome, encoded, now)

    async def _put_away(self, key: str, outcome: Done, encoded: bytes) -> None:
        self._end_task(key, await put_away(self.run, key, outcome, encoded, self._means.services))

    def _check_room(self, outcome: StartChild | Spread) -> Outcome | OperationError:
        if self._means.has_room(self.run.org_id):
            return outcome
        told = "the organization has as many queued runs as it may have"
        return OperationError("rate_limited", told, retryable=True, retry_after_ms=_NO_ROOM_RETRY_MS)

    def _begin_wait(self, key: str, outcome: Outcome, now: int) -> None:
        run = self.run
        try:
            if isinstance(outcome, StartChild):
                done = waiting.call(run, key, outcome, now)
                if done is not None:
                    machine.complete_step(run, key, done, ENCODER.encode(done.output), now)
            elif isinstance(outcome, Spread):
                waiting.spread(run, key, outcome, now)
            elif isinstance(outcome, WaitForEvent):
                waiting.wait_event(run, key, outcome, now)
            elif isinstance(outcome, Grow):
                growth.grow(run, key, outcome, now)
            elif isinstance(outcome, WaitUntil):
                machine.wait_step(run, key, outcome.fire_at_ms, outcome.output, now)
        except AlloydError as error:  # the called workflow's concurrency key can't be told for this input
            told = StepError(error.code.value, error.message, error.field)
            machine.fail_step(run, key, told, now, retryable=False)

    def _check_context(self, node: Node, done: Done) -> None:
        if not done.context and not node.outputs:
            return
        bytes_max = self._means.settings.context_bytes_max
        try:
            size = len(ENCODER.encode(context_after(self.run.context, node, done)))
        except (TypeError, ValueError, RecursionError) as error:
            raise OperationError("bad_output", f"the context can't be written as JSON: {error}") from None
        if size > bytes_max:
            raise OperationError("context_too_large", f"the run's context would be larger than {bytes_max} bytes")

    # -- recording -------------------------------------------------------------------------------------------

    def _record(self) -> None:
        crash.reach("engine.before_record")
        self._recording = True
        self._submit(self.run.take_changes())

    def _submit(self, changes: Changes) -> None:
        self._means.record(self.run, changes).add_done_callback(lambda future: self._recorded(future, changes))

    def _recorded(self, future: asyncio.Future[bool], changes: Changes) -> None:
        if self._closed or future.cancelled():
            return
        error = future.exception()
        if error is not None:
            # The disk is full or failing. Nothing outside has happened on the strength of this turn: keep it and
            # try again; /readyz tells the operator why.
            log.error("run can't be recorded; will be tried again", run_id=self.run.id, reason=str(error))
            asyncio.get_running_loop().call_later(_RECORD_RETRY_S, self._resubmit, changes)
            return
        crash.reach("engine.after_record")
        self._recording = False
        if not future.result() or self.run.state in ENDED:
            self.ended = future.result()
            self._let_go()
            return
        starting, self._starting = self._starting, []
        for key in starting:
            self._tasks[key] = asyncio.create_task(self._execute(key), name=f"step {self.run.id} {key}")
        if self._inbox or self._wakeups or self.run.ready or self._has_due():
            self._turn()
        elif self.run.state is RunState.WAITING and not self._tasks:
            self._let_go()

    def _resubmit(self, changes: Changes) -> None:
        if not self._closed:
            self._submit(changes)

    def _has_due(self) -> bool:
        if not self.run.graph.nodes:
            return False
        now: Any = None
        for step in self.run.steps.values():
            if step.state is StepState.WAITING and step.fire_at is not None:
                now = now or self._means.clock.now_ms()
                if step.fire_at <= now:
                    return True
        return False

    async def _execute(self, key: str) -> None:
        run = self.run
        node = run.node(key)
        outcome: Outcome | OperationError
        async with self._means.step_slots.of(run.org_id):
            crash.reach("engine.before_step")
            try:
                outcome = await attempt.execute(run, node, run.steps[key].attempt, self._means.services)
            except OperationError as error:
                outcome = error
            crash.reach("engine.after_step")
        self._end_task(key, outcome)

    def _end_task(self, key: str, outcome: Outcome | OperationError) -> None:
        self._tasks.pop(key, None)
        if self._closed:
            return
        self._inbox.append((key, outcome))
        if not self._recording:
            self._turn()

    def _let_go(self) -> None:
        if self._closed:
            return
        self._closed = True
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._on_idle(self)
