"""The run machine: everything that moves a run or a step lives in this file, or beneath it in ``growth``.

Pure: no clock, no database, no await. A turn changes the run in memory and notes in ``run.changes`` what has to be
recorded. Rules:

1. A step is due when all its dependencies are settled. If one of them failed (and did not say ``continue``), or all of
   them were skipped or went another way, the step is skipped; else it is ready.
2. A run ends when nothing is ready, running or waiting: failed if a step failed without ``continue``, else completed.
3. ``workflow.finish`` ends the run at once, as rule 2 says; what has not run is skipped, what runs is cancelled.
4. An ended run never moves again.
5. A step that waits for steps it has grown is to be resumed once they are settled; until it is, the run goes on.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from alloyd.domain.operations.model import Done
from alloyd.domain.runs.model import (
    ENCODER,
    ENDED,
    SETTLED,
    Attempt,
    Changes,
    Lineage,
    RunState,
    Step,
    StepError,
    StepState,
    TimerKind,
)
from alloyd.domain.runs.outputs import context_after, retry_delay_ms
from alloyd.domain.runs.waits import GrowthWait, Wait, WaitChanges
from alloyd.domain.workflows.model import Graph, Node
from alloyd.kit.clock import rfc3339

INTERRUPTED = StepError("interrupted", "the daemon stopped while the attempt was under way")


class Run:
    """A run in memory. Make it with the steps that are recorded, then move it only through this file's functions."""

    __slots__ = (
        "changes",
        "context",
        "deadline_at",
        "end_user_id",
        "ended_at",
        "error",
        "failed_step",
        "graph",
        "grown",
        "id",
        "lineage",
        "names",
        "org_id",
        "output",
        "ready",
        "resuming",
        "started_at",
        "started_by",
        "state",
        "steps",
        "trigger_kind",
        "version",
        "workflow_id",
    )

    def __init__(
        self,
        run_id: str,
        org_id: str,
        workflow_id: str,
        version: int,
        graph: Graph,
        trigger: Any,
        context: dict[str, Any],
        *,
        started_by: str = "",
        trigger_kind: str = "",
        end_user_id: str | None = None,
        lineage: Lineage | None = None,
        started_at: int | None = None,
        deadline_at: int | None = None,
        steps: dict[str, Step] | None = None,
    ) -> None:
        self.id = run_id
        self.org_id = org_id
        self.workflow_id = workflow_id
        self.version = version
        self.graph = graph
        self.context = context
        self.started_by = started_by
        self.trigger_kind = trigger_kind
        self.end_user_id = end_user_id
        self.lineage = lineage
        self.started_at = started_at
        self.deadline_at = deadline_at
        self.ended_at: int | None = None
        self.state = RunState.QUEUED
        self.steps: dict[str, Step] = steps or {}
        self.output: Any = None
        self.error: StepError | None = None
        self.failed_step: str | None = None
        self.ready: list[str] = []
        self.grown: dict[str, Node] = {}  # steps that the graph does not have, in the order in which they came
        self.resuming: list[str] = []  # steps whose grown ones are settled
        self.changes = Changes()
        outputs: dict[str, Any] = {}
        for key, step in self.steps.items():
            if step.state is StepState.COMPLETED:
                outputs[key] = {"output": step.output, "state": "completed"}
            elif step.state is StepState.FAILED:
                outputs[key] = _failed_name(step.error)
        self.names: dict[str, Any] = {
            "trigger": trigger,
            "context": context,
            "steps": outputs,
            "run": {"id": run_id, "workflow_id": workflow_id, "version": version, "organization_id": org_id},
            "inputs": {},
        }
        if end_user_id is not None:
            self.names["run"]["end_user_id"] = end_user_id
        if lineage is not None and lineage.scope is not None:
            self.names["item"], self.names["index"] = lineage.item, lineage.item_index

    @property
    def steps_done(self) -> int:
        """Steps that will not move any more."""
        return sum(1 for step in self.steps.values() if step.state in SETTLED)

    @property
    def active(self) -> bool:
        """Whether a step is ready, running or to be resumed."""
        return bool(self.ready or self.resuming) or any(step.state is StepState.RUNNING for step in self.steps.values())

    def node(self, key: str) -> Node:
        """The step's node, of the graph or grown."""
        grown = self.grown.get(key)
        return self.graph.nodes[key] if grown is None else grown

    def take_changes(self) -> Changes:
        """What is to be recorded since the last time; the run forgets it."""
        taken, self.changes = self.changes, Changes()
        return taken


