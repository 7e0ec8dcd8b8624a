"""The pure run machine by tables: what runs, what is skipped, how it ends, and in which order that is told."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.operations.model import Done
from alloyd.domain.runs import machine
from alloyd.domain.runs.model import RunState, StepError, StepState
from alloyd.domain.runs.outputs import retry_delay_ms
from alloyd.events.model import Event
from tests.machine import BROKEN, Fails, Play, Script, Waits, branch, check_order, graph_of, node, play

CONTINUE = {"on_error": "continue"}
NO_RETRY = {"max_retries": 0}
NodeList = list[dict[str, Any]]

DIAMOND = [node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c")]
WAYS = [branch("if"), node("yes", "if.then"), node("no", "if.else"), node("end", "yes", "no")]

# nodes, script, the run's end, the steps' ends where they are not "completed"
ENDS: dict[str, tuple[NodeList, Script, str, dict[str, str]]] = {
    "one step": ([node("a")], {}, "completed", {}),
    "linear": ([node("a"), node("b", "a"), node("c", "b")], {}, "completed", {}),
    "fan-out and join": (DIAMOND, {}, "completed", {}),
    "two roots": ([node("a"), node("b"), node("c", "a", "b")], {}, "completed", {}),
    "then": (WAYS, {"if": [Done(port="then")]}, "completed", {"no": "skipped"}),
    "else": (WAYS, {"if": [Done(port="else")]}, "completed", {"yes": "skipped"}),
    "a way without steps": (
        [branch("if"), node("yes", "if.then")],
        {"if": [Done(port="else")]},
        "completed",
        {"yes": "skipped"},
    ),
    "both ways to one step": (
        [branch("if"), node("end", "if.then", "if.else")],
        {"if": [Done(port="else")]},
        "completed",
        {},
    ),
    "whichever way": ([branch("if"), node("after", "if")], {"if": [Done(port="else")]}, "completed", {}),
    "a skipped way skips all behind it": (
        [branch("if"), node("x", "if.then"), node("y", "x"), node("z", "y")],
        {"if": [Done(port="else")]},
        "completed",
        {"x": "skipped", "y": "skipped", "z": "skipped"},
    ),
    "a failed dependency skips its dependents": (
        [node("a"), node("b", "a"), node("c", "b"), node("d")],
        {"a": [Fails()]},
        "failed",
        {"a": "failed", "b": "skipped", "c": "skipped"},
    ),
    "a failed one beside a completed one skips": (DIAMOND, {"b": [Fails()]}, "failed", {"b": "failed", "d": "skipped"}),
    "on_error continue": (
        [node("a", policy=CONTINUE), node("b", "a")],
        {"a": [Fails()]},
        "completed",
        {"a": "failed"},
    ),
    "a failed branch that continues takes neither way": (
        [branch("if", policy=CONTINUE), node("yes", "if.then"), node("no", "if.else"), node("any", "if")],
        {"if": [Fails()]},
        "completed",
        {"if": "failed", "yes": "skipped", "no": "skipped"},
    ),
    "failed after all retries": (
        [node("a", policy={"max_retries": 2}), node("b", "a")],
        {"a": [Fails(retryable=True)]},
        "failed",
        {"a": "failed", "b": "skipped"},
    ),
    "well at the third attempt": (
        [node("a", policy={"max_retries": 2}), node("b", "a")],
        {"a": [Fails(retryable=True), Fails(retryable=True), Done(1)]},
        "completed",
        {},
    ),
    "never again what can't get better": ([node("a")], {"a": [Fails(), Done(1)]}, "failed", {"a": "failed"}),
    "no retries": (
        [node("a", policy=NO_RETRY)],
        {"a": [Fails(retryable=True), Done(1)]},
        "failed",
        {"a": "failed"},
    ),
    "delay": ([node("a"), node("b", "a"), node("c", "b")], {"b": [Waits(5000)]}, "completed", {}),
    "two delays at one time": (DIAMOND, {"b": [Waits(50)], "c": [Waits(50)]}, "completed", {}),
    "finish in the middle": (
        [node("a"), node("f", "a"), node("after", "f"), node("slow"), node("later", "slow")],
        {"f": [Done("bye", ends_run=True)]},
        "completed",
        {"after": "skipped", "slow": "cancelled", "later": "skipped"},
    ),
    "finish while another waits": (
        [node("w"), node("a"), node("f", "a")],
        {"f": [Done("bye", ends_run=True)], "w": [Waits(50_000)]},
        "completed",
        {"w": "skipped"},
    ),
    "finish after another failed": (
        [node("bad"), node("a"), node("f", "a"), node("slow")],
        {"bad": [Fails()], "f": [Done("bye", ends_run=True)]},
        "failed",
        {"bad": "failed", "slow": "cancelled"},
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends(name: str) -> None:
    nodes, script, state, others = ENDS[name]
    played = play(graph_of(*nodes), script)
    assert played.run.state == state
    assert played.states == {entry["key"]: "completed" for entry in nodes} | others
    assert played.disk.state == state
    assert played.disk.timers == {}
    assert played.run.steps_done == len(nodes)
    check_order(played.events, played.graph)


@pytest.mark.parametrize("name", ENDS)
def test_goes_on_from_whatever_was_recorded(name: str) -> None:
    nodes, script, _state, _others = ENDS[name]
    whole = play(graph_of(*nodes), script)
    for number, snapshot in enumerate(whole.snapshots[:-1]):
        recorded = {key for key, step in snapshot.steps.items() if step.state in machine.SETTLED}
        again = whole.restarted(number).begin().finish()
        assert again.outcome == whole.outcome, f"restarted after commit {number}"
        assert not recorded & set(again.ran), "a step whose result is recorded ran again"
        assert again.disk.timers == {}


def test_whens() -> None:
    graph = graph_of(
        node("a"), node("off", "a"), node("alone", "off"), node("also", "off", "a"), node("last", "alone", "also")
    )
    played = play(graph, wanted=lambda key: key != "off")
    assert played.states == {
        "a": "completed",
        "off": "skipped",
        "alone": "skipped",
        "also": "completed",
        "last": "completed",
    }
    assert played.run.state is RunState.COMPLETED
    check_order(played.events, graph)


def test_a_retry_and_a_restart_do_not_ask_again_whether_the_step_is_wanted() -> None:
    graph = graph_of(node("a"))
    asked: list[str] = []

    def wanted(key: str) -> bool:
        asked.append(key)
        return len(asked) == 1

    played = Play(graph, {"a": [Fails(retryable=True), Done(1)]}, wanted=wanted).begin()
    played.move()
    again = played.restarted().begin().finish()
    assert again.run.state is RunState.COMPLETED
    assert asked == ["a"]


# -- the order of what is told ----------------------------------------------------------------------------------------


def short(played: Play) -> list[str]:
    """``started a`` for ``workflow.node.started`` of ``a``, ``run started`` for the run's own."""
    return [
        f"{kind.rpartition('.')[2]} {key}" if key else f"run {kind.rpartition('.')[2]}" for kind, key in played.events
    ]


