"""Checking configs before they are rendered, and making structs after."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from alloyd.domain.operations.faults import dotted, service_faults
from alloyd.domain.operations.model import Config, Done, Fault, Operation, OperationError
from alloyd.domain.operations.schema import schema_of
from alloyd.domain.operations.validation import build_config, check_config
from alloyd.errors import AlloydError, Code


class Inner(Config, frozen=True):
    """An inner one."""

    n: int


class Outer(Config, frozen=True):
    """An outer one."""

    name: Annotated[str, Meta(max_length=5)]
    inner: Annotated[Inner | None, Meta(description="inside")] = None
    many: list[Inner] = msgspec.field(default_factory=list)
    by_name: dict[str, int] = msgspec.field(default_factory=dict)
    cond: bool = False


def check(config: Any) -> list[Fault]:
    return [Fault("name", "must not be bad")] if config.get("name") == "bad" else []


OPERATION = Operation(
    "test", Outer, "", compute=lambda _ctx, _config: Done(), expressions=frozenset({"cond"}), check=check
)


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({"name": "x"}, []),
        ("{{ trigger }}", []),
        (5, [Fault("", "an object is wanted")]),
        (None, [Fault("", "an object is wanted")]),
        ({}, [Fault("name", "is required")]),
        ({"name": "bad"}, [Fault("name", "must not be bad")]),
        ({"name": 5}, [Fault("name", 'the value is not of type "string"')]),
        ({"name": "{{ trigger.a_long_one }}"}, []),
        ({"name": "too long"}, [Fault("name", "the value is longer than 5 characters")]),
        ({"name": "x", "inner": "{{ trigger.inner }}"}, []),
        ({"name": "x", "inner": {"n": "{{ 1 }}"}}, []),
        ({"name": "x", "inner": {"n": "1"}}, [Fault("inner.n", 'the value is not of type "integer"')]),
        ({"name": "x", "inner": {}}, [Fault("inner.n", "is required")]),
        ({"name": "x", "inner": {"n": 1, "m": 2}}, [Fault("inner.m", "there is no such field")]),
        (
            {"name": "x", "by_name": {"a.b": "z", "c": "{{ 1 }}"}},
            [Fault("by_name.a.b", 'the value is not of type "integer"')],
        ),
        # A bare expression is known as little as one in braces.
        ({"name": "x", "cond": "context.a > 1"}, []),
        ({"name": "x", "cond": 5}, [Fault("cond", 'the value is not of type "boolean"')]),
        (
            {"odd": 1, "inner": [], "many": [{"n": 1}, {"n": None}, 7]},
            [
                Fault("inner", "the value is not valid under any of the schemas listed in the 'anyOf' keyword"),
                Fault("many[1].n", 'the value is not of type "integer"'),
                Fault("many[2]", 'the value is not of type "object"'),
                Fault("name", "is required"),
                Fault("odd", "there is no such field"),
            ],
        ),
    ],
)
def test_check_config_tells_all_faults(config: Any, faults: list[Fault]) -> None:
    assert sorted(check_config(OPERATION, config), key=lambda fault: fault.path) == faults


def test_no_fault_shows_a_value() -> None:
    faults = check_config(OPERATION, {"name": "sk-secret", "inner": {"n": "sk-secret"}, "cond": ["sk-secret"]})
    assert len(faults) == 3
    assert "sk-secret" not in repr(faults)


def test_build_config() -> None:
    assert build_config(OPERATION, {"name": "x", "inner": {"n": 1}}) == Outer("x", Inner(1))


@pytest.mark.parametrize(
    ("rendered", "path", "message"),
    [
        ({}, "", "object missing required field `name`"),
        ({"name": 5}, "name", "name: expected `str`, got `int`"),
        ({"name": "x", "many": [{"n": 1}, {"n": "1"}]}, "many[1].n", "many[1].n: expected `int`, got `str`"),
        ({"name": "x", "by_name": {"a": "z"}}, "[...]", None),
        ({"name": "x", "odd": 1}, "", "object contains unknown field `odd`"),
        ({"name": "bad"}, "name", "name: must not be bad"),
        ([], "", "expected `object`, got `array`"),
    ],
)
def test_build_config_refuses(rendered: Any, path: str, message: str | None) -> None:
    with pytest.raises(OperationError) as caught:
        build_config(OPERATION, rendered)
    error = caught.value
    assert (error.code, error.retryable) == ("bad_config", False)
    assert (error.path or "").endswith(path)
    assert message is None or error.message == message
    assert error.details[0]["path"] == (error.path or "")


def test_the_schema_needs_no_resolver() -> None:
    schema = schema_of(Outer)
    assert "$ref" not in repr(schema)
    assert "$defs" not in schema
    (inner,) = [branch for branch in schema["properties"]["inner"]["anyOf"] if branch["type"] == "object"]
    assert inner["properties"] == {"n": {"type": "integer"}}
    assert schema["properties"]["inner"]["description"] == "inside"


@pytest.mark.parametrize(
    ("path", "text"), [([], ""), (["a"], "a"), (["a", 0, "b"], "a[0].b"), ([0, 1], "[0][1]"), ([0, "a"], "[0].a")]
)
def test_dotted(path: list[str | int], text: str) -> None:
    assert dotted(path) == text


@pytest.mark.parametrize(
    ("code", "retryable"),
    [(code, code in (Code.UNAVAILABLE, Code.RATE_LIMITED)) for code in Code],
)
def test_service_faults(code: Code, retryable: bool) -> None:
    with pytest.raises(OperationError, match="said") as caught, service_faults("path"):
        raise AlloydError(code, "said", retry_after_s=3, details={"a": 1})
    error = caught.value
    assert (error.code, error.path, error.retryable) == (code.value, "path", retryable)
    assert (error.retry_after_ms, error.details) == (3000, {"a": 1})
