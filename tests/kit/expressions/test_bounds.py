"""Going over a bound is an error that says which, whatever the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from alloyd.kit.expressions import DEFAULT_BOUNDS, Bounds, ExpressionError, compile_expression, compile_template

MIB = "x" * (1 << 20)
SMALL = Bounds(
    expression_chars_max=200,
    expression_depth_max=20,
    steps_max=100,
    text_chars_max=200,
    list_items_max=50,
    output_chars_max=400,
    value_depth_max=5,
    exponent_max=8,
)


def fails(text: str, names: dict[str, Any], bounds: Bounds = DEFAULT_BOUNDS) -> str:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, bounds=bounds).evaluate(names)
    return caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "[[y for y in range(1000)] for x in range(1000)]",
        "[1 for a in range(100) for b in range(100) for c in range(100)]",
        "[upper(t) for x in range(100)]",
        "[t == u for x in range(30000)]",
        "[t < u for x in range(30000)]",
        "[t in [u] for x in range(30000)]",
        "[t in o for x in range(30000)]",
        "[o[t] for x in range(30000)]",
        "[get(o, [t]) for x in range(30000)]",
        "['y' in t for x in range(30000)]",
        "[starts_with(t, u) for x in range(30000)]",
        "[ends_with(t, u) for x in range(30000)]",
        "[l == m for x in range(30000)]",
        "[l == m for x in l]",
        "[o == p for x in range(30000)]",
        "[[] in l for x in range(1000)]",
        "[sorted(l) for x in range(1000)]",
        "[sorted([t, u]) for x in range(10000)]",
        "[max([t, u]) for x in range(20000)]",
        "[sum(l) for x in range(1000)]",
        "[any(l) for x in range(1000)]",
        "[unique(l) for x in range(1000)]",
        "[unique([t, u]) for x in range(10000)]",
        "[flatten([l, l]) for x in range(1000)]",
        "[reversed(l) for x in range(1000)]",
        "[l[1:] for x in range(1000)]",
        "[t[1:] for x in range(1000)]",
        "[slice(l, 1) for x in range(1000)]",
        "[l + l for x in range(1000)]",
        "[keys(o) + values(o) + items(o) for x in range(30000)]",
        "[merge({'a': 1}, {'b': 2}) for x in range(30000)]",
        "[json(l) for x in range(1000)]",
        "[from_json(j) for x in range(1000)]",
        "[sha256(t) for x in range(1000)]",
        "[base64(slice(t, 0, 1000)) for x in range(10000)]",
        "[base64_decode(c) for x in range(1000)]",
        "[url_encode(slice(t, 0, 1000)) for x in range(10000)]",
        "[url_decode(t) for x in range(1000)]",
        "[html_escape(t) for x in range(1000)]",
        "[split(t, ',') for x in range(1000)]",
        "[split(t) for x in range(1000)]",
        "[join(l) for x in range(1000)]",
        "[replace(t, 'y', 'z') for x in range(1000)]",
        "[trim(t) for x in range(1000)]",
        "[pad_left('', 100000) for x in range(1000)]",
        "[format_date(x, '%H') for x in range(20000)]",
        "[format_date(0, '%H', 'Asia/Tokyo') for x in range(2000)]",
        "[uuid() for x in range(20000)]",
        "[1 for x in l if default(int(o.nope), 0)]",
        "from_json('[' + '1,' * 400000 + '1]')",
    ],
)
def test_steps(text: str) -> None:
    numbers = list(range(50_000))
    names = {
        "t": MIB,
        "c": "YWFh" * 200_000,
        "u": "x" * (1 << 20),
        "l": numbers,
        "m": numbers[:],
        "j": str(numbers[:5000]),
    }
    names |= {"o": {MIB: 1}, "p": {names["u"]: 1}, "j": str(numbers[:5000])}
    assert fails(text, names).endswith("takes more than 100,000 steps")


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("t + 'x'", "text"),
        ("t * 2", "text"),
        ("'x' * 9223372036854775807", "text"),
        ("upper('ß' * 600000)", "text"),
        ("join([t, t])", "text"),
        ("join(['a', 'b'], t)", "text"),
        ("replace(t, 'x', 'xx')", "text"),
        ("pad_left('', 9223372036854775807)", "text"),
        ("pad_right('', 1048577)", "text"),
        ("json(t)", "text"),
        ("json([t])", "text"),
        ("json([l for x in range(100)])", "text"),
        ("str([t])", "text"),
        ("base64('x' * 900000)", "text"),
        ("url_encode('ü' * 200000)", "text"),
        ("html_escape('&' * 300000)", "text"),
        ("url_query({'a': ['ü' * 90000, 'ö' * 90000]})", "text"),
        ("[1] * 100001", "list"),
        ("[1] * 9223372036854775807", "list"),
        ("l + l + l", "list"),
        ("range(9223372036854775807)", "list"),
        ("range(-9223372036854775807, 9223372036854775807)", "list"),
        ("range(0, -9223372036854775807, -1)", "list"),
        ("split(t, 'x')", "list"),
        ("flatten([l, l, l])", "list"),
    ],
)
def test_sizes(text: str, bound: str) -> None:
    message = fails(text, {"t": MIB, "l": list(range(50_000))})
    assert f"makes a {bound} of more than" in message


@pytest.mark.parametrize(
    "text",
    [
        "[o] * 100",
        "[o for x in range(100)]",
        "{'a': o, 'b': [o, o, o, o, o, o]}",
        "[" * 20 + "o" + ", o]" * 20,
        "[x, x, x, x] + [[y, y] for y in [x] * 100]",
        # each level doubles what it names: 2 ** 40 elements, were it written out
        "[[a, a] for a in " * 20 + "[[1, 1]]" + "]" * 20,
    ],
)
def test_shared_values_count_each_time(text: str) -> None:
    one = {"k": ["v" * 1000] * 1000}
    message = fails(text, {"o": one, "x": one})
    assert message == "gives a value of more than about 4,194,304 characters of JSON"


def test_a_result_that_only_looks_up_is_as_large_as_what_came_in() -> None:
    huge = [1] * 2_000_000
    assert compile_template("{{ a }}").render({"a": huge}) is huge
    assert compile_expression("a.b").evaluate({"a": {"b": huge}}) is huge


def test_one_allowance_for_a_whole_template() -> None:
    loop = "{{ len([x for x in range(40000)]) }}"
    assert compile_template(loop).render({}) == 40_000
    with pytest.raises(ExpressionError) as caught:
        compile_template({"a": loop, "b": [loop, loop]}, "config").render({})
    assert caught.value.place == "config.b[0]"
    text = {"a": MIB}
    assert compile_template(["{{ a }}"] * 4).render(text) == [MIB] * 4
    with pytest.raises(ExpressionError, match="about 4,194,304 characters"):
        compile_template(["{{ a }}"] * 5).render(text)
    # Each rendering begins anew.
    template = compile_template(loop)
    assert [template.render({}) for _ in range(5)] == [40_000] * 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x for x in range(40) for y in range(10)]", "takes more than 100 steps"),
        ("'x' * 201", "makes a text of more than 200 characters"),
        ("range(51)", "range(): makes a list of more than 50 items"),
        ("[['x' * 150, 'y' * 150], 'z' * 150]", "gives a value of more than about 400 characters of JSON"),
        ("[[[[[[]]]]]]", "makes a value more than 5 deep"),
        ("from_json('[[[[[[]]]]]]')", "from_json(): makes a value more than 5 deep"),
        ("1.5 ** 9", "an exponent is at most 8"),
        ("1.5 ** -9", "an exponent is at most 8"),
    ],
)
def test_every_bound_can_be_set(text: str, message: str) -> None:
    assert fails(text, {}, SMALL) == message


def test_compiling_is_bounded_too() -> None:
    for text, message in (
        ("1" + " " * 200, "the expression has more than 200 characters"),
        ("(" * 30, "nested more than 20 deep"),
    ):
        with pytest.raises(ExpressionError) as caught:
            compile_expression(text, bounds=SMALL)
        assert caught.value.message == message
    with pytest.raises(ExpressionError, match="take more than 3 steps"):
        compile_expression("1 + 2 + 3 + 4 + 5 + 6 + 7 + 8", bounds=replace(SMALL, steps_max=3))


def test_the_tree_is_as_shallow_as_the_text() -> None:
    # Parentheses are no nodes, but nodes without parentheses nest as well.
    level = "(0 or 0 and not 0 < 0 ?? 1 + 2 * -"
    assert compile_expression(level * 5 + "1" + ")" * 5).evaluate({}) == 0
    with pytest.raises(ExpressionError, match="nested more than 50 deep"):
        compile_expression(level * 8 + "1" + ")" * 8)


def test_integers_beyond_json_that_a_caller_lets_in() -> None:
    names = {"n": 10**400}
    for text in (
        "n + 1",
        "n * 1.5",
        "n // 3",
        "n % 7",
        "n ** 2",
        "n / 2",
        "-n",
        "str(n)",
        "int(n)",
        "float(n)",
    ):
        assert "64 bits" in fails(text, names), text
    assert "64 bits" in fails("abs(n)", names)
    assert compile_expression("n == n and n > 1").evaluate(names) is True
    assert fails("sum([n, 1.5])", names) == "sum(): the result is too large a number"
    assert fails("avg([n, 1])", names) == "avg(): the result is too large a number"