TOLD: dict[str, tuple[NodeList, Script, list[str]]] = {
    "one step": ([node("a")], {}, ["run started", "started a", "completed a", "run completed"]),
    "one after the other": (
        [node("a"), node("b", "a")],
        {},
        ["run started", "started a", "completed a", "started b", "completed b", "run completed"],
    ),
    "a delay": (
        [node("a")],
        {"a": [Waits(10)]},
        ["run started", "started a", "waiting a", "run waiting", "run resumed", "completed a", "run completed"],
    ),
    "a retry": (
        [node("a")],
        {"a": [Fails(retryable=True), Done(1)]},
        [
            "run started",
            "started a",
            "retrying a",
            "run waiting",
            "run resumed",
            "started a",
            "completed a",
            "run completed",
        ],
    ),
    "a failure": (
        [node("a"), node("b", "a")],
        {"a": [Fails()]},
        ["run started", "started a", "failed a", "skipped b", "run failed"],
    ),
    "waiting beside running is no waiting run": (
        [node("w"), node("r")],
        {"w": [Waits(1)]},
        [
            "run started",
            "started w",
            "started r",
            "waiting w",
            "completed r",
            "run waiting",
            "run resumed",
            "completed w",
            "run completed",
        ],
    ),
    "finish": (
        [node("f"), node("x"), node("y", "x")],
        {"f": [Done(1, ends_run=True)]},
        ["run started", "started f", "started x", "completed f", "cancelled x", "skipped y", "run completed"],
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_told(name: str) -> None:
    nodes, script, wanted = TOLD[name]
    assert short(play(graph_of(*nodes), script)) == wanted


def test_what_a_step_emits_is_told_before_the_run_ends() -> None:
    played = Play(graph_of(node("a"))).begin()
    emitted = Event("org", "order.paid", "x", {})
    machine.complete_step(played.run, "a", Done(1, events=(emitted,)), b"1", played.now)
    told = played.run.take_changes().events
    assert [entry if isinstance(entry, Event) else entry[0] for entry in told] == [
        "workflow.node.completed",
        emitted,
        "workflow.run.completed",
    ]


def test_payloads_of_what_is_told() -> None:
    graph = graph_of(node("a", policy={"max_retries": 1, "backoff": "fixed", "initial_delay_ms": 7}))
    played = play(graph, {"a": [Fails(retryable=True)]})
    told = dict(zip(played.events, played.payloads, strict=True))
    broken = {"code": "broken", "message": "it broke"}
    assert told["workflow.node.retrying", "a"] == {"attempt": 1, "delay_ms": 7, "error": broken}
    assert told["workflow.node.started", "a"] == {"attempt": 2}
    assert told["workflow.node.failed", "a"] == {"attempt": 2, "error": broken}
    assert told["workflow.run.failed", None] == {"error": broken | {"step": "a"}}


# -- retries and timers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backoff", "attempt", "chance", "wanted"),
    [
        ("fixed", 1, 0.0, 1000),
        ("fixed", 9, 1.0, 1000),
        ("exponential", 1, 0.0, 1000),
        ("exponential", 2, 0.0, 2000),
        ("exponential", 4, 1.0, 8000),
        ("exponential", 7, 0.0, 60_000),
        ("exponential", 100, 0.0, 60_000),
        ("exponential_jitter", 1, 0.0, 500),
        ("exponential_jitter", 1, 1.0, 1000),
        ("exponential_jitter", 3, 0.0, 2000),
        ("exponential_jitter", 3, 0.5, 3000),
        ("exponential_jitter", 100, 1.0, 60_000),
        ("exponential_jitter", 100, 0.0, 30_000),
    ],
)
def test_backoff(backoff: str, attempt: int, chance: float, wanted: int) -> None:
    policy = {"backoff": backoff, "initial_delay_ms": 1000, "max_delay_ms": 60_000}
    graph = graph_of(node("a", policy=policy))
    assert retry_delay_ms(graph.nodes["a"].policy, attempt, chance) == wanted


@pytest.mark.parametrize(("asked_ms", "wanted_ms"), [(None, 1000), (0, 1000), (999, 1000), (90_000, 90_000)])
def test_what_the_other_side_asks_to_wait_is_kept(asked_ms: int | None, wanted_ms: int) -> None:
    graph = graph_of(node("a", policy={"backoff": "fixed"}))
    played = Play(graph).begin()
    played.settle("a", Fails(retryable=True, retry_after_ms=asked_ms))
    assert played.disk.timers == {"a": played.now + wanted_ms}


def test_every_attempt_is_kept() -> None:
    played = play(graph_of(node("a", policy={"max_retries": 5})), {"a": [Fails(retryable=True)] * 2 + [Done(1)]})
    step = played.run.steps["a"]
    assert (step.attempt, step.error) == (3, None)
    assert [(entry.attempt, entry.error) for entry in step.attempts] == [(1, BROKEN), (2, BROKEN)]
    assert all(entry.started_at is not None and entry.started_at <= entry.ended_at for entry in step.attempts)


def test_an_interrupted_attempt_is_kept_and_costs_no_retry() -> None:
    graph = graph_of(node("a", policy={"max_retries": 1}))
    script = {"a": [Fails(retryable=True), Done(1)]}
    played = Play(graph, script).begin()
    for _ in range(3):
        played = played.restarted().begin()
    played.finish()
    step = played.run.steps["a"]
    assert played.run.state is RunState.COMPLETED
    assert step.attempt == 5
    assert [entry.error.code for entry in step.attempts] == ["interrupted"] * 3 + ["broken"]


def test_a_timer_is_never_early_and_fires_once() -> None:
    played = Play(graph_of(node("a")), {"a": [Waits(100, "done")]}).begin()
    played.settle("a")
    fire_at = played.disk.timers["a"]
    assert not machine.fire_timer(played.run, "a", fire_at - 1)
    assert machine.fire_timer(played.run, "a", fire_at)
    assert not machine.fire_timer(played.run, "a", fire_at)
    assert not machine.fire_timer(played.run, "nowhere", fire_at)
    assert played.run.output == "done"


# -- ending from outside ----------------------------------------------------------------------------------------------


def half_way() -> Play:
    """``done`` is completed, ``w`` waits, ``r`` runs, ``later`` has not begun."""
    played = Play(graph_of(node("done"), node("w"), node("r"), node("later", "r")), {"w": [Waits(50)]}).begin()
    played.settle("done")
    played.settle("w")
    assert played.run.state is RunState.RUNNING
    return played


def test_cancel() -> None:
    played = half_way()
    machine.cancel_run(played.run, played.now, "why")
    played.turn()
    assert played.states == {"done": "completed", "w": "skipped", "r": "cancelled", "later": "skipped"}
    assert (played.run.state, played.run.error) == (RunState.CANCELLED, StepError("cancelled", "why"))
    assert played.disk.timers == {}
    check_order(played.events, played.graph)


def test_deadline() -> None:
    played = half_way()
    reason = StepError("deadline_exceeded", "late")
    machine.fail_run(played.run, played.now, reason)
    played.turn()
    assert (played.run.state, played.run.error) == (RunState.FAILED, reason)
    assert played.states["r"] == "cancelled"
    check_order(played.events, played.graph)


def test_a_run_that_never_began_can_be_cancelled() -> None:
    played = Play(graph_of(*DIAMOND))
    machine.cancel_run(played.run, played.now, "why")
    played.turn()
    assert set(played.states.values()) == {"skipped"}
    assert short(played) == [*(f"skipped {key}" for key in played.graph.order), "run cancelled"]


def test_an_ended_run_does_not_move() -> None:
    played = play(graph_of(node("a")))
    machine.settle_state(played.run, played.now)
    machine.resume_run(played.run)
    assert not machine.fire_timer(played.run, "a", played.now)
    with pytest.raises(AssertionError, match="completed, not running"):
        machine.complete_step(played.run, "a", Done(2), b"2", played.now)
    with pytest.raises(AssertionError):
        machine.fail_step(played.run, "a", BROKEN, played.now, retryable=True)
    assert played.run.take_changes().events == []


# -- what a run gives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "script", "output"),
    [
        ([node("a"), node("b", "a")], {"b": [Done([1])]}, [1]),
        ([node("a"), node("b")], {"a": [Done(1)], "b": [Done(2)]}, {"a": 1, "b": 2}),
        ([node("a"), node("b", policy=CONTINUE)], {"a": [Done(1)], "b": [Fails()]}, {"a": 1}),
        (
            [branch("if"), node("x", "if.then"), node("y", "if.else")],
            {"if": [Done(port="then")], "x": [Done(1)]},
            {"x": 1},
        ),
        ([branch("if"), node("x", "if.then")], {"if": [Done(port="else")]}, None),
        ([node("f")], {"f": [Done("bye", ends_run=True)]}, "bye"),
    ],
)
def test_output(nodes: NodeList, script: Script, output: Any) -> None:
    assert play(graph_of(*nodes), script).run.output == output


