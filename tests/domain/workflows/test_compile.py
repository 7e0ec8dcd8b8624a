"""Publishing checks: every fault with its place, all of them at one time; and the graph of what is sound."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from alloyd.domain.workflows.compile import compile_definition, is_draft
from alloyd.domain.workflows.model import ContextPath, DefinitionBody, Dependency, Graph, Policy
from alloyd.domain.workflows.sample import HELLO
from tests.machine import branch, node


def compiled(definition: dict[str, Any], nodes_max: int = 50) -> tuple[Graph | None, dict[str, str]]:
    body = msgspec.convert({"name": "n", **definition}, DefinitionBody)
    graph, faults = compile_definition(body, nodes_max, 60_000)
    assert (graph is None) == bool(faults)
    assert len({(fault.path, fault.message) for fault in faults}) == len(faults), "a fault is told twice"
    return graph, {fault.path: fault.message for fault in faults}


def graph_of(definition: dict[str, Any]) -> Graph:
    graph, faults = compiled(definition)
    assert graph is not None, faults
    return graph


def transform(values: Any, key: str = "a", *depends_on: str, **more: Any) -> dict[str, Any]:
    return node(key, *depends_on, operation="transform", config={"values": values}, **more)


FAULTS: dict[str, tuple[list[dict[str, Any]], dict[str, str]]] = {
    "no step": ([], {"nodes": "at least one"}),
    "key empty": ([node("")], {"nodes[0].key": "letters"}),
    "key with a dot": ([node("a.b")], {"nodes[0].key": "letters"}),
    "key with a line break": ([node("a\n")], {"nodes[0].key": "letters"}),
    "key not ASCII": ([node("é")], {"nodes[0].key": "letters"}),
    "key too long": ([node("a" * 65)], {"nodes[0].key": "64"}),
    "key twice": ([node("a"), node("b"), node("a")], {"nodes[2].key": "twice"}),
    "unknown operation": ([node("a", operation="no.such")], {"nodes[0].operation": "'no.such'"}),
    "missing dependency": ([node("a"), node("b", "a", "x")], {"nodes[1].depends_on[1]": "'x'"}),
    "itself": ([node("a", "a")], {"nodes": "a -> a"}),
    "cycle": ([node("a", "c"), node("b", "a"), node("c", "b")], {"nodes": "->"}),
    "cycle by a port": ([branch("a", "b"), node("b", "a.then")], {"nodes": "->"}),
    "port of what has none": ([node("a"), node("b", "a.then")], {"nodes[1].depends_on[0]": "'then'"}),
    "unknown port": ([branch("a"), node("b", "a.maybe")], {"nodes[1].depends_on[0]": "'maybe'"}),
    "empty port": ([branch("a"), node("b", "a.")], {"nodes[1].depends_on[0]": "no way"}),
    "config field missing": ([node("a", operation="transform")], {"nodes[0].config.values": "required"}),
    "config field unknown": (
        [node("a", operation="transform", config={"values": {}, "x": 1})],
        {"nodes[0].config.x": ""},
    ),
    "config of the wrong type": (
        [node("a", operation="transform", config={"values": 5})],
        {"nodes[0].config.values": ""},
    ),
    "what the schema can't say": ([node("a", operation="workflow.delay")], {"nodes[0].config": "`for` or `until`"}),
    "expression does not parse": ([transform({"x": "{{ 1 + }}"})], {"nodes[0].config.values.x": "column"}),
    "braces left open": ([transform({"x": "{{ 1"})], {"nodes[0].config.values.x": ""}),
    "expressions do not parse": (
        [transform({"x": "{{ ) }}", "y": ["ok", "{{ import os }}"]})],
        {"nodes[0].config.values.x": "column", "nodes[0].config.values.y[1]": "column"},
    ),
    "condition does not parse": (
        [node("a", operation="workflow.branch", config={"condition": "1 +"})],
        {"nodes[0].config.condition": "column"},
    ),
    "unknown name": ([transform({"x": "{{ triger.x }}"})], {"nodes[0].config": "'triger'"}),
    "names of a loop that is none": ([transform({"x": "{{ item + index }}"})], {"nodes[0].config": "'i"}),
    "unknown step": ([transform({"x": "{{ steps.b.output }}"})], {"nodes[0].config": "'b'"}),
    "when does not parse": ([node("a", when="1 +")], {"nodes[0].when": "column"}),
    "when empty": ([node("a", when="")], {"nodes[0].when": ""}),
    "when with an unknown name": ([node("a", when="x > 1")], {"nodes[0].when": "'x'"}),
    "when with an unknown step": ([node("a", when="steps.x.output")], {"nodes[0].when": "'x'"}),
    "input without a path": ([node("a", inputs={"x": "context.a"})], {"nodes[0].inputs.x": "$context.a.b"}),
    "input of an unknown name": ([node("a", inputs={"x": "$nowhere.a"})], {"nodes[0].inputs.x": "'nowhere'"}),
    "input of an unknown step": (
        [node("a", inputs=[{"name": "x", "path": "$steps.b.output"}])],
        {"nodes[0].inputs.x": "'b'"},
    ),
    "input with an expression": ([node("a", inputs={"x": "$context.a + 1"})], {"nodes[0].inputs.x": "path"}),
    "input with a line break": ([node("a", inputs={"x": "$context.a\n"})], {"nodes[0].inputs.x": "path"}),
    "output not into the context": ([node("a", outputs={"x": "$trigger.a"})], {"nodes[0].outputs.x": "context"}),
    "output over the whole context": ([node("a", outputs={"x": "$context"})], {"nodes[0].outputs.x": "context"}),
    "output without a path": (
        [node("a", outputs=[{"name": "x", "path": "a"}, {"name": "y", "path": ""}])],
        {"nodes[0].outputs.x": "path", "nodes[0].outputs.y": "path"},
    ),
    "several at one time": (
        [
            node("a!", "nowhere"),
            node("b", operation="no.such", when="("),
            transform({"x": "{{ nope }}"}, "c", inputs={"i": "x"}, outputs={"o": "x"}, when=")"),
        ],
        {
            "nodes[0].key": "",
            "nodes[0].depends_on[0]": "",
            "nodes[1].operation": "",
            "nodes[2].config": "",
            "nodes[2].inputs.i": "",
            "nodes[2].outputs.o": "",
            "nodes[2].when": "",
        },
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str) -> None:
    nodes, wanted = FAULTS[name]
    graph, faults = compiled({"nodes": nodes})
    assert graph is None
    assert faults.keys() == wanted.keys()
    for place, part in wanted.items():
        assert part in faults[place]


@pytest.mark.parametrize(
    ("definition", "place"),
    [
        ({"nodes": [node("a")], "flow": {"s": {"type": "finish"}}, "starting_step_id": "s"}, "flow"),
        ({"nodes": [node("a")], "trigger": {"type": "sundial"}}, "trigger.type"),
        ({"nodes": [node("a")], "mode": "sideways"}, "mode"),
        ({"flow": {"s": {"type": "finish"}}, "starting_step_id": "x"}, "starting_step_id"),
        ({"flow": {"s": {"type": "no.such"}}, "starting_step_id": "s"}, "flow.s.operation"),
        ({"flow": {"s": {"type": "finish", "config": {"x": 1}}}, "starting_step_id": "s"}, "flow.s.config.x"),
        ({"flow": {"s": {"type": "finish", "next": "x"}}, "starting_step_id": "s"}, "flow.s.next"),
        (
            {"flow": {"s": {"type": "transform", "config": {"values": {"x": "{{ ( }}"}}}}, "starting_step_id": "s"},
            "flow.s.config.values.x",
        ),
    ],
)
def test_faults_of_a_whole_definition(definition: dict[str, Any], place: str) -> None:
    assert list(compiled(definition)[1]) == [place]


def test_a_loop_in_a_flow() -> None:
    flow = {"s": {"type": "starting_step", "next": "a"}, "a": {"type": "workflow.noop", "next": "s"}}
    assert list(compiled({"flow": flow, "starting_step_id": "s"})[1]) == ["flow"]


def test_a_flow_whose_ids_are_no_keys() -> None:
    flow = {"s": {"type": "starting_step", "next": "a b"}, "a b": {"type": "finish"}}
    assert "flow.a b.key" in compiled({"flow": flow, "starting_step_id": "s"})[1]


def test_the_number_of_steps_has_a_limit() -> None:
    assert compiled({"nodes": [node(f"n{number}") for number in range(3)]}, 3)[1] == {}
    assert list(compiled({"nodes": [node(f"n{number}") for number in range(4)]}, 3)[1]) == ["nodes"]


@pytest.mark.parametrize(
    ("definition", "draft"),
    [
        ({}, True),
        ({"type": "employee"}, True),
        ({"flow": {}}, True),
        ({"flow": {"s": {"type": "finish"}}}, True),
        ({"flow": {"s": {"type": "finish"}}, "starting_step_id": ""}, True),
        ({"starting_step_id": "s"}, True),
        ({"flow": {}, "starting_step_id": "s"}, True),
        ({"flow": {"s": {"type": "finish"}}, "starting_step_id": "s"}, False),
        ({"flow": {"s": {"type": "no.such"}}, "starting_step_id": "s"}, False),
        ({"nodes": []}, False),
        ({"nodes": [node("a")]}, False),
    ],
)
def test_drafts(definition: dict[str, Any], draft: bool) -> None:
    assert is_draft(msgspec.convert({"name": "n", **definition}, DefinitionBody)) is draft


# -- what is sound ----------------------------------------------------------------------------------------------------


def test_the_graph() -> None:
    graph = graph_of({"nodes": [node("d", "b", "c"), node("b", "a"), branch("a"), node("c", "a.else", "a.then")]})
    assert graph.roots == ("a",)
    assert graph.leaves == ("d",)
    assert sorted(graph.order) == ["a", "b", "c", "d"]
    assert graph.order[0] == "a"
    assert graph.order[-1] == "d"
    assert graph.nodes["a"].dependents == ("b", "c"), "once each, in the definition's order"
    assert graph.nodes["c"].depends_on == (Dependency("a", "else"), Dependency("a", "then"))
    assert graph.run_deadline_ms is None


def test_the_sample_is_sound() -> None:
    graph = graph_of(HELLO)
    assert graph.order == ("start", "greet", "finish")


@pytest.mark.parametrize(
    ("when", "value"),
    [(None, None), (True, None), (False, False), ("trigger.x", 1), ("{{ trigger.x }}", 1), ("trigger.x > 1", False)],
)
def test_when(when: Any, value: Any) -> None:
    expression = graph_of({"nodes": [node("a", when=when)]}).nodes["a"].when
    assert (expression and expression.evaluate({"trigger": {"x": 1}})) == value


@pytest.mark.parametrize("form", ["object", "list"])
def test_inputs_and_outputs(form: str) -> None:
    inputs: Any = {"x": "$context.a.b-c", "y": "$trigger", "z": "$steps.a.output.0"}
    outputs: Any = {"n": "$context.deep.er", "m": "$context.m"}
    if form == "list":
        inputs = [{"name": name, "path": path} for name, path in inputs.items()]
        outputs = [{"name": name, "path": path} for name, path in outputs.items()]
    compiled_node = graph_of({"nodes": [node("a"), node("b", "a", inputs=inputs, outputs=outputs)]}).nodes["b"]
    names = {"context": {"a": {"b-c": 1}}, "trigger": [2], "steps": {"a": {"output": {"0": 3}}}}
    assert {name: path.evaluate(names) for name, path in compiled_node.inputs} == {"x": 1, "y": [2], "z": 3}
    assert compiled_node.outputs == (ContextPath("n", ("deep", "er")), ContextPath("m", ("m",)))


def test_a_bare_condition_is_an_expression_and_so_is_one_in_braces() -> None:
    for condition in ("trigger.n > 1", "{{ trigger.n > 1 }}"):
        config = graph_of({"nodes": [node("a", operation="workflow.branch", config={"condition": condition})]})
        assert config.nodes["a"].config.render({"trigger": {"n": 2}}) == {"condition": True}


def test_an_input_stands_in_for_a_field_that_is_required() -> None:
    graph_of({"nodes": [node("a", operation="transform", inputs={"values": "$context.v"})]})


@pytest.mark.parametrize(
    ("policy", "defaults", "wanted"),
    [
        (None, None, Policy(60_000)),
        ({}, {}, Policy(60_000)),
        ({"timeout_ms": 5}, None, Policy(5)),
        (None, {"timeout_ms": 7}, Policy(7)),
        ({"timeout_ms": 5}, {"timeout_ms": 7}, Policy(5)),
        ({"on_error": "continue"}, {"max_retries": 0}, Policy(60_000, max_retries=0, on_error="continue")),
        ({"max_retries": 3}, {"max_retries": 0, "backoff": "fixed"}, Policy(60_000, max_retries=3, backoff="fixed")),
        (
            {"initial_delay_ms": 0, "max_delay_ms": 9},
            {"initial_delay_ms": 5},
            Policy(60_000, initial_delay_ms=0, max_delay_ms=9),
        ),
    ],
)
def test_policies_inherit_field_by_field(policy: Any, defaults: Any, wanted: Policy) -> None:
    definition = {"nodes": [node("a", policy=policy)], "defaults": {"policy": defaults, "run_deadline_ms": 99}}
    graph = graph_of(definition)
    assert graph.nodes["a"].policy == wanted
    assert graph.run_deadline_ms == 99


@pytest.mark.parametrize("type_", ["structured", "agent", "employee"])
def test_each_type_of_flow_runs(type_: str) -> None:
    assert graph_of({"type": type_, "flow": {"s": {"type": "finish"}}, "starting_step_id": "s"})


def test_five_hundred_steps() -> None:
    nodes = [node("n0"), *(node(f"n{number}", f"n{number - 1}") for number in range(1, 500))]
    graph, faults = compiled({"nodes": nodes}, 500)
    assert faults == {}
    assert graph is not None
    assert graph.order == tuple(f"n{number}" for number in range(500))
