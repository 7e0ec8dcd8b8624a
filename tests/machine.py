"""Drives the pure run machine as the engine does, with outcomes from a script and a disk that is a dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from alloyd.domain.operations.model import Done
from alloyd.domain.runs import machine
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import ENDED, SETTLED, Changes, RunState, Step, StepError, StepState
from alloyd.domain.workflows.compile import compile_definition
from alloyd.domain.workflows.model import DefinitionBody, Graph

START_MS = 1_000_000
BROKEN = StepError("broken", "it broke")


@dataclass(frozen=True)
class Fails:
    """An attempt that fails."""

    retryable: bool = False
    retry_after_ms: int | None = None


@dataclass(frozen=True)
class Waits:
    """An attempt that waits for a time, then is completed with ``output``."""

    for_ms: int
    output: Any = None


Outcome = Done | Fails | Waits
Script = Mapping[str, Sequence[Outcome]]


def node(key: str, *depends_on: str, operation: str = "workflow.noop", **more: Any) -> dict[str, Any]:
    """A step as a definition writes it."""
    return {"key": key, "operation": operation, "depends_on": list(depends_on), **more}


def branch(key: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    """A step with the ways ``then`` and ``else``."""
    return node(key, *depends_on, operation="workflow.branch", config={"condition": "true"}, **more)


def graph_of(*nodes: dict[str, Any], **more: Any) -> Graph:
    """The graph of ``nodes``, which must be sound."""
    body = msgspec.convert({"name": "n", "nodes": list(nodes), **more}, DefinitionBody)
    graph, faults = compile_definition(body, 500, 1000)
    assert graph is not None, faults
    return graph


@dataclass
class Disk:
    """What has been recorded, as the tables hold it."""

    steps: dict[str, Step] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    state: RunState = RunState.QUEUED
    started_at: int | None = None
    timers: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Disk:
        """A snapshot."""
        steps = {key: replace(step) for key, step in self.steps.items()}
        return Disk(steps, self.context, self.state, self.started_at, dict(self.timers))

    def write(self, run: Run, changes: Changes) -> None:
        """One commit."""
        for key in changes.timers_cleared:
            self.timers.pop(key, None)
        for step in changes.timers_set:
            if step.fire_at is not None:
                self.timers[step.key] = step.fire_at
        for key, step in changes.steps.items():
            self.steps[key] = replace(step, fire_at=None, timer=None, pending=None)
            if step.encoded is not None:
                self.steps[key].output = msgspec.json.decode(step.encoded)
            if key in self.timers:
                self.steps[key].timer = step.timer
        if changes.context:
            self.context = run.context
        self.state, self.started_at = run.state, run.started_at


class Play:
    """A run from its start, or from what a disk holds, to its end. ``choose(n)`` picks one of n running steps."""

    def __init__(
        self,
        graph: Graph,
        script: Script | None = None,
        *,
        disk: Disk | None = None,
        choose: Callable[[int], int] = lambda _n: 0,
        wanted: Callable[[str], bool] = lambda _key: True,
    ) -> None:
        self.graph = graph
        self.script = script or {}
        self.choose = choose
        self.wanted = wanted
        self.now = START_MS
        self.disk = disk.copy() if disk else Disk()
        self.events: list[tuple[str, str | None]] = []
        self.payloads: list[Any] = []
        self.snapshots: list[Disk] = [self.disk.copy()]
        self.ran: list[str] = []
        steps = {key: replace(step) for key, step in self.disk.steps.items()}
        for key, fire_at in self.disk.timers.items():
            steps[key].fire_at, steps[key].pending = fire_at, steps[key].output
        self.run = Run(
            "run", "org", "workflow", 1, graph, {}, self.disk.context, started_at=self.disk.started_at, steps=steps
        )

    # -- turns -----------------------------------------------------------------------------------------------

    def begin(self) -> Play:
        """From queued to running, with the first steps under way."""
        machine.begin_run(self.run, self.now)
        self.turn()
        return self

    def turn(self) -> None:
        """Start what is ready, work out the state, record."""
        while self.run.ready and self.run.state not in ENDED:
            key = self.run.ready.pop(0)
            before = self.run.steps.get(key)
            if (before is None or before.attempt == 0) and not self.wanted(key):
                machine.skip_step(self.run, key, self.now)
                continue
            self._check_may_run(key)
            machine.begin_step(self.run, key, self.now)
            self.ran.append(key)
        machine.settle_state(self.run, self.now)
        changes = self.run.take_changes()
        self.events.extend((told[0], told[1]) for told in changes.events if isinstance(told, tuple))
        self.payloads.extend(msgspec.json.decode(told[2]) for told in changes.events if isinstance(told, tuple))
        self.disk.write(self.run, changes)
        self.snapshots.append(self.disk.copy())

    def _check_may_run(self, key: str) -> None:
        nodes, steps = self.graph.nodes, self.run.steps
        for dependency in nodes[key].depends_on:
            step = steps[dependency.key]
            assert step.state in SETTLED, f"{key} runs before {dependency.key} is settled"
            if step.state is StepState.FAILED:
                assert nodes[dependency.key].policy.on_error == "continue", f"{key} runs though {dependency.key} failed"

    def running(self) -> list[str]:
        """Keys of the steps under way, in the order of their starts, those called ``slow…`` last."""
        keys = [key for key, step in self.run.steps.items() if step.state is StepState.RUNNING]
        return sorted(keys, key=lambda key: key.startswith("slow"))

    def settle(self, key: str, outcome: Outcome | None = None) -> None:
        """The attempt of ``key`` ends, as the script says unless told, and the turn after it."""
        run, now = self.run, self.now
        if outcome is None:
            outcomes = self.script.get(key) or [Done({"of": key})]
            failed = [entry for entry in run.steps[key].attempts if entry.error.code != "interrupted"]
            outcome = outcomes[min(len(failed), len(outcomes) - 1)]
        if isinstance(outcome, Fails):
            machine.fail_step(
                run,
                key,
                BROKEN,
                now,
                retryable=outcome.retryable,
                retry_after_ms=outcome.retry_after_ms,
                chance=lambda: 0.5,
            )
        elif isinstance(outcome, Waits):
            machine.wait_step(run, key, now + outcome.for_ms, outcome.output, now)
        else:
            machine.complete_step(run, key, outcome, msgspec.json.encode(outcome.output), now)
        self.turn()

    def fire(self) -> None:
        """Move the time to the next timer, and fire all that are due."""
        self.now = max(self.now, min(self.disk.timers.values()))
        machine.resume_run(self.run)
        for key, fire_at in list(self.disk.timers.items()):
            assert machine.fire_timer(self.run, key, self.now) == (fire_at <= self.now)
        self.turn()

    def move(self) -> bool:
        """One more thing happens; False when the run has ended."""
        if self.run.state in ENDED:
            return False
        self.now += 1
        running = self.running()
        if running:
            self.settle(running[self.choose(len(running))])
        else:
            assert self.run.state is RunState.WAITING, "nothing runs, nothing waits, and it has not ended"
            self.fire()
        return True

    def finish(self) -> Play:
        """Until the end."""
        for _ in range(10_000):
            if not self.move():
                return self
        raise AssertionError("the run does not end")

    def restarted(self, snapshot: int = -1) -> Play:
        """The same run in a new process, from what was recorded."""
        again = Play(self.graph, self.script, disk=self.snapshots[snapshot], choose=self.choose, wanted=self.wanted)
        again.now = self.now
        return again

    # -- what came of it -------------------------------------------------------------------------------------

    @property
    def states(self) -> dict[str, str]:
        """The steps' states by key."""
        return {key: step.state.value for key, step in self.run.steps.items()}

    @property
    def outcome(self) -> tuple[Any, ...]:
        """How it ended, as far as a restart must not change it."""
        run = self.run
        outputs = {key: step.output for key, step in run.steps.items() if step.state is StepState.COMPLETED}
        return run.state, run.output, run.error, run.context, self.states, outputs, run.names["steps"]