@pytest.mark.parametrize(
    ("begins", "done", "outputs", "context"),
    [
        ({}, Done(1, context={"a": 1}), {}, {"a": 1}),
        ({"a": 1, "b": 2}, Done(1, context={"a": {"c": 3}}), {}, {"a": {"c": 3}, "b": 2}),
        ({"a": {"x": 1}}, Done({"n": 5}), {"n": "$context.a.n"}, {"a": {"x": 1, "n": 5}}),
        ({"a": 7}, Done({"n": 5}), {"n": "$context.a.b.c"}, {"a": {"b": {"c": 5}}}),
        ({}, Done({"n": 5, "m": 6}), {"n": "$context.a.n", "m": "$context.a.m"}, {"a": {"n": 5, "m": 6}}),
        ({}, Done({"n": 5}), {"other": "$context.a"}, {"a": None}),
        ({}, Done("no object"), {"n": "$context.a"}, {"a": None}),
        ({}, Done({"n": 5}, context={"a": 1, "b": 2}), {"n": "$context.a"}, {"a": 5, "b": 2}),
        ({"k": 1}, Done(1), {}, {"k": 1}),
    ],
)
def test_context(begins: dict[str, Any], done: Done, outputs: dict[str, str], context: dict[str, Any]) -> None:
    graph = graph_of(node("a", outputs=outputs))
    played = Play(graph)
    first = dict(begins)
    played.run.context = played.run.names["context"] = begins
    played.begin().settle("a", done)
    assert played.run.context == context == played.run.names["context"]
    assert begins == first, "the context that others may hold was changed in place"
    if done.context or outputs:
        assert played.disk.context == context


