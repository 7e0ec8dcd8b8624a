"""What expressions give: tables of texts and values."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.kit.expressions import ExpressionError, compile_expression, truthy

NAMES: dict[str, Any] = {
    "trigger": {
        "order": {"id": "A-17", "amount": 19.99, "note": None, "a-b": 1, "from": "x", "__class__": "key"},
        "items": [{"p": 2, "n": "pen"}, {"p": 7, "n": "ink"}],
        "größe": 3,
    },
    "steps": {"fetch": {"output": {"rows": [1, 2, 3]}}},
    "now": "2026-01-31T12:00:00.000Z",
    "nested": [[1, 2], [3]],
    "index": 1,
    "big": 2**64 - 1,
}


def evaluate(text: str) -> Any:
    return compile_expression(text).evaluate(NAMES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # literals
        ("1", 1),
        ("1.5e1", 15.0),
        ("-9223372036854775808", -(2**63)),
        ("True == true and False == false and None == null", True),
        (r'"\n\t\"\\\/\x41\u00e9\ud83d\ude00"', '\n\t"\\/Aé😀'),
        ("'its'[0:2]", "it"),
        ("'a\nb'", "a\nb"),
        ("[]", []),
        ("{}", {}),
        ("[1, [2, {'a': 3,},],]", [1, [2, {"a": 3}]]),
        ("{'a': {'b': {}}}", {"a": {"b": {}}}),
        ("{{ {'a': {'b': 1}}}}", {"a": {"b": 1}}),
        ("  {{ 1 }}  ", 1),
        # access
        ("trigger.order.id", "A-17"),
        ("trigger['order']['a-b']", 1),
        ("trigger.order.from", "x"),
        ("trigger.order.__class__", "key"),
        ("trigger.größe", 3),
        ("trigger.items[-1].n", "ink"),
        ("trigger.items[index].n", "ink"),
        ("trigger.items[0 + 1]['n'][0]", "i"),
        ("trigger.items[0:1][0].p", 2),
        ("trigger.order.id[:1] + trigger.order.id[2:]", "A17"),
        ("steps.fetch.output.rows[1]", 2),
        ("{'a': [5]}.a[0]", 5),
        ("(trigger.order).id", "A-17"),
        ("from_json('[[1]]')[0][0]", 1),
        # missing
        ("trigger.nope.deeper ?? 7", 7),
        ("trigger.order.note ?? 7", 7),
        ("trigger.items[9] ?? trigger.nope ?? 'x'", "x"),
        ("trigger[trigger.order.id] ?? 1", 1),
        ("nobody ?? 1", 1),
        ("int(trigger.nope) ?? 1", 1),
        ("false ?? 1", False),
        ("trigger.nope ?? 3 > 2", True),
        ("1 in trigger.nope ?? [1]", True),
        ("not trigger.nope ?? true", False),
        ("trigger.nope ?? 2 + 1", 3),
        ("[x.nope.y ?? 0 for x in trigger.items]", [0, 0]),
        ("[x[0] ?? 0 for x in nested]", [1, 3]),
        ("default(steps.other.output.x, [])", []),
        ("default(trigger.order.note, 'n')", "n"),
        ("[x.q ?? x.p for x in trigger.items]", [2, 7]),
        ("1 + (trigger.nope ?? 2) * 3", 7),
        ("'a ?? b'", "a ?? b"),
        # arithmetic
        ("1 + 2 * 3 - 4", 3),
        ("(1 + 2) * 3", 9),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("--1", 1),
        ("10 - 3 - 2", 5),
        ("7 // 2 * 2 + 7 % 2", 7),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("1 / 4", 0.25),
        ("'a' + 'b' * 3", "abbb"),
        ("2 * 'ab'", "abab"),
        ("'' * 9223372036854775807", ""),
        ("'a' * -1", ""),
        ("[1] + [2] * 2", [1, 2, 2]),
        ("true + true", 2),
        ("big", 2**64 - 1),
        ("big - 1", 2**64 - 2),
        # comparison and logic
        ("1 < 2 <= 2 != 3", True),
        ("1 < 2 > 5", False),
        ("'a' < 'b'", True),
        ("1 == 1.0", True),
        ("1 == '1'", False),
        ("null == false", False),
        ("[1, {'a': [2]}] == [1, {'a': [2]}]", True),
        ("[1, {'a': [2]}] != [1, {'a': [3]}]", True),
        ("{'a': 1} == {'b': 1}", False),
        ("[] == {}", False),
        ("'x' * 100 == 'x' * 100", True),
        ("'x' * 100 in ['x' * 100]", True),
        ("2 in [1, 2]", True),
        ("[1] in nested + [[1]]", True),
        ("[1] not in nested", True),
        ("'id' in trigger.order", True),
        ("'7' in trigger.order.id", True),
        ("not 1 == 2", True),
        ("not not 1", True),
        ("1 and 0 or 'x'", "x"),
        ("0 and 1 / 0", 0),
        ("1 or 1 / 0", 1),
        ("null or ''", ""),
        ("1 if 0 else 2 if 0 else 3", 3),
        ("1 if true else 1 / 0", 1),
        # comprehensions
        ("[x * 2 for x in [1, 2, 3] if x > 1 if x < 3]", [4]),
        ("[x for y in nested for x in y if x != 2]", [1, 3]),
        ("[[x for x in y] for y in nested]", [[1, 2], [3]]),
        ("[x for x in [x + 1 for x in [1]]]", [2]),
        ("[k + str(v) for k, v in items({'a': 1, 'b': 2})]", ["a1", "b2"]),
        ("[k for k in {'a': 1}]", ["a"]),
        ("{x.n: x.p for x in trigger.items}", {"pen": 2, "ink": 7}),
        ("{x.n: x.p for x in trigger.items if x.p > 2}", {"ink": 7}),
        ("[trigger for trigger in [1]]", [1]),
        ("[x + y for x in [1, 2] for y in [10, 20]]", [11, 21, 12, 22]),
        ("sum(x.p for x in trigger.items)", 9),
        ("join([x.n for x in trigger.items], '')", "penink"),
        ("[x if x > 1 else 0 for x in [1, 2]]", [0, 2]),
        ("[i for i in (nested if false else [1])]", [1]),
        # functions, beyond the examples of the page
        ("trim('xxaxx', 'x')", "a"),
        ("split(' a  b ')", ["a", "b"]),
        ("split('', ',')", [""]),
        ("join([1, null, true, [2]], '-')", "1--true-[2]"),
        ("join([])", ""),
        ("contains([1, 2], 2)", True),
        ("slice([1, 2, 3], 1)", [2, 3]),
        ("pad_left('abc', 2)", "abc"),
        ("[type(x) for x in [null, true, 1, 1.5, 'a', [], {}]]",
         ["null", "boolean", "number", "number", "text", "list", "object"]),
        ("str({'a': [1.0, null]})", '{"a":[1.0,null]}'),
        ("int(' -12 ')", -12),
        ("int(true)", 1),
        ("float(3)", 3.0),
        ("[bool(x) for x in ['TRUE', ' on ', '', 'off', 2, [], null]]", [True, True, False, False, True, False, False]),
        ("[round(2.5), round(3.5), round(1.239, 2), round(1250, -2)]", [2, 4, 1.24, 1200]),
        ("[floor(1.5), ceil(-1.5), abs(-1.5)]", [1, -1, 1.5]),
        ("sum([])", 0),
        ("[min([3, 1.5]), max('a', 'b'), max(1, 2)]", [1.5, "b", 2]),
        ("sorted([3, 1, 2], null, true)", [3, 2, 1]),
        ("sorted(['b', 'a'])", ["a", "b"]),
        ("[x.n for x in sorted(trigger.items, 'n')]", ["ink", "pen"]),
        ("sorted([[2, 'a'], [1, 'b']], 0)", [[1, "b"], [2, "a"]]),
        ("sorted([{'a': {'b': 2}}, {'a': {'b': 1}}], ['a', 'b'])[0].a.b", 1),
        ("sorted([])", []),
        ("unique([1, 2, 1, {'a': 1, 'b': 2}, {'b': 2, 'a': 1}, 'a', 'a'])", [1, 2, {"a": 1, "b": 2}, "a"]),
        ("range(5, 0, -2)", [5, 3, 1]),
        ("range(3)", [0, 1, 2]),
        ("[len('äö'), len([1]), len({})]", [2, 1, 0]),
        ("[any([]), all([])]", [False, True]),
        ("get(trigger, 'order.a-b')", 1),
        ("get(trigger, 'nope.x', 5)", 5),
        ("get(trigger, ['order', 'nope'])", None),
        ("get(trigger.items, 5, 'none')", "none"),
        ("get(trigger.order, 'note', 'none')", "none"),
        ("values({'a': 1})", [1]),
        ("from_json(' {\"a\": [1.5, null]} ')", {"a": [1.5, None]}),
        ("from_json(json(trigger)) == trigger", True),
        ("base64_decode('YS_-'[0:0] + 'aGk')", "hi"),
        ("url_decode(url_encode('a=ü&😀'))", "a=ü&😀"),
        ("html_escape('\"&')", "&quot;&amp;"),
        ("parse_date('2026-01-31')", "2026-01-31T00:00:00.000Z"),
        ("parse_date(0)", "1970-01-01T00:00:00.000Z"),
        ("parse_date('2026-01-31T13:00:00+01:00')", "2026-01-31T12:00:00.000Z"),
        ("date_add(now, -1.5, 'days')", "2026-01-30T00:00:00.000Z"),
        ("date_add(now, -2, 'months')", "2025-11-30T12:00:00.000Z"),
        ("date_add('2024-02-29', 1, 'year')", "2025-02-28T00:00:00.000Z"),
        ("date_diff(now, '2026-01-31T11:00:00Z', 'minutes')", -60),
        ("format_date(now, '%Y %y %m %d %e %H %I %p %M %S %f %j %A %a %u %B %b %G %V %z %Z %s %%')",
         "2026 26 01 31 31 12 12 PM 00 00 000 031 Saturday Sat 6 January Jan 2026 05 +0000 UTC 1769860800 %"),
        ("format_date(now, '%H%z', 'America/New_York')", "07-0500"),
        ("format_date(0, '%I %p')", "12 AM"),
    ],
)  # fmt: skip
def test_value(text: str, value: Any) -> None:
    result = evaluate(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trigger.order.total", "trigger.order.total: no such key"),
        ("trigger.nope.total", "trigger.nope: no such key"),
        ("trigger.order.note.x", "trigger.order.note.x: trigger.order.note is null and has no keys"),
        ("trigger.items.n", "trigger.items.n: trigger.items is a list and has no keys"),
        ("trigger.order[0]", "trigger.order[0]: trigger.order is an object and has no items"),
        ("trigger.items[2]", "trigger.items[2]: it has 2 items"),
        ("trigger.items[-3]", "trigger.items[-3]: it has 2 items"),
        ("trigger.order['x y']", 'trigger.order["x y"]: no such key'),
        ("nobody", "nobody: no such name here"),
        ("nobody.x", "nobody: no such name here"),
        ("[x.q for x in trigger.items]", "x.q: no such key"),
        ("[x.p.z for x in trigger.items]", "x.p.z: x.p is a number and has no keys"),
        ("trigger.items[index + 5].n", "trigger.items[…]: it has 2 items"),
        ("trigger[1.5]", "trigger[…]: a number is neither key nor index"),
        ("trigger.items[true]", "trigger.items[…]: a boolean is neither key nor index"),
        ("trigger[0:1]", "trigger[…]: trigger is an object and has no items"),
        ("trigger.items['a':]", "a slice goes from integer to integer, not to a text"),
        ("1 / 0", "division by zero"),
        ("1.0 // 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("1 + 'a'", "`+` can't take a number and a text"),
        ("'a' - 'b'", "`-` can't take a text and a text"),
        ("null * 2", "`*` can't take null and a number"),
        ("'a' * 1.5", "`*` can't take a text and a number"),
        ("'%s' % 'x'", "`%` can't take a text and a text"),
        ("'%s' % trigger", "`%` can't take a text and an object"),
        ("1 + 2 + 'a'", "`+` can't take a number and a text"),
        ("-'a'", "`-` can't take a text"),
        ("1 < 'a'", "`<` can't take a number and a text"),
        ("[1] < [2]", "`<` can't take a list and a list"),
        ("1 in 2", "a number can't have a number in it"),
        ("1 in {}", "an object can't have a number in it"),
        ("1e308 * 10", "the result is too large a number"),
        ("-1e308 - 1e308", "the result is too large a number"),
        ("10.0 ** 400", "the result is too large a number"),
        ("(-8) ** 0.5", "the result is not a real number"),
        ("9223372036854775807 * 3", "the result is an integer of more than 64 bits"),
        ("-9223372036854775807 - 2", "the result is an integer of more than 64 bits"),
        ("{1: 2}", "a key is a text, not a number"),
        ("{x: 1 for x in [1]}", "a key is a text, not a number"),
        ("[x for x in 'abc']", "`for` goes over a list or an object, not a text"),
        ("[x for x, y in [[1]]]", "each element must be a list of 2"),
        ("int('secret')", "int(): the text is not an integer"),
        ("int('1' * 50)", "int(): the text is not an integer"),
        ("int('1' * 5000)", "int(): the text is not a number"),
        ("int(1e300)", "int(): the result is an integer of more than 64 bits"),
        ("int([])", "int(): needs a number or a text, not a list"),
        ("float('nan')", "float(): the text is not a number"),
        ("float('1e999')", "float(): the result is too large a number"),
        ("float('1_0')", "float(): the text is not a number"),
        ("bool('maybe')", "bool(): the text is neither true nor false"),
        ("upper(1)", "upper(): needs a text, not a number"),
        ("split('a', '')", "split(): the separator is empty"),
        ("replace('a', '', 'b')", "replace(): the text to replace is empty"),
        ("trim('a', 'x' * 65)", "trim(): trims at most 64 different characters"),
        ("slice(1, 2)", "slice(): needs a text or a list, not a number"),
        ("pad_left('a', 2, 'xy')", "pad_left(): fills with one character"),
        ("join('a')", "join(): needs a list, not a text"),
        ("keys([])", "keys(): needs an object, not a list"),
        ("len(1)", "len(): needs a text, a list or an object, not a number"),
        ("range(1, 2, 0)", "range(): the step is 0"),
        ("round(1, 31)", "round(): rounds to at most 30 digits"),
        ("round(1.7e308, -308)", "round(): rounds to at most 30 digits"),
        ("abs('a')", "abs(): needs a number, not a text"),
        ("sum(['a'])", "sum(): an element of the list is not a number"),
        ("sum([1e308, 1e308])", "sum(): the result is too large a number"),
        ("avg([])", "avg(): the list is empty"),
        ("min([])", "min(): the list is empty"),
        ("max(1, 'a')", "max(): orders numbers or texts, not a number and a text"),
        ("sorted([[1], [2]])", "sorted(): orders numbers or texts, not a list"),
        ("sorted(trigger.items, 'zz')", "sorted(): (…)[…]: no such key"),
        ("get(trigger, true)", "get(): needs a text, an integer or a list as path, not a boolean"),
        ("get(trigger, [true])", "get(): a path is a list of at most 100 texts and integers"),
        ("get(trigger, 'a' * 1001)", "get(): a path has at most 1,000 characters"),
        ("from_json('{')", "from_json(): the text is not JSON"),
        ("from_json('NaN')", "from_json(): the text is not JSON"),
        ("from_json('1e999')", "from_json(): the text is not JSON"),
        ("from_json('[' * 500 + ']' * 500)", "from_json(): makes a value more than 100 deep"),
        ("from_json('[' * 9000 + ']' * 9000)", "from_json(): the text is not JSON"),
        ("base64_decode('*')", "base64_decode(): the text is not Base64 of UTF-8"),
        ("base64_decode('/w==')", "base64_decode(): the text is not Base64 of UTF-8"),
        ("url_query({'a': range(2000)})", "url_query(): a query has at most 1,000 parts"),
        ("parse_date('tomorrow')", "parse_date(): the text is not a time"),
        ("parse_date('1' * 50)", "parse_date(): the text is not a time"),
        ("parse_date(null)", "parse_date(): needs a time (a text, or milliseconds), not null"),
        ("parse_date(9999999999999999)", "parse_date(): times are from the year 1000 to 9999"),
        ("parse_date('0500-01-01')", "parse_date(): times are from the year 1000 to 9999"),
        ("date_add(now, 99999, 'years')", "date_add(): times are from the year 1000 to 9999"),
        ("date_add(now, 1e300, 'days')", "date_add(): times are from the year 1000 to 9999"),
        ("date_add(now, 1e308, 'days')", "date_add(): times are from the year 1000 to 9999"),
        ("date_add(now, 1, 'fortnight')",
         "date_add(): the unit is one of milliseconds, seconds, minutes, hours, days, weeks, months, years"),
        ("date_add(now, 1.5, 'months')", "date_add(): needs an integer, not a number"),
        ("date_diff(now, now, 'months')", "date_diff(): months and years differ in length: ask for days"),
        ("format_date(now, '%1000000Y')", "format_date(): a format has no directive `%1`"),
        ("format_date(now, '%')", "format_date(): a format has no directive `%`"),
        ("format_date(now, 'x' * 201)", "format_date(): a format has at most 200 characters"),
        ("format_date(now, '%H', '../../etc/passwd')",
         "format_date(): no such time zone: it is written as Europe/Paris"),
        ("format_date(now, '%H', 'Europe')", "format_date(): no such time zone: it is written as Europe/Paris"),
        ("format_date('9999-12-31T23:00:00Z', '%H', 'Asia/Tokyo')",
         "format_date(): times are from the year 1000 to 9999"),
    ],
)  # fmt: skip
def test_fault(text: str, message: str) -> None:
    expression = compile_expression(text, "config.x")
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate(NAMES)
    assert caught.value.message == message
    assert caught.value.place == "config.x"
    assert caught.value.column is not None


def test_a_fault_never_tells_a_value() -> None:
    names = {"secret": "hunter2", "o": {}}
    for text in ("int(secret)", "o[secret]", "secret.x", "from_json(secret)", "get(o, secret).x", "secret - 1"):
        with pytest.raises(ExpressionError) as caught:
            compile_expression(text).evaluate(names)
        assert "hunter2" not in str(caught.value)


def test_a_fault_tells_its_column() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("{{ 1 + len(trigger.order.total) }}", "config.n").evaluate(NAMES)
    assert (caught.value.place, caught.value.column) == ("config.n", 19)
    assert str(caught.value) == "config.n, column 19: trigger.order.total: no such key"
    assert caught.value.details == {"column": 19}


@pytest.mark.parametrize(
    ("value", "holds"), [(None, False), (0, False), ("", False), ([], False), ({}, False), ("false", True), ([0], True)]
)
def test_truthy(value: Any, holds: bool) -> None:
    assert truthy(value) is holds
    assert compile_expression("not x").evaluate({"x": value}) is not holds


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)


@settings(deadline=None)
@given(
    NUMBERS,
    st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">="]),
    NUMBERS,
)
def test_numbers_do_as_in_python(left: float, sign: str, right: float) -> None:
    try:
        result = compile_expression(f"a {sign} b").evaluate({"a": left, "b": right})
    except ExpressionError:
        assert not _python_would(left, sign, right)
        return
    expected = eval(f"a {sign} b", {}, {"a": left, "b": right})
    assert type(result) is type(expected)
    assert result == expected


def _python_would(left: float, sign: str, right: float) -> bool:
    """Whether Python has a result that alloyd gives too: a JSON number of 64 bits."""
    if sign == "**" and (abs(right) > 1024 or (isinstance(left, int) and abs(left) > 1 and right > 200)):
        return False
    try:
        result = eval(f"a {sign} b", {}, {"a": left, "b": right})
    except (ZeroDivisionError, OverflowError):
        return False
    if isinstance(result, complex):
        return False
    return math.isfinite(result) if isinstance(result, float) else -(2**63) <= result < 2**64


TEXTS = st.text(max_size=5)


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["+", "==", "!=", "<", "<=", ">", ">=", "in", "not in"]), TEXTS)
def test_texts_do_as_in_python(left: str, sign: str, right: str) -> None:
    expected = eval(f"a {sign} b", {}, {"a": left, "b": right})
    assert compile_expression(f"a {sign} b").evaluate({"a": left, "b": right}) == expected
