"""Any graph with any outcomes: every run ends, legally, wherever its process was stopped."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.domain.operations.model import Done
from alloyd.domain.runs import machine
from alloyd.domain.runs.model import ENDED, SETTLED, RunState, StepState
from alloyd.domain.workflows.model import Graph
from tests.machine import Fails, Outcome, Play, Waits, branch, check_order, graph_of, node

outcomes = st.one_of(
    st.builds(Done, st.integers(0, 9)),
    st.builds(Done, st.integers(0, 9), port=st.sampled_from(["then", "else"])),
    st.builds(Fails, st.booleans(), st.none() | st.integers(0, 5000)),
    st.builds(Waits, st.integers(0, 5000), st.integers(0, 9)),
)
finishing = st.builds(Done, st.just("bye"), ends_run=st.just(True))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to eight steps; each depends on some of those before it, maybe by a port."""
    nodes: list[dict[str, Any]] = []
    branches: set[str] = set()
    for number in range(draw(st.integers(1, 8))):
        key = f"s{number}"
        depends_on = []
        for before in draw(st.sets(st.sampled_from([f"s{n}" for n in range(number)]))) if number else ():
            port = draw(st.sampled_from(["", ".then", ".else"])) if before in branches else ""
            depends_on.append(before + port)
        policy = {
            "max_retries": draw(st.integers(0, 2)),
            "on_error": draw(st.sampled_from(["fail", "continue"])),
        }
        if draw(st.booleans()):
            branches.add(key)
            nodes.append(branch(key, *depends_on, policy=policy))
        else:
            nodes.append(node(key, *depends_on, policy=policy))
    return graph_of(*nodes)


def scripts(graph: Graph, *, finish: bool) -> st.SearchStrategy[dict[str, list[Outcome]]]:
    each = outcomes | finishing if finish else outcomes
    return st.fixed_dictionaries({key: st.lists(each, min_size=1, max_size=3) for key in graph.order})


def check_end(played: Play) -> None:
    run, graph = played.run, played.graph
    assert run.state in ENDED
    assert set(run.steps) == set(graph.nodes)
    assert all(step.state in SETTLED for step in run.steps.values())
    assert run.steps_done == len(graph.nodes)
    assert played.disk.timers == {}
    assert {key: step.state for key, step in played.disk.steps.items()} == {
        key: step.state for key, step in run.steps.items()
    }
    for key, step in run.steps.items():
        bad = [d.key for d in graph.nodes[key].depends_on if brings_down(played, d.key)]
        assert not bad or step.state is StepState.SKIPPED, f"{key} ran though {bad} failed"
    assert (run.state is RunState.FAILED) == any(brings_down(played, key) for key in run.steps)


def brings_down(played: Play, key: str) -> bool:
    return played.run.steps[key].state is StepState.FAILED and played.graph.nodes[key].policy.on_error != "continue"


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_run_ends(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    script = data.draw(scripts(graph, finish=True))
    wanted = data.draw(st.sets(st.sampled_from(graph.order)))
    played = Play(
        graph,
        script,
        choose=lambda n: data.draw(st.integers(0, n - 1)),
        wanted=lambda key: key in wanted,
    )
    played.begin().finish()
    check_end(played)
    check_order(played.events, graph)
    settled = [key for kind, key in played.events if kind.endswith((".completed", ".failed", ".skipped", ".cancelled"))]
    assert sorted(key for key in settled if key) == sorted(graph.order), "a step was not settled exactly once"
    assert not wanted.isdisjoint(played.ran) or all(key not in wanted for key in played.ran)
    assert set(played.ran) <= wanted


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_restart_anywhere_changes_nothing_of_the_end(data: st.DataObject) -> None:
    """Without finish, how a run ends does not hang on the order in which its steps end, so it can be compared."""
    graph = data.draw(graphs())
    script = data.draw(scripts(graph, finish=False))
    whole = Play(graph, script).begin().finish()
    again = Play(graph, script).begin()
    while True:
        if data.draw(st.integers(0, 3)) == 0:
            before = again
            settled = {key for key, step in before.disk.steps.items() if step.state in SETTLED}
            again = before.restarted().begin()
            assert not settled & set(again.ran), "a step whose result is recorded ran again"
        if not again.move():
            break
    check_end(again)
    assert again.states == whole.states
    assert again.run.state is whole.run.state
    assert again.run.output == whole.run.output
    assert again.run.names["steps"] == whole.run.names["steps"]


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_cancel_anywhere_ends_the_run_for_good(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    played = Play(graph, data.draw(scripts(graph, finish=False))).begin()
    for _ in range(data.draw(st.integers(0, 12))):
        played.move()
    if played.run.state in ENDED:
        return
    running, waiting = set(played.running()), set(played.disk.timers)
    machine.cancel_run(played.run, played.now, "why")
    played.turn()
    assert played.run.state is RunState.CANCELLED
    assert {key for key, state in played.states.items() if state == "cancelled"} == running
    assert all(played.states[key] == "skipped" for key in waiting)
    assert played.disk.timers == {}
    check_order(played.events, graph)