def test_expressions_see_the_same_after_a_restart() -> None:
    graph = graph_of(node("ok"), node("bad", policy=CONTINUE), node("off"), node("last", "ok", "bad", "off"))
    played = Play(graph, {"ok": [Done({"n": 1})], "bad": [Fails()]}, wanted=lambda key: key != "off").begin()
    for key in ("ok", "bad"):
        played.settle(key)
    assert played.restarted().run.names == played.run.names
    assert played.run.names["steps"] == {
        "ok": {"output": {"n": 1}, "state": "completed"},
        "bad": {"output": None, "state": "failed", "error": {"code": "broken", "message": "it broke", "details": None}},
    }


def test_the_step_that_failed_first_brings_the_run_down_after_a_restart_too() -> None:
    graph = graph_of(node("a"), node("b"), node("c"))
    played = Play(graph).begin()
    played.settle("b", Fails())
    played.now += 5
    played.settle("a", Fails())
    for run in (played, played.restarted().begin()):
        run.settle("c", Done(1))
        assert run.run.error is not None
        assert run.run.error.step == "b"


def test_steps_of_a_run_read_back_go_on_where_they_were() -> None:
    played = half_way()
    again = played.restarted().begin()
    assert again.states == {"done": "completed", "w": "waiting", "r": "running"}
    assert again.run.steps["w"].fire_at == played.run.steps["w"].fire_at
    assert again.run.steps["r"].state is StepState.RUNNING
    assert short(again) == ["run resumed", "started r"]
