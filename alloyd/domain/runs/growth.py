"""How a run gets more steps while it is under way: pure, like the machine, whose functions do the moving.

A step asks for them (:class:`Grow`) and waits. They are rows of their own, so that a restart has them again, with
their configs as they were given: literally, whoever wrote them. They have the key of the step that asked, a dot and a
name; nothing depends on them but that step, and their failures are its to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from alloyd.domain.operations.catalogue import find_operation
from alloyd.domain.operations.model import Grow, GrownEnd, OperationError
from alloyd.domain.runs import machine
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import SETTLED, GrownRow, Step, StepError, StepState
from alloyd.domain.runs.waits import GrowthWait
from alloyd.domain.workflows.model import Node
from alloyd.errors import AlloydError, Code


@dataclass(frozen=True, slots=True)
class Literally:
    """A config in which nothing is an expression."""

    value: dict[str, Any]

    def render(self, _names: Mapping[str, Any]) -> Any:
        """The value itself: treat it as read only."""
        return self.value


def grow(run: Run, key: str, outcome: Grow, now: int) -> None:
    """A step asks for more steps and waits for them; those that are refused fail in the same turn."""
    keys = [f"{key}.{asked.name}" for asked in outcome.steps]
    if not keys or len(set(keys)) < len(keys) or any(one in run.steps for one in keys):
        raise AssertionError(f"step {key} grows {keys}")
    for grown_key, asked in zip(keys, outcome.steps, strict=True):
        row = GrownRow(grown_key, key, len(run.grown), asked.operation, asked.config)
        run.grown[grown_key] = _node(run, row)
        run.changes.grown.append(row)
        run.steps[grown_key] = run.changes.steps[grown_key] = Step(grown_key, StepState.READY)
        run.ready.append(grown_key)
    machine.wait_for(run, key, GrowthWait(keys, outcome.state), now, {"steps": keys})
    for grown_key, asked in zip(keys, outcome.steps, strict=True):
        if asked.refusal is not None:
            run.ready.remove(grown_key)
            machine.begin_step(run, grown_key, now)
            refusal = asked.refusal
            error = StepError(refusal.code, refusal.message, refusal.path, refusal.details)
            machine.fail_step(run, grown_key, error, now, retryable=False)


def restore(run: Run, rows: Iterable[GrownRow]) -> None:
    """After a restart: the steps that the run has grown, as they are recorded."""
    for row in rows:
        run.grown[row.key] = _node(run, row)
    for key in {node.grown_by for node in run.grown.values() if node.grown_by is not None}:
        machine.note_resumable(run, key)


def ends_of(run: Run, key: str) -> list[GrownEnd]:
    """How all the settled steps ended that a step has grown so far, in their order."""
    ends = []
    for grown_key, node in run.grown.items():
        step = run.steps[grown_key]
        if node.grown_by != key or step.state not in SETTLED:
            continue
        error = None
        if step.state is not StepState.COMPLETED:
            told = step.error or StepError("cancelled", "the step was not run")
            error = OperationError(told.code, told.message, path=told.path, details=told.details)
        config = node.config.render({})
        ends.append(GrownEnd(grown_key.removeprefix(f"{key}."), node.operation.name, config, step.output, error))
    return ends


def _node(run: Run, row: GrownRow) -> Node:
    operation = find_operation(row.operation)
    if operation is None:
        raise AlloydError(Code.UNPROCESSABLE, f"step {row.key}: there is no operation {row.operation!r} any more")
    policy = replace(run.graph.nodes[row.parent].policy, on_error="continue")
    return Node(row.key, operation, (), None, Literally(row.config), (), (), policy, grown_by=row.parent)
