"""The turns of steps that wait for other runs or events: pure, without a database."""

from __future__ import annotations

import msgspec
import pytest

from alloyd.domain.operations.model import Done, OperationError, Spread, Target, WaitForEvent
from alloyd.domain.runs import machine, waiting
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import RunState, StepState
from alloyd.domain.runs.waits import CHILD, EVENT, ChildEnd, ForeachWait, Wakeup
from tests.machine import graph_of, node

TARGET = Target("w", 1, 1, None, "each")


def spread_run(total: int, on_error: str = "fail") -> Run:
    """A run whose step has just begun to wait for ``total`` items, two at a time."""
    each = node("each", operation="workflow.foreach", config={"items": [], "nodes": [node("x")]})
    run = Run("r", "o", "w", 1, graph_of(each), {}, {})
    machine.begin_run(run, 0)
    machine.begin_step(run, run.ready.pop(), 0)
    waiting.spread(run, "each", Spread(TARGET, list(range(total)), None, 2, on_error, collect=True), 0)
    return run


def ended(number: int, state: str = "completed") -> Wakeup:
    error = None if state == "completed" else {"code": "broken", "message": "it broke"}
    return Wakeup(number, "each", CHILD, msgspec.json.encode(ChildEnd(f"c{number}", state, number, error=error)))


def begun(run: Run) -> list[int | None]:
    """The items that this turn begins."""
    changes = run.take_changes()
    return [child.index for child in changes.waits.children] if changes.waits else []


def test_items_begin_as_others_end() -> None:
    run = spread_run(4)
    assert run.state is RunState.WAITING
    assert begun(run) == [0, 1]
    for number, expected in enumerate(([2], [3], [], [])):
        assert waiting.outcome_of(run, ended(number)) is None
        assert begun(run) == expected
        assert waiting.is_drained(run.steps["each"]) is (number == 3)


def test_the_last_end_is_not_recorded_before_the_output_is() -> None:
    run = spread_run(1)
    before = run.steps["each"].encoded
    waiting.outcome_of(run, ended(0))
    assert run.steps["each"].encoded == before, "a restart has to find that one end is still to come"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_failed_item(state: str) -> None:
    outcome = waiting.outcome_of(spread_run(3), ended(0, state))
    assert isinstance(outcome, OperationError)
    assert (outcome.code, outcome.retryable, outcome.details) == ("broken", False, {"run_id": "c0", "index": 0})
    run = spread_run(3, "continue")
    assert waiting.outcome_of(run, ended(0, state)) is None
    wait = run.steps["each"].wait
    assert isinstance(wait, ForeachWait)
    assert (wait.failed, wait.completed, wait.next) == (1, 0, 3)


def test_what_is_told_to_a_step_that_waits_no_more_moves_nothing() -> None:
    run = spread_run(2)
    assert waiting.is_for(run, ended(0))
    assert not waiting.is_for(run, Wakeup(1, "each", EVENT, b"{}")), "a foreach waits for no event"
    assert not waiting.is_for(run, Wakeup(1, "other", CHILD, b"{}"))
    machine.complete_step(run, "each", Done([]), b"[]", 1)
    assert not waiting.is_for(run, ended(0))
    assert run.steps["each"].state is StepState.COMPLETED


@pytest.mark.parametrize(("on_timeout", "port"), [("continue", "timed_out"), ("fail", None)])
def test_a_timeout(on_timeout: str, port: str | None) -> None:
    run = Run("r", "o", "w", 1, graph_of(node("w", operation="workflow.wait_event", config={"event": "a"})), {}, {})
    machine.begin_run(run, 0)
    machine.begin_step(run, run.ready.pop(), 0)
    waiting.wait_event(run, "w", WaitForEvent("a", None, asks=False, fire_at_ms=5, on_timeout=on_timeout), 0)
    assert not machine.fire_timer(run, "w", 5), "not the machine's to settle"
    outcome = waiting.timed_out(run.steps["w"])
    assert isinstance(outcome, OperationError if port is None else Done)
    assert getattr(outcome, "port", None) == port