# -- turns ----------------------------------------------------------------------------------------------------------


def begin_run(run: Run, now: int) -> None:
    """From queued (or read back after a restart) to running; works out what is ready.

    A step that was under way is made ready again: it runs again, at least once in all, and its interrupted attempt
    is kept, but does not count against its retries.
    """
    resumed = run.started_at is not None
    run.state = RunState.RUNNING
    if run.started_at is None:
        run.started_at = now
        run.changes.began = True
    _tell(run, "workflow.run.resumed" if resumed else "workflow.run.started")
    if not run.steps:
        run.ready.extend(run.graph.roots)
        return
    for step in run.steps.values():
        if step.state is StepState.RUNNING:
            step.attempts = (*step.attempts, Attempt(step.attempt, step.started_at, now, INTERRUPTED))
            step.state = StepState.READY
        if step.state is StepState.READY:
            run.ready.append(step.key)
    run.failed_step = _find_first_failed(run)
    for key in run.graph.order:
        if key not in run.steps:
            _consider(run, key, now)


def resume_run(run: Run) -> None:
    """A waiting run in memory moves on."""
    if run.state is RunState.WAITING:
        run.state = RunState.RUNNING
        _tell(run, "workflow.run.resumed")


def begin_step(run: Run, key: str, now: int) -> Step:
    """A ready step starts an attempt."""
    step = run.steps.get(key)
    if step is None:
        step = run.steps[key] = Step(key, StepState.RUNNING)
    step.state = StepState.RUNNING
    step.attempt += 1
    step.started_at = now
    step.ended_at = None
    run.changes.steps[key] = step
    _tell(run, "workflow.node.started", key, b'{"attempt":%d}' % step.attempt)
    return step


def complete_step(run: Run, key: str, done: Done, encoded: bytes, now: int) -> None:
    """A step's attempt succeeded with ``done``; ``encoded`` is its output as JSON."""
    step = run.steps[key]
    _require(step, StepState.RUNNING, StepState.WAITING)
    step.state = StepState.COMPLETED
    step.output, step.encoded, step.port, step.error = done.output, encoded, done.port, None
    step.ended_at = now
    _clear_timer(run, step)
    _clear_wait(run, step)
    run.changes.steps[key] = step
    run.names["steps"][key] = {"output": done.output, "state": "completed"}
    _tell(run, "workflow.node.completed", key, b"{}")
    run.changes.events.extend(done.events)  # in their place: after the run's last event nobody listens any more
    if done.along is not None:
        run.changes.along.append(done.along)
    node = run.node(key)
    if done.context or node.outputs:
        run.context = run.names["context"] = context_after(run.context, node, done)
        run.changes.context = True
    if done.ends_run:
        _end_settled(run, done.output, now)
        return
    _settle(run, key, now)


def wait_step(run: Run, key: str, fire_at: int, pending: Any, now: int) -> None:
    """A running step waits for a time (ms since the epoch), and is then completed with ``pending``."""
    step = run.steps[key]
    _require(step, StepState.RUNNING)
    step.state = StepState.WAITING
    step.pending, step.encoded = pending, ENCODER.encode(pending)
    _set_timer(run, step, fire_at, TimerKind.DELAY)
    _tell(run, "workflow.node.waiting", key, ENCODER.encode({"until": rfc3339(fire_at)}))
    settle_state(run, now)


def wait_for(run: Run, key: str, wait: Wait, now: int, told: dict[str, Any], fire_at: int | None = None) -> None:
    """A step waits for other runs, an event or what it has grown, at most until ``fire_at`` (ms since the epoch)."""
    step = run.steps[key]
    _require(step, StepState.RUNNING, StepState.WAITING)
    step.state, step.wait, step.encoded = StepState.WAITING, wait, ENCODER.encode(wait)
    run.changes.steps[key] = step
    if fire_at is not None:
        _set_timer(run, step, fire_at, TimerKind.TIMEOUT)
        told = {**told, "until": rfc3339(fire_at)}
    _tell(run, "workflow.node.waiting", key, ENCODER.encode(told))
    settle_state(run, now)


