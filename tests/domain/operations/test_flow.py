"""The operations that only steer: noop, fan-out, fan-in, finish, transform, merge."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.model import Done, OperationError
from alloyd.domain.operations.workflow_merge_context import MERGE_DEPTH_MAX

STEPS = {"a": {"output": 1, "state": "completed"}, "b": {"output": None, "state": "failed"}}


@pytest.mark.parametrize(
    ("name", "config", "given", "expected"),
    [
        ("workflow.noop", {}, {}, Done(None)),
        ("workflow.noop", {}, {"inputs": {"x": 1}}, Done({"x": 1})),
        ("workflow.fan_out", {}, {"dependents": ("b", "c")}, Done({"value": None, "to": ["b", "c"]})),
        ("workflow.fan_out", {}, {"inputs": {"x": 1}}, Done({"value": {"x": 1}, "to": []})),
        ("workflow.fan_out", {"value": None}, {"inputs": {"x": 1}}, Done({"value": None, "to": []})),
        ("workflow.fan_in", {}, {"names": {"steps": STEPS}, "depends_on": ("b", "a")}, Done({"b": None, "a": 1})),
        (
            "workflow.fan_in",
            {"skip_null": True},
            {"names": {"steps": STEPS}, "depends_on": ("a", "b", "skipped")},
            Done({"a": 1}),
        ),
        ("workflow.fan_in", {}, {"names": {"steps": STEPS}}, Done({})),
        ("workflow.finish", {}, {}, Done(None, ends_run=True)),
        ("workflow.finish", {}, {"inputs": {"x": 1}}, Done({"x": 1}, ends_run=True)),
        ("workflow.finish", {"output": [1]}, {"inputs": {"x": 1}}, Done([1], ends_run=True)),
        ("workflow.finish", {"output": None}, {"inputs": {"x": 1}}, Done(None, ends_run=True)),
        ("transform", {"values": {"a": [1], "b": None}}, {}, Done({"a": [1], "b": None})),
    ],
)
async def test_outcome(run: Any, name: str, config: dict[str, Any], given: dict[str, Any], expected: Done) -> None:
    assert await run(get_operation(name), config, **given) == expected


@pytest.mark.parametrize(
    ("context", "values", "deep", "merged"),
    [
        ({"a": {"x": 1}}, {"a": {"y": 2}}, False, {"a": {"y": 2}}),
        ({"a": {"x": 1}, "z": 0}, {"a": {"y": 2}}, True, {"a": {"x": 1, "y": 2}}),
        ({"a": {"x": 1}}, {"a": {"x": None}}, True, {"a": {"x": None}}),
        ({"a": {"x": [1]}}, {"a": {"x": [2]}, "b": 1}, True, {"a": {"x": [2]}, "b": 1}),
        ({"a": 5}, {"a": {"x": 1}}, True, {"a": {"x": 1}}),
        ({}, {}, True, {}),
    ],
)
async def test_merge_context(
    run: Any, context: dict[str, Any], values: dict[str, Any], deep: bool, merged: dict[str, Any]
) -> None:
    before = repr(context)
    config = {"values": values, "deep": deep}
    done = await run(get_operation("workflow.merge_context"), config, names={"context": context})
    assert done == Done(values, context=merged)
    assert repr(context) == before


async def test_merge_context_is_bounded_in_depth(run: Any) -> None:
    deep: dict[str, Any] = {}
    for _ in range(MERGE_DEPTH_MAX + 1):
        deep = {"a": deep}
    with pytest.raises(OperationError) as caught:
        await run(get_operation("workflow.merge_context"), {"values": deep, "deep": True}, names={"context": deep})
    assert (caught.value.code, caught.value.path) == ("too_deep", "values")
