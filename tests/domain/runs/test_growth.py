"""Steps that a run gets while it is under way: pure, by tables and at random, with restarts anywhere."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.domain.operations.model import Done, Grow, GrownStep, OperationError
from alloyd.domain.runs import growth, machine
from alloyd.domain.runs.model import ENCODER, ENDED, SETTLED, Changes, GrownRow, RunState, StepState
from alloyd.domain.runs.waits import DECODER, GrowthWait
from alloyd.domain.workflows.model import Graph
from alloyd.errors import AlloydError
from tests.machine import Disk, Fails, Play, graph_of, node

REFUSED = OperationError("forbidden", "not this one")


def asked(name: str, refusal: OperationError | None = None, **config: Any) -> GrownStep:
    return GrownStep(name, "workflow.noop", config, refusal)


class Asking(Play):
    """A run whose step ``a`` grows ``rounds`` of steps, one round after the other, and then is done."""

    def __init__(self, graph: Graph, rounds: list[list[GrownStep]], script: Any = None, **more: Any) -> None:
        self.rounds = rounds
        self.rows: list[GrownRow] = more.pop("rows", [])
        super().__init__(graph, script, **more)
        for step in self.run.steps.values():
            if step.wait is not None and step.encoded is not None:
                step.wait = DECODER.decode(step.encoded)  # as the table gives it
        growth.restore(self.run, self.rows)

    def turn(self) -> None:
        run = self.run
        while run.state not in ENDED and (run.resuming or run.ready):
            if run.resuming:
                machine.resume_run(run)
                self._go_on(run.resuming.pop(0))
            else:
                key = run.ready.pop(0)
                machine.begin_step(run, key, self.now)
                self.ran.append(key)
        self.rows = [*self.rows, *run.changes.grown]
        super().turn()

    def settle(self, key: str, outcome: Any = None) -> None:
        if key == "a" and outcome is None:
            self._go_on(key)
            self.turn()
        else:
            super().settle(key, outcome)

    def _go_on(self, key: str) -> None:
        ends = growth.ends_of(self.run, key)
        number = 0
        while ends[sum(map(len, self.rounds[:number])) :] and number < len(self.rounds):
            number += 1
        if number < len(self.rounds):
            growth.grow(self.run, key, Grow(tuple(self.rounds[number]), {"round": number}), self.now)
            return
        output = {end.name: "failed" if end.error is not None else end.output for end in ends}
        machine.complete_step(self.run, key, Done(output), ENCODER.encode(output), self.now)

    def restarted(self, snapshot: int = -1) -> Asking:
        assert snapshot == -1
        again = Asking(
            self.graph, self.rounds, self.script, disk=self.snapshots[-1], choose=self.choose, rows=self.rows
        )
        again.now = self.now
        return again


LINE = graph_of(node("a", policy={"max_retries": 1}), node("z", "a"))


def test_grown_steps_run_side_by_side_and_the_asking_step_goes_on_with_them():
    played = Asking(LINE, [[asked("1", n=1), asked("2")], [asked("3")]])
    played.begin()
    assert played.running() == ["a"]
    played.move()
    assert played.running() == ["a.1", "a.2"]
    assert played.states["a"] == "waiting"
    assert played.run.state is RunState.RUNNING
    assert isinstance(played.run.steps["a"].wait, GrowthWait)
    played.move()
    assert played.running() == ["a.2"]
    played.finish()
    assert played.run.state is RunState.COMPLETED
    assert played.ran == ["a", "a.1", "a.2", "a.3", "z"]
    assert played.run.names["steps"]["a"]["output"] == {"1": {"of": "a.1"}, "2": {"of": "a.2"}, "3": {"of": "a.3"}}
    assert [(row.key, row.parent, row.position, row.config) for row in played.rows] == [
        ("a.1", "a", 0, {"n": 1}),
        ("a.2", "a", 1, {}),
        ("a.3", "a", 2, {}),
    ]


def test_the_run_does_not_wait_between_its_rounds():
    played = Asking(LINE, [[asked("1")], [asked("2")]]).begin().finish()
    assert "workflow.run.waiting" not in [kind for kind, _key in played.events]


def test_a_refused_step_is_recorded_as_failed_and_never_runs():
    played = Asking(LINE, [[asked("1", REFUSED, tool="x"), asked("2")]]).begin().finish()
    assert played.ran == ["a", "a.2", "z"]
    assert played.states == {"a": "completed", "a.1": "failed", "a.2": "completed", "z": "completed"}
    assert played.run.steps["a.1"].error.code == "forbidden"
    assert played.run.steps["a.1"].attempt == 1


def test_all_refused_goes_on_in_the_same_turn():
    played = Asking(LINE, [[asked("1", REFUSED), asked("2", REFUSED)]])
    played.begin().move()
    assert played.states["a"] == "completed"
    played.finish()
    assert played.run.state is RunState.COMPLETED


def test_a_failed_grown_step_is_tried_again_and_fails_nothing_else():
    script = {"a.1": [Fails(retryable=True), Fails(retryable=True)]}
    played = Asking(LINE, [[asked("1")]], script).begin().finish()
    assert played.ran == ["a", "a.1", "a.1", "z"]
    assert played.run.state is RunState.COMPLETED
    assert played.run.steps["a"].output == {"1": "failed"}


def test_the_ends_have_what_was_asked():
    played = Asking(LINE, [[asked("1", x="{{ trigger }}"), asked("2", REFUSED)]])
    played.begin().move()
    played.settle("a.1", Done(7))
    first, second = growth.ends_of(played.run, "a")
    assert (first.name, first.operation, first.config, first.output, first.error) == (
        "1", "workflow.noop", {"x": "{{ trigger }}"}, 7, None,
    )  # fmt: skip
    assert second.error is not None
    assert second.error.code == "forbidden"


def test_what_is_cancelled_takes_the_grown_steps_along():
    played = Asking(LINE, [[asked("1"), asked("2")]])
    played.begin().move()
    played.settle("a.1")
    machine.cancel_run(played.run, played.now, "why")
    played.turn()
    assert played.states == {"a": "skipped", "a.1": "completed", "a.2": "cancelled", "z": "skipped"}
    assert not played.run.resuming


@pytest.mark.parametrize("steps", [(), (asked("1"), asked("1"))])
def test_nothing_and_one_twice_can_not_be_asked_for(steps):
    played = Asking(LINE, []).begin()
    with pytest.raises(AssertionError, match="step a grows"):
        growth.grow(played.run, "a", Grow(steps, None), played.now)


def test_an_operation_that_is_gone_keeps_the_run_from_being_read_back():
    played = Asking(LINE, []).begin()
    with pytest.raises(AlloydError, match=r"no operation 'gone\.away'"):
        growth.restore(played.run, [GrownRow("a.1", "a", 0, "gone.away", {})])


outcomes = st.one_of(st.builds(Done, st.integers(0, 9)), st.builds(Fails, st.booleans()))


@st.composite
def rounds(draw: st.DrawFn) -> list[list[GrownStep]]:
    """Up to three rounds of up to three steps."""
    found, number = [], 0
    for _ in range(draw(st.integers(1, 3))):
        steps = []
        for _ in range(draw(st.integers(1, 3))):
            number += 1
            steps.append(asked(str(number), REFUSED if draw(st.integers(0, 3)) == 0 else None))
        found.append(steps)
    return found


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_restart_anywhere_asks_nothing_twice_and_ends_the_same(data: st.DataObject) -> None:
    wanted = data.draw(rounds())
    keys = [f"a.{step.name}" for steps in wanted for step in steps]
    script = {key: data.draw(st.lists(outcomes, min_size=1, max_size=2)) for key in keys}
    whole = Asking(LINE, wanted, script).begin().finish()
    again: Any = Asking(LINE, wanted, script, choose=lambda n: data.draw(st.integers(0, n - 1))).begin()
    while True:
        if data.draw(st.integers(0, 2)) == 0:
            settled = {key for key, step in again.disk.steps.items() if step.state in SETTLED}
            again = again.restarted().begin()
            assert not settled & set(again.ran), "a step whose result is recorded ran again"
        if not again.move():
            break
    assert again.run.state is whole.run.state is RunState.COMPLETED
    assert again.states == whole.states
    assert again.run.output == whole.run.output
    assert [row.key for row in again.rows] == keys
    assert all(step.state in SETTLED for step in again.run.steps.values())


def test_the_wait_is_read_back_as_it_was_written():
    played = Asking(LINE, [[asked("1")]])
    played.begin().move()
    encoded = played.run.steps["a"].encoded
    assert encoded is not None
    assert DECODER.decode(encoded) == GrowthWait(["a.1"], {"round": 0})
    assert msgspec.json.decode(encoded)["type"] == "growth"
    assert played.run.steps["a.1"].state is StepState.RUNNING
    assert isinstance(played.disk, Disk)
    assert isinstance(played.run.take_changes(), Changes)