def fail_step(
    run: Run,
    key: str,
    error: StepError,
    now: int,
    *,
    retryable: bool,
    retry_after_ms: int | None = None,
    chance: Callable[[], float] = random.random,
) -> None:
    """An attempt failed: the step is tried again later if its policy allows, else it has failed.

    ``retry_after_ms`` is the least wait that the other side asked for; ``chance`` gives the jitter, 0 to 1.
    """
    step = run.steps[key]
    _require(step, StepState.RUNNING, StepState.READY, StepState.WAITING)
    policy = run.node(key).policy
    failures = 1 + sum(1 for attempt in step.attempts if attempt.error.code != INTERRUPTED.code)
    if retryable and failures <= policy.max_retries:
        step.attempts = (*step.attempts, Attempt(step.attempt, step.started_at, now, error))
        step.state, step.error = StepState.WAITING, error
        delay = max(retry_delay_ms(policy, failures, chance()), retry_after_ms or 0)
        _set_timer(run, step, now + delay, TimerKind.RETRY)
        _tell(
            run,
            "workflow.node.retrying",
            key,
            ENCODER.encode({"attempt": step.attempt, "delay_ms": delay, "error": error}),
        )
        settle_state(run, now)
        return
    step.state, step.error, step.ended_at = StepState.FAILED, error, now
    _clear_timer(run, step)
    _clear_wait(run, step)
    run.changes.steps[key] = step
    run.names["steps"][key] = _failed_name(error)
    _tell(run, "workflow.node.failed", key, ENCODER.encode({"attempt": step.attempt, "error": error}))
    if not _continues(run, key) and run.failed_step is None:
        run.failed_step = key
    _settle(run, key, now)


def skip_step(run: Run, key: str, now: int) -> None:
    """A ready step's ``when`` is false."""
    _mark_skipped(run, key, now)
    _settle(run, key, now)


def fire_timer(run: Run, key: str, now: int) -> bool:
    """A waiting step's time has come: a retry is ready again, a delay is completed. False if there is nothing to do.

    Never early: a timer of a later time is left alone, and so is one that ends a wait for an event.
    """
    step = run.steps.get(key)
    if step is None or step.state is not StepState.WAITING or step.fire_at is None or step.fire_at > now:
        return False
    if step.timer is TimerKind.TIMEOUT:
        return False
    if step.timer is TimerKind.RETRY:
        _clear_timer(run, step)
        step.state = StepState.READY
        run.changes.steps[key] = step
        run.ready.append(key)
        return True
    complete_step(run, key, Done(step.pending), ENCODER.encode(step.pending), now)
    return True


def cancel_run(run: Run, now: int, reason: str) -> None:
    """End the run as cancelled: running steps are cancelled, waiting ones skipped."""
    run.error = StepError("cancelled", reason)
    _end(run, RunState.CANCELLED, now)


def fail_run(run: Run, now: int, error: StepError) -> None:
    """End the run as failed from outside: its deadline passed, or it can't be run at all."""
    run.error = error
    _end(run, RunState.FAILED, now)


def settle_state(run: Run, now: int) -> None:
    """Work out the run's own state after its steps have moved: running, waiting, or ended."""
    if run.state in ENDED or run.active:
        return
    if any(step.state is StepState.WAITING for step in run.steps.values()):
        if run.state is not RunState.WAITING:
            run.state = RunState.WAITING
            _tell(run, "workflow.run.waiting")
        return
    _end_settled(run, _output(run), now)


# -- what follows from a turn ---------------------------------------------------------------------------------------


def _end_settled(run: Run, output: Any, now: int) -> None:
    """The run has come to its end by itself: failed by its first failed step, else completed with ``output``."""
    if run.failed_step is None:
        run.output = output
        _end(run, RunState.COMPLETED, now)
        return
    error = run.steps[run.failed_step].error or StepError("failed", "a step failed")
    run.error = StepError(error.code, error.message, error.path, error.details, run.failed_step)
    _end(run, RunState.FAILED, now)


def _find_first_failed(run: Run) -> str | None:
    """After a restart: the step that brings the run down, the earliest if there are several."""
    failed = [
        (step.ended_at or 0, run.graph.order.index(step.key), step.key)
        for step in run.steps.values()
        if step.state is StepState.FAILED and not _continues(run, step.key)
    ]
    return min(failed)[2] if failed else None


def _failed_name(error: StepError | None) -> dict[str, Any]:
    """What expressions see of a step that failed, where the run goes on: the error as it is shown."""
    known = error or StepError("failed", "")
    return {
        "output": None,
        "state": "failed",
        "error": {"code": known.code, "message": known.message, "details": known.details},
    }


