"""The reference page says what the language does: each of its examples is evaluated."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import alloyd
from alloyd.kit.expressions import DEFAULT_BOUNDS, FUNCTIONS, ExpressionError, compile_expression

PAGE = (Path(alloyd.__file__).parent / "docs" / "expressions.md").read_text()
NAMES: dict[str, Any] = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])  # type: ignore[index]
EXAMPLES = re.findall(r"`([^`\n]+)` → (?:(error): )?(?:``` (.+?) ```|`([^`\n]+)`)", PAGE)


def test_the_page_has_its_examples() -> None:
    assert len(EXAMPLES) > 70
    assert len(EXAMPLES) == PAGE.count("` → ")


@pytest.mark.parametrize(("text", "error", "quoted", "plain"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_example(text: str, error: str, quoted: str, plain: str) -> None:
    expected = quoted or plain
    if error:
        with pytest.raises(ExpressionError) as caught:
            compile_expression(text).evaluate(NAMES)
        assert caught.value.message == expected
        return
    value = compile_expression(text, known=frozenset(NAMES)).evaluate(NAMES)
    assert value == json.loads(expected)
    assert type(value) is type(json.loads(expected))


def test_every_function_has_an_example_of_its_own() -> None:
    documented = set(re.findall(r"^\| `(\w+)\([^`]*`.*→", PAGE, re.MULTILINE))
    assert documented == set(FUNCTIONS)
    for name in FUNCTIONS:
        assert re.search(rf"^\| `{name}\(.*\| `[^`]*\b{name}\(", PAGE, re.MULTILINE), name


def test_the_bounds_are_those_of_the_code() -> None:
    for number in (
        DEFAULT_BOUNDS.expression_chars_max,
        DEFAULT_BOUNDS.expression_depth_max,
        DEFAULT_BOUNDS.steps_max,
        DEFAULT_BOUNDS.text_chars_max,
        DEFAULT_BOUNDS.list_items_max,
        DEFAULT_BOUNDS.value_depth_max,
        DEFAULT_BOUNDS.exponent_max,
    ):
        assert re.search(rf"^\| .*\| {number:,} \|$", PAGE, re.MULTILINE), number
    assert DEFAULT_BOUNDS.output_chars_max == 4 * 1024 * 1024
