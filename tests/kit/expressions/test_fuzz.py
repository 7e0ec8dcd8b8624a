"""Whatever is written and whatever it is evaluated on: JSON comes out, or an ExpressionError."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alloyd.kit.expressions import FUNCTIONS, ExpressionError, TemplateFaults, compile_expression, compile_template

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["a", "b", "2026-01-31T12:00:00Z", "%Y", "UTC", "days", "months", "[1]", "aGk", "1.5"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)

WORDS = [
    *sorted(FUNCTIONS),
    *("trigger", "x", "a", "for", "in", "if", "else", "and", "or", "not", "is", "lambda", "true", "null", "__class__"),
    *("+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", ">=", "??", "?", ".", ",", ":", "=", "(", ")", "[", "]"),
    *(
        "{",
        "}",
        "{{",
        "}}",
        "{{{{",
        "'",
        '"',
        "'a'",
        '"b"',
        "'\\n'",
        "\\",
        "0",
        "1",
        "2.5",
        "1e3",
        "99999999999",
        "\n",
        " ",
    ),
]
SOUP = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)
TIGHT = st.lists(st.sampled_from(WORDS), max_size=25).map("".join)


def _call(name: str, arguments: list[str]) -> str:
    return f"{name}({', '.join(arguments)})"


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(
        ["+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or", "??"]
    )
    calls = st.sampled_from(sorted(FUNCTIONS.values(), key=lambda f: f.name)).flatmap(
        lambda f: st.builds(_call, st.just(f.name), st.lists(inner, min_size=f.least, max_size=f.most or 3))
    )
    return st.one_of(
        st.builds("({} {} {})".format, inner, signs, inner),
        calls,
        calls,
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[{}:{}]".format, inner, inner, inner),
        st.builds("{}.a".format, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("[{} for x in {} if {}]".format, inner, inner, inner),
        st.builds("[{} for x, y in {} for y in {}]".format, inner, inner, inner),
        st.builds("{{{}: {} for x in {}}}".format, inner, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("(-{})".format, inner),
        st.builds("(not {})".format, inner),
    )


LEAVES = st.one_of(
    st.sampled_from(["trigger", "trigger.a", "trigger.b", "trigger[0]", "x", "y", "a", "b", "now", "range(3)"]),
    st.sampled_from(
        ["'a'", "''", "0", "1", "2", "-1", "1.5", "1e308", "9223372036854775807", "1024", "null", "true", "[]", "{}"]
    ),
    st.sampled_from(["'days'", "'%H%z'", "'Asia/Tokyo'", "'2026-01-31'", "'[1, {\"a\": 2}]'", "'aGk='", "'a.0'"]),
)
EXPRESSIONS = st.recursive(LEAVES, _wider, max_leaves=12)


def _attempt(text: str, names: dict[str, Any]) -> None:
    try:
        value = compile_expression(text).evaluate(names)
    except ExpressionError as error:
        failure = error
    else:
        failure = None
    if failure is not None:
        assert failure.message
        return
    # Strictly JSON: no NaN, no infinity, no half characters.
    json.dumps(value, allow_nan=False).encode()
    msgspec.json.encode(value)


@settings(deadline=None)
@given(st.text(max_size=60) | SOUP | TIGHT)
@example("{" * 4000)
@example("1" + "\n" * 4000)
def test_any_text(text: str) -> None:
    _attempt(text, {"trigger": {"a": [1, "b"]}})
    try:
        value = compile_template({"k": [text, "{{" + text, "{{" + text + "}}"]}).render({"trigger": {"a": [1]}})
    except (ExpressionError, TemplateFaults):
        return
    msgspec.json.encode(value)


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(EXPRESSIONS, JSON, JSON)
def test_any_expression_on_any_json(text: str, trigger: Any, other: Any) -> None:
    _attempt(text, {"trigger": trigger, "x": other, "a": 1, "b": "b", "now": "2026-01-31T12:00:00.000Z"})


@settings(deadline=None)
@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(JSON, max_size=4))
def test_any_function_on_any_json(name: str, arguments: list[Any]) -> None:
    names = {f"p{index}": value for index, value in enumerate(arguments)}
    _attempt(_call(name, list(names)), names)