def play(graph: Graph, script: Script | None = None, **more: Any) -> Play:
    """A whole run."""
    return Play(graph, script, **more).begin().finish()


TERMINAL = {"workflow.run.completed", "workflow.run.failed", "workflow.run.cancelled"}
_STEP_NEXT = {
    None: {"started", "skipped"},
    "started": {"completed", "failed", "retrying", "waiting", "cancelled"},
    "retrying": {"started", "skipped"},
    "waiting": {"completed", "skipped"},
}
_RUN_NEXT = {
    None: {"started", "cancelled", "failed"},
    "started": {"waiting", "completed", "failed", "cancelled"},
    "waiting": {"resumed", "failed", "cancelled"},
    "resumed": {"waiting", "completed", "failed", "cancelled"},
}


def check_order(events: Sequence[tuple[str, str | None]], graph: Graph) -> None:
    """The events of a run that was never restarted come in a legal order, each step settled once, the end last."""
    last: dict[str | None, str] = {}
    for kind, key in events:
        word = kind.rpartition(".")[2]
        allowed = (_RUN_NEXT if key is None else _STEP_NEXT).get(last.get(key), set())
        assert word in allowed, f"{kind} of {key} after {last.get(key)}"
        last[key] = word
    assert events[-1][0] in TERMINAL
    for key in graph.order:
        assert last.get(key) in {"completed", "failed", "skipped", "cancelled"}, f"{key} is not settled"
