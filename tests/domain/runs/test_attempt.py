"""What an attempt is given: its config with the inputs in place, and the steps around it."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec

from alloyd.domain.operations.workflow_delay import DelayConfig
from alloyd.domain.runs.attempt import prepare
from alloyd.domain.runs.machine import Run
from alloyd.domain.workflows.compile import compile_definition
from alloyd.domain.workflows.model import DefinitionBody


def test_an_input_fills_the_field_that_is_called_so_on_the_wire() -> None:
    nodes = [
        {"key": "a", "operation": "workflow.noop"},
        {
            "key": "b",
            "operation": "workflow.delay",
            "depends_on": ["a"],
            "inputs": {"for": "$context.wait", "more": "$context.wait"},
        },
        {"key": "c", "operation": "workflow.noop", "depends_on": ["b"]},
    ]
    body = msgspec.convert({"name": "n", "nodes": nodes}, DefinitionBody)
    graph, faults = compile_definition(body, 10, 1000)
    assert faults == []
    assert graph is not None
    run = Run("r", "o", "w", 1, graph, {}, {"wait": "5m"})
    context, config = prepare(run, graph.nodes["b"], 1, SimpleNamespace())  # type: ignore[arg-type]
    assert config == DelayConfig(for_="5m")
    assert context.inputs == {"for": "5m", "more": "5m"}
    assert (context.depends_on, context.dependents) == (("a",), ("c",))