def _settle(run: Run, key: str, now: int) -> None:
    """A step is settled: its dependents may be due, who grew it may be resumed, and the run may be over."""
    node = run.node(key)
    if node.grown_by is not None:
        note_resumable(run, node.grown_by)
    pending = list(node.dependents)
    while pending:
        due = pending.pop(0)
        if due not in run.steps and _consider(run, due, now) is StepState.SKIPPED:
            pending.extend(run.graph.nodes[due].dependents)
    settle_state(run, now)


def note_resumable(run: Run, key: str) -> None:
    """Rule 5 for one step."""
    step = run.steps.get(key)
    if step is None or step.state is not StepState.WAITING or not isinstance(step.wait, GrowthWait):
        return
    if key not in run.resuming and all(run.steps[one].state in SETTLED for one in step.wait.awaits):
        run.resuming.append(key)


def _consider(run: Run, key: str, now: int) -> StepState | None:
    """Rule 1 for one step that has not been touched yet."""
    if key in run.ready:
        return None
    node = run.graph.nodes[key]
    taken = not node.depends_on
    for dependency in node.depends_on:
        step = run.steps.get(dependency.key)
        if step is None or step.state not in SETTLED:
            return None
        if step.state is StepState.FAILED:
            if not _continues(run, dependency.key):
                _mark_skipped(run, key, now)
                return StepState.SKIPPED
            taken = taken or dependency.port is None
        elif step.state is StepState.COMPLETED:
            taken = taken or dependency.port is None or dependency.port == step.port
    if not taken:
        _mark_skipped(run, key, now)
        return StepState.SKIPPED
    run.ready.append(key)
    return StepState.READY


def _continues(run: Run, key: str) -> bool:
    return run.node(key).policy.on_error == "continue"


def _mark_skipped(run: Run, key: str, now: int) -> None:
    step = run.steps.get(key)
    if step is None:
        step = run.steps[key] = Step(key, StepState.SKIPPED)
    step.state, step.ended_at = StepState.SKIPPED, now
    _clear_timer(run, step)
    run.changes.steps[key] = step
    _tell(run, "workflow.node.skipped", key)


def _end(run: Run, state: RunState, now: int) -> None:
    run.ready.clear()
    run.resuming.clear()
    for step in list(run.steps.values()):
        if step.state is StepState.RUNNING:
            step.state, step.ended_at = StepState.CANCELLED, now
            _clear_timer(run, step)
            run.changes.steps[step.key] = step
            _tell(run, "workflow.node.cancelled", step.key)
        elif step.state not in SETTLED:
            _mark_skipped(run, step.key, now)
    for key in run.graph.order:
        if key not in run.steps:
            _mark_skipped(run, key, now)
    run.state, run.ended_at = state, now
    payload: dict[str, Any] = {"error": run.error} if run.error is not None else {}
    _tell(run, f"workflow.run.{state.value}", None, ENCODER.encode(payload) if payload else b"{}")


def _output(run: Run) -> Any:
    """One leaf: its output. Several: an object by key. A skipped leaf says nothing."""
    done = {
        key: run.steps[key].output
        for key in run.graph.leaves
        if key in run.steps and run.steps[key].state is StepState.COMPLETED
    }
    if len(run.graph.leaves) == 1:
        return next(iter(done.values()), None)
    return done


def _set_timer(run: Run, step: Step, fire_at: int, kind: TimerKind) -> None:
    step.fire_at, step.timer = fire_at, kind
    run.changes.steps[step.key] = step
    run.changes.timers_set.append(step)


def _clear_timer(run: Run, step: Step) -> None:
    if step.fire_at is not None:
        step.fire_at, step.timer = None, None
        run.changes.timers_cleared.append(step.key)


def _clear_wait(run: Run, step: Step) -> None:
    if step.wait is not None:
        if run.changes.waits is None:
            run.changes.waits = WaitChanges()
        run.changes.waits.settled.append((step.key, step.wait))
        step.wait = None
        if step.state is not StepState.COMPLETED:
            step.encoded = None  # it told what the step waited for


def _tell(run: Run, kind: str, key: str | None = None, payload: bytes = b"{}") -> None:
    run.changes.events.append((kind, key, payload))


def _require(step: Step, *states: StepState) -> None:
    if step.state not in states:
        raise AssertionError(f"step {step.key} is {step.state}, not {' or '.join(states)}")
