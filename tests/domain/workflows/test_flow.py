"""The flow form as nodes: step types, ways, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from alloyd.domain.workflows.flow import nodes_of_flow
from alloyd.domain.workflows.model import Fault, FlowStep, NodeDefinition


def translate(flow: dict[str, Any], start: str = "s") -> tuple[dict[str, NodeDefinition], list[Fault]]:
    nodes, faults = nodes_of_flow(msgspec.convert(flow, dict[str, FlowStep]), start)
    return {node.key: node for node in nodes}, faults


@pytest.mark.parametrize(
    ("kind", "config", "operation", "becomes"),
    [
        ("starting_step", {"form": [1]}, "workflow.noop", {}),
        ("llm", {"prompt": "x"}, "ai.generate", {"prompt": "x"}),
        ("tool", {"url": "https://x"}, "http.request", {"url": "https://x"}),
        ("tool", {"connector": "x"}, "connector.action", {"connector": "x"}),
        ("run_workflow", {"workflow": "w"}, "workflow.call", {"workflow": "w"}),
        ("run_employee", {"m": 1}, "teammate.message", {"m": 1}),
        ("agent", {"m": 1}, "teammate.message", {"m": 1}),
        ("condition", {"condition": "true"}, "workflow.branch", {"condition": "true"}),
        ("user_input", {"event": "e"}, "workflow.wait_event", {"event": "e"}),
        ("send_message", {"text": "hi"}, "event.emit", {"kind": "message.sent", "payload": {"text": "hi"}}),
        ("send_message", {"kind": "order.paid"}, "event.emit", {"kind": "order.paid"}),
        ("finish", {"output": 1}, "workflow.finish", {"output": 1}),
        ("transform", {"values": {}}, "transform", {"values": {}}),
    ],
)
def test_step_types(kind: str, config: dict[str, Any], operation: str, becomes: dict[str, Any]) -> None:
    nodes, faults = translate({"s": {"type": kind, "config": config}})
    assert faults == []
    assert (nodes["s"].operation, nodes["s"].config) == (operation, becomes)


def noop(ways: Any = None) -> dict[str, Any]:
    return {"type": "workflow.noop", "next": ways}


def condition(ways: Any = None) -> dict[str, Any]:
    return {"type": "condition", "config": {"condition": "true"}, "next": ways}


@pytest.mark.parametrize(
    ("flow", "depends_on"),
    [
        ({"s": noop()}, {"s": []}),
        ({"s": noop("a"), "a": noop()}, {"s": [], "a": ["s"]}),
        ({"s": noop(["a", "b"]), "a": noop(), "b": noop()}, {"s": [], "a": ["s"], "b": ["s"]}),
        ({"s": noop([])}, {"s": []}),
        ({"s": noop(["a", "a"]), "a": noop()}, {"s": [], "a": ["s"]}),
        (
            {"s": noop(["a", "b"]), "a": noop("c"), "b": noop("c"), "c": noop()},
            {"s": [], "a": ["s"], "b": ["s"], "c": ["b", "a"]},
        ),
        (
            {"s": condition({"then": "a", "else": ["b", "c"]}), "a": noop(), "b": noop(), "c": noop()},
            {"s": [], "a": ["s.then"], "b": ["s.else"], "c": ["s.else"]},
        ),
        ({"s": condition({"then": "a"}), "a": noop()}, {"s": [], "a": ["s.then"]}),
        ({"s": condition({"then": None, "else": "a"}), "a": noop()}, {"s": [], "a": ["s.else"]}),
        ({"s": condition({"then": "a", "else": "a"}), "a": noop()}, {"s": [], "a": ["s.then", "s.else"]}),
        ({"s": condition()}, {"s": []}),
        ({"s": noop("a"), "a": noop("s")}, {"s": ["a"], "a": ["s"]}),
    ],
)
def test_ways(flow: dict[str, Any], depends_on: dict[str, list[str]]) -> None:
    nodes, faults = translate(flow)
    assert faults == []
    assert {key: node.depends_on for key, node in nodes.items()} == depends_on


@pytest.mark.parametrize(
    ("flow", "places"),
    [
        ({"a": noop()}, ["starting_step_id"]),
        ({"s": noop("nowhere")}, ["flow.s.next"]),
        ({"s": noop(["a", "x", "y"]), "a": noop()}, ["flow.s.next", "flow.s.next"]),
        ({"s": condition({"then": "x", "else": "y"})}, ["flow.s.next.then", "flow.s.next.else"]),
        ({"s": noop({"then": "a"}), "a": noop()}, ["flow.s.next", "flow.a"]),
        ({"s": condition("a"), "a": noop()}, ["flow.s.next", "flow.a"]),
        ({"s": condition(["a"]), "a": noop()}, ["flow.s.next", "flow.a"]),
        ({"s": noop(), "lost": noop("also"), "also": noop()}, ["flow.lost", "flow.also"]),
    ],
)
def test_faults(flow: dict[str, Any], places: list[str]) -> None:
    _nodes, faults = translate(flow)
    assert [fault.path for fault in faults] == places
    assert all(fault.message for fault in faults)


def test_what_an_editor_keeps_beside_is_ignored() -> None:
    nodes, faults = translate({"s": {"type": "finish", "config": {}, "position": {"x": 1}, "label": "End"}})
    assert (list(nodes), faults) == (["s"], [])
