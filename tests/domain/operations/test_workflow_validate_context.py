"""Judging by a user's JSON Schema: every fault told, nothing fetched, nothing that runs away."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.operations import user_schema
from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.model import Done, Fault, OperationError
from alloyd.domain.operations.schema_cost import (
    FAULT_WORK_MAX,
    SCHEMA_BYTES_MAX,
    SCHEMA_DEPTH_MAX,
    SCHEMA_PARTS_MAX,
    VALUE_DEPTH_MAX,
    WORK_MAX,
    SchemaCost,
    SchemaRefusedError,
    measure,
)
from alloyd.domain.operations.user_schema import FAULTS_MAX, faults_in
from alloyd.domain.operations.validation import check_config

VALIDATE = get_operation("workflow.validate_context")
ORDER = {
    "type": "object",
    "required": ["id", "lines"],
    "properties": {
        "id": {"type": "string", "pattern": "^o-[0-9]+$"},
        "lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
        "paid": {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0}]},
    },
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "type": "object",
            "required": ["v"],
            "properties": {
                "v": {"type": "integer"},
                "left": {"$ref": "#/$defs/tree"},
                "right": {"$ref": "#/$defs/tree"},
            },
            "additionalProperties": False,
        }
    },
}


def nested(value: Any, depth: int, key: str = "a") -> Any:
    for _ in range(depth):
        value = {key: value}
    return value


def doubling(levels: int) -> dict[str, Any]:
    """Each level names the one below twice: 2**levels looks at the same value."""
    defs: dict[str, Any] = {"d0": {"type": "string", "minLength": 9}}
    for level in range(1, levels):
        below = {"$ref": f"#/$defs/d{level - 1}"}
        defs[f"d{level}"] = {"anyOf": [below, below]}
    return {"$ref": f"#/$defs/d{levels - 1}", "$defs": defs}


async def test_a_fitting_context_goes_on(run: Any) -> None:
    context = {"id": "o-1", "lines": [{"sku": "x"}], "paid": 3}
    assert await run(VALIDATE, {"schema": ORDER}, names={"context": context}) == Done({"valid": True})


async def test_every_fault_is_told_with_its_path_and_without_values(run: Any) -> None:
    context = {"id": "sk-secret", "lines": [{}, 5], "paid": -1, "more": 1}
    with pytest.raises(OperationError) as caught:
        await run(VALIDATE, {"schema": ORDER}, names={"context": context})
    error = caught.value
    assert (error.code, error.retryable) == ("invalid_value", False)
    assert [(fault["path"], fault["message"]) for fault in sorted(error.details, key=lambda fault: fault["path"])] == [
        ("id", 'the value does not match "^o-[0-9]+$"'),
        ("lines[0].sku", "is required"),
        ("lines[1]", 'the value is not of type "object"'),
        ("more", "there is no such field"),
        ("paid", "the value is less than the minimum of 0"),
    ]
    assert "and 4 more" in error.message
    assert "sk-secret" not in repr(error.details) + error.message


async def test_a_value_takes_the_place_of_the_context(run: Any) -> None:
    assert await run(VALIDATE, {"schema": {"type": "null"}, "value": None}) == Done({"valid": True})
    with pytest.raises(OperationError) as caught:
        await run(VALIDATE, {"schema": {"type": "null"}, "value": 1})
    assert caught.value.message == 'the value is not of type "null"'


@pytest.mark.parametrize(
    ("schema", "value", "paths"),
    [
        (True, 1, []),
        (False, 1, [""]),
        (TREE, {"v": 1, "left": {"v": 2, "right": {"v": 3}}}, []),
        (TREE, {"v": 1, "left": {"v": "x"}, "rihgt": {}}, ["left.v", "rihgt"]),
        (TREE, nested({"v": 1}, 0), []),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}, [1], ["[0]"]),
        ({"$ref": "#/properties/a~1b", "properties": {"a/b": {"type": "string"}}}, 5, [""]),
        ({"$ref": "#/allOf/0/not", "allOf": [{"not": {"type": "string"}}]}, "x", [""]),
        ({"uniqueItems": True, "contains": {"const": 1}}, [1, 1], [""]),
        ({"properties": {"e": {"enum": [1, 2]}}, "dependentRequired": {"e": ["f"]}}, {"e": 1}, ["f"]),
    ],
)
def test_faults_in(schema: Any, value: Any, paths: list[str]) -> None:
    assert sorted(fault.path for fault in faults_in(schema, value)) == paths


def test_a_deep_tree_that_refers_to_itself_is_fine() -> None:
    tree: dict[str, Any] = {"v": 1}
    for number in range(60):
        tree = {"v": number, "left": tree, "right": {"v": 0}}
    assert faults_in(TREE, tree) == []


@pytest.mark.parametrize(
    ("schema", "words", "place"),
    [
        ({"$ref": "http://127.0.0.1:9/x"}, "into the schema itself", ""),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "into the schema itself", ""),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "into the schema itself", "/properties/a"),
        ({"$ref": "#/nowhere"}, "there is nothing at", ""),
        ({"$ref": "#/allOf/7", "allOf": [{}]}, "there is nothing at", ""),
        ({"$ref": "#"}, "leads to itself", ""),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}, "leads to itself", ""),
        ({"$dynamicRef": "#x"}, "$dynamicRef is not supported", ""),
        ({"$recursiveRef": "#"}, "$recursiveRef is not supported", ""),
        ({"$defs": {"a": {"$id": "http://x/y"}}}, "only the whole schema", "/$defs/a"),
        ({"$schema": "http://127.0.0.1:9/meta"}, "nknown meta-schema", ""),
        ({"type": "objct"}, "not valid", "type"),
        ({"properties": 3}, "not of type", "properties"),
        ({"properties": {"a": {"pattern": "(?=x)y"}}}, "regex", "properties.a.pattern"),
        ({"pattern": r"(a)\1"}, "regex", "pattern"),
        ({"pattern": "(a{1000}){1000}"}, "regex", "pattern"),
        ({"patternProperties": {"(": {}}}, "regex", "patternProperties.("),
        (5, "an object or a boolean", ""),
        ({"description": "x" * SCHEMA_BYTES_MAX}, "larger than", ""),
        ({"allOf": [{}] * SCHEMA_PARTS_MAX}, "parts", "/allOf"),
        (doubling(60), "deep", "#/$defs/d27"),
        (nested({}, SCHEMA_DEPTH_MAX + 1, "not"), "deep", "/not" * (SCHEMA_DEPTH_MAX + 1)),
    ],
)
def test_a_schema_that_is_refused(schema: Any, words: str, place: str) -> None:
    with pytest.raises(SchemaRefusedError, match=words.replace("$", r"\$")) as caught:
        faults_in(schema, 1)
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (doubling(25), "a"),
        # Two ways down at each level of the value.
        (
            {"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}}, {"allOf": [{"items": {"$ref": "#"}}]}]},
            eval("[" * 30 + "1" + "]" * 30),
        ),
        (
            {"$ref": "#/$defs/u15", "$defs": {
                "u0": {},
                **{f"u{n}": {"allOf": [{"$ref": f"#/$defs/u{n - 1}"}], "unevaluatedProperties": False}
                   for n in range(1, 16)},
            }},
            {"a": 1},
        ),
        ({"items": {"allOf": [{"type": "string"}] * 1000}}, ["x"] * 2000),
        ({"items": {"multipleOf": 1e-300}}, [1.5e300] * 20_000),
        ({"items": {"enum": list(range(1000))}}, ["x"] * 2000),
        ({"patternProperties": {f"a{n}": {} for n in range(100)}, "additionalProperties": {"minLength": 1}},
         {"x" * 1000: "y" * 10_000_000}),
    ],
)  # fmt: skip
def test_too_much_work_is_refused_before_it_is_done(schema: Any, value: Any) -> None:
    with pytest.raises(SchemaRefusedError, match="too much work"):
        faults_in(schema, value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (doubling(14), "a"),
        # A thousand faults, each of which would copy the whole list.
        ({"allOf": [{"type": "string"}] * 100}, [str(number) for number in range(9_000)]),
        ({"items": {"type": "integer"}}, ["x"] * (FAULT_WORK_MAX + 1)),
    ],
)
def test_faults_that_cost_too_much_are_summed_up(schema: Any, value: Any) -> None:
    faults = faults_in(schema, value)
    assert [fault.path for fault in faults] == [""]
    assert "too large for a list" in faults[0].message


def test_at_most_so_many_faults() -> None:
    assert len(faults_in({"items": {"type": "integer"}}, ["x"] * (FAULTS_MAX + 5))) == FAULTS_MAX


def test_a_value_that_is_too_deep() -> None:
    with pytest.raises(SchemaRefusedError, match=f"more than {VALUE_DEPTH_MAX} deep"):
        faults_in(True, nested(1, VALUE_DEPTH_MAX + 1))
    assert faults_in(True, nested(1, VALUE_DEPTH_MAX)) == []


def test_the_levels_of_a_schema() -> None:
    cost = SchemaCost({"items": {"allOf": [{"type": "string"}, {"minLength": 1}]}})
    # Each part weighs one and its keywords: 2 at the top, 2 + 2 + 2 for an item, nothing further down.
    assert cost.levels(2) == [2, 6, 0]
    assert SchemaCost(doubling(30)).levels(0) == [WORK_MAX + 1]


def test_the_size_of_a_value() -> None:
    size = measure({"a": ["x" * 640, 1], "b" * 128: None})
    assert size.counts == (1 + 2 + 2, 2 + 2, 2 + 10)
    assert size.work([1, 2, 3]) == 5 + 8 + 36
    assert size.copy_work([1, 0, 1]) == 21 + 12


def test_compiled_schemas_are_kept_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    user_schema._compile.cache_clear()
    for number in range(100):
        faults_in({"const": number}, number)
    kept = user_schema._compile.cache_info()
    assert kept.currsize == kept.maxsize == 64


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({"schema": ORDER}, []),
        ({"schema": "{{ trigger.schema }}"}, []),
        ({"schema": {"type": "{{ trigger.type }}"}}, []),
        ({}, [Fault("schema", "is required")]),
        (
            {"schema": 5},
            [Fault("schema", "the value is not valid under any of the schemas listed in the 'anyOf' keyword")],
        ),
        ({"schema": {"type": "objct"}}, ["schema.type"]),
        ({"schema": {"not": {"$ref": "http://127.0.0.1/"}}}, ["schema./not"]),
    ],
)
def test_check(config: dict[str, Any], faults: list[Any]) -> None:
    found = check_config(VALIDATE, config)
    assert [fault if isinstance(fault, Fault) else fault.path for fault in found] == faults or [
        fault.path for fault in found
    ] == faults


async def test_a_bad_schema_fails_the_step(run: Any) -> None:
    with pytest.raises(OperationError) as caught:
        await run(VALIDATE, {"schema": doubling(25), "value": "a"})
    assert (caught.value.code, caught.value.path) == ("bad_schema", "schema")
