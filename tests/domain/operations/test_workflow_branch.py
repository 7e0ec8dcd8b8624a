"""Which way a branch takes, and what it refuses to compare."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.model import Fault, OperationError
from alloyd.domain.operations.paths import PATH_CHARS_MAX
from alloyd.domain.operations.validation import check_config

BRANCH = get_operation("workflow.branch")
CONTEXT = {
    "n": 5,
    "f": 5.0,
    "s": "hello",
    "list": [1, "x", True],
    "object": {"k": {"deep": [10, 20]}, "odd.key": 1},
    "no": None,
    "empty": "",
    "yes": True,
}


@pytest.mark.parametrize(
    ("value", "port"),
    [
        (True, "then"),
        (1, "then"),
        ("no", "then"),
        ([0], "then"),
        (False, "else"),
        (None, "else"),
        (0, "else"),
        ([], "else"),
    ],
)
async def test_condition(run: Any, value: Any, port: str) -> None:
    done = await run(BRANCH, {"condition": value})
    assert (done.port, done.output) == (port, {"result": port == "then", "port": port})


@pytest.mark.parametrize(
    ("path", "operator", "value", "port"),
    [
        ("context.n", "eq", 5, "then"),
        ("context.n", "eq", 5.0, "then"),
        ("context.yes", "eq", 1, "else"),
        ("context.n", "ne", 6, "then"),
        ("context.n", "gt", 4, "then"),
        ("context.n", "gt", 5, "else"),
        ("context.n", "gte", 5, "then"),
        ("context.f", "lt", 5.5, "then"),
        ("context.n", "lte", 4, "else"),
        ("context.s", "gt", "hallo", "then"),
        ("context.s", "contains", "ell", "then"),
        ("context.list", "contains", "x", "then"),
        ("context.list", "contains", True, "then"),
        ("context.list[0]", "in", [True], "else"),
        ("context.object", "contains", "k", "then"),
        ("context.list", "not_contains", "y", "then"),
        ("context.s", "in", ["hello"], "then"),
        ("context.s", "in", "say hello", "then"),
        ("context.s", "not_in", ["hello"], "else"),
        ("context.n", "exists", None, "then"),
        ("context.empty", "empty", None, "then"),
        ("context.s", "not_empty", None, "then"),
        ("context.s", "starts_with", "he", "then"),
        ("context.s", "ends_with", "he", "else"),
        ("$context.object.k.deep[1]", "eq", 20, "then"),
        ("$.context.object['odd.key']", "eq", 1, "then"),
        ('context.object["k"].deep.0', "eq", 10, "then"),
        ("context.list[-1]", "eq", True, "then"),
        # What is null or missing takes `else`, whatever the operator.
        ("context.no", "eq", None, "else"),
        ("context.no", "ne", 1, "else"),
        ("context.missing.far", "empty", None, "else"),
        ("context.list[9]", "exists", None, "else"),
        ("context.s.length", "exists", None, "else"),
        ("context.list.²", "exists", None, "else"),
        (None, "eq", 1, "else"),
    ],
)
async def test_path(run: Any, path: str | None, operator: str, value: Any, port: str) -> None:
    config = {"condition_path": path, "operator": operator, "value": value}
    if operator in ("exists", "empty", "not_empty"):
        del config["value"]
    done = await run(BRANCH, config, names={"context": CONTEXT})
    assert done.port == port


async def test_eq_is_the_default(run: Any) -> None:
    done = await run(BRANCH, {"condition_path": "context.n", "value": 5}, names={"context": CONTEXT})
    assert done.port == "then"


@pytest.mark.parametrize(
    ("path", "operator", "value", "words"),
    [
        ("context.n", "gt", "4", "a number and a text"),
        ("context.yes", "lt", 2, "a boolean and a number"),
        ("context.object", "gte", {}, "an object and an object"),
        ("context.n", "contains", 5, "a number can't contain"),
        ("context.s", "contains", 5, "a text can't contain a number"),
        ("context.s", "in", 5, "a number can't contain a text"),
        ("context.n", "empty", None, "a number is neither"),
        ("context.n", "starts_with", "5", "not a number and a text"),
        ("context.s", "starts_with", None, "not a text and null"),
        ("context.list", "ends_with", "5", "not a list and a text"),
    ],
)
async def test_a_mismatch_is_a_clear_error(run: Any, path: str, operator: str, value: Any, words: str) -> None:
    config = {"condition_path": path, "operator": operator, "value": value}
    if operator == "empty":
        del config["value"]
    with pytest.raises(OperationError) as caught:
        await run(BRANCH, config, names={"context": CONTEXT})
    assert (caught.value.code, caught.value.path, caught.value.retryable) == ("type_mismatch", "operator", False)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({"condition": "context.a > 1"}, []),
        ({"condition": "{{ context.a }}"}, []),
        ({"condition_path": "context.a", "value": 1}, []),
        ({"condition_path": "context.a", "operator": "exists"}, []),
        ({"condition_path": "{{ trigger.p }}", "operator": "{{ trigger.o }}"}, []),
        ({}, [""]),
        ({"condition": True, "condition_path": "context.a", "value": 1}, [""]),
        ({"condition": True, "value": 1}, ["value"]),
        ({"condition_path": "context.a"}, ["value"]),
        ({"condition_path": "context.a", "operator": "exists", "value": 1}, ["value"]),
        ({"condition_path": "other.a", "value": 1}, ["condition_path"]),
        ({"condition_path": "", "value": 1}, ["condition_path"]),
        ({"condition_path": ".context", "value": 1}, []),
        ({"condition_path": "context..a", "value": 1}, ["condition_path"]),
        ({"condition_path": "context[x]", "value": 1}, ["condition_path"]),
        ({"condition_path": "context." + "a" * PATH_CHARS_MAX, "value": 1}, ["condition_path"]),
        ({"condition_path": 5, "value": 1}, ["condition_path"]),
        ({"condition_path": "context.a", "operator": "like", "value": 1}, ["operator"]),
    ],
)
def test_check(config: dict[str, Any], faults: list[str]) -> None:
    assert [fault.path for fault in check_config(BRANCH, config)] == faults


async def test_a_rendered_path_is_checked_too(run: Any) -> None:
    with pytest.raises(OperationError) as caught:
        await run(BRANCH, {"condition_path": "nowhere.a", "value": 1})
    assert (caught.value.code, caught.value.path) == ("bad_config", "condition_path")
    assert caught.value.details == [{"path": "condition_path", "message": caught.value.message.partition(": ")[2]}]
    assert Fault("condition_path", caught.value.details[0]["message"]) in check_config(
        BRANCH, {"condition_path": "nowhere.a", "value": 1}
    )
