"""Texts that are no expressions: each is refused when it is compiled, with the column."""

from __future__ import annotations

import pytest

from alloyd.kit.expressions import ExpressionError, compile_expression


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "the expression is empty"),
        ("   ", 1, "the expression is empty"),
        ("{{ }}", 3, "the expression is empty"),
        ("1 +", 4, "the expression ends too early"),
        ("1 2", 3, "unexpected `2`"),
        ("(1", 3, "the expression ends too early, expected `)`"),
        ("[1", 3, "the expression ends too early, expected `]`"),
        ("{'a' 1}", 6, "unexpected `1`, expected `:`"),
        ("{1, 2}", 3, "unexpected `,`, expected `:`"),
        ("(1, 2)", 3, "unexpected `,`, expected `)`"),
        ("()", 2, "unexpected `)`"),
        ("}", 1, "unexpected `}`"),
        ("{{ 1 } }}", 6, "unexpected `}`"),
        ("{{ 1", 1, "this `{{` has no `}}`"),
        ("{{ 1 }} x", 8, "unexpected text after the expression"),
        ("{{ 1 }}{{ 2 }}", 8, "unexpected text after the expression"),
        ("a.1", 3, 'unexpected `1`, expected a key (or ["…"])'),
        ("a.", 3, 'the expression ends too early, expected a key (or ["…"])'),
        ("a[]", 3, "unexpected `]`"),
        ("a[1:2:3]", 6, "unexpected `:`, expected `]`"),
        ("'abc", 1, "this string has no end"),
        ("'a' 'b'", 5, "unexpected string"),
        (r"'\q'", 1, r"unknown escape `\q` in a string"),
        (r"'\ud800'", 1, "this string holds half a character"),
        ("'\ud800'", 1, "this string holds half a character"),
        ("\ud800", 1, "unexpected character U+D800"),
        ("1e999", 1, "this number is too large"),
        ("18446744073709551616", 1, "this integer has more than 64 bits"),
        ("9" * 4000, 1, "this integer has more than 64 bits"),
        ("1_000", 2, "unexpected `_000`"),
        ("0x10", 2, "unexpected `x10`"),
        ("1if 1else 2j", 12, "unexpected `j`"),
        ("a = 1", 3, "unexpected `=`; == compares"),
        ("a | upper", 3, "unexpected `|`; functions are called: upper(x)"),
        ("a && b", 3, "unexpected `&`; write `and`"),
        ("a ? b : c", 3, "unexpected `?`"),
        ("a; b", 2, "unexpected `;`"),
        ("a\x00", 2, "unexpected character U+0000"),
        ("a if b", 7, "the expression ends too early, expected `else`"),
        ("[x for 1 in y]", 8, "unexpected `1`, expected a name"),
        ("[x for true in y]", 8, "unexpected `true`, expected a name"),
        ("[x, y for x in z]", 7, "unexpected `for`, expected `]`"),
        ("not", 4, "the expression ends too early"),
        ("1 not 2", 3, "unexpected `not`"),
        ("1 + not 2", 5, "unexpected `not`"),
        ("sum(x for x in y, 1)", 17, "unexpected `,`, expected `)`"),
        # what other languages would run
        ("lambda: 1", 1, "`lambda` is not part of the language"),
        ("(lambda x: x)(1)", 2, "`lambda` is not part of the language"),
        ("(y := 1)", 5, "unexpected `=`; == compares"),
        ("f'{x}'", 2, "unexpected string"),
        ("b'x'", 2, "unexpected string"),
        ("len(*x)", 5, "unexpected `*`"),
        ("merge(**x)", 7, "unexpected `**`"),
        ("[*x]", 2, "unexpected `*`"),
        ("sorted(x, reverse=true)", 18, "unexpected `=`; == compares"),
        ("await x", 1, "`await` is not part of the language"),
        ("x is null", 3, "`is` is not part of the language"),
        ("import os", 1, "`import` is not part of the language"),
        ("().__class__", 2, "unexpected `)`"),
        ("trigger.items()", 14, "only named functions can be called"),
        ("'%s'.format(x)", 12, "only named functions can be called"),
        ("[].append(1)", 10, "only named functions can be called"),
        ("upper('a')('b')", 11, "only named functions can be called"),
        ("[len][0]('a')", 9, "only named functions can be called"),
        ("trigger['x']()", 13, "only named functions can be called"),
        ("__import__('os')", 1, "__import__(): no such function"),
        ("eval('1')", 1, "eval(): no such function"),
        ("getattr(x, 'y')", 1, "getattr(): no such function"),
        ("format('x')", 1, "format(): no such function"),
        ("1 + nope(1)", 5, "nope(): no such function"),
        ("len()", 1, "len() takes 1 argument, not 0"),
        ("default(1)", 1, "default() takes 2 arguments, not 1"),
        ("split('a', 'b', 'c')", 1, "split() takes 1 to 2 arguments, not 3"),
        ("merge()", 1, "merge() takes at least 1 argument, not 0"),
        ("uuid(1)", 1, "uuid() takes 0 arguments, not 1"),
        # sizes
        ("(" * 10_000, 1, "the expression has more than 4,096 characters"),
        ("(" * 2_000, 51, "nested more than 50 deep"),
        ("[" * 2_000, 51, "nested more than 50 deep"),
        ("-" * 2_000 + "1", 50, "nested more than 50 deep"),
        ("not " * 1_000 + "1", 197, "nested more than 50 deep"),
        ("1 ** " * 500 + "1", 248, "nested more than 50 deep"),
        ("1 if 1 else " * 300 + "1", 601, "nested more than 50 deep"),
        ("len(" * 500, 201, "nested more than 50 deep"),
        ("x[" * 1_000, 101, "nested more than 50 deep"),
        ("'" + "x" * 1_000_000 + "'", 1, "the expression has more than 4,096 characters"),
        ("{{ '" + "x" * 1_000_000 + "' }}", 3, "the expression has more than 4,096 characters"),
        ("x" * 4_097, 1, "the expression has more than 4,096 characters"),
        ("{{" + "x" * 4_097 + "}}", 3, "the expression has more than 4,096 characters"),
    ],
)
def test_refused(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, "when")
    assert (caught.value.message, caught.value.column) == (message, column)
    assert caught.value.place == caught.value.field == "when"


def test_a_name_that_will_not_be_there_is_refused_when_the_names_are_known() -> None:
    known = frozenset({"trigger"})
    assert compile_expression("[x for x in trigger]", known=known).evaluate({"trigger": [1]}) == [1]
    for text, message in (
        ("triger.a", "triger: no such name"),
        ("triger ?? 1", "triger: no such name"),
        ("[x for x in trigger] + x", "x: no such name"),
        ("upper", "upper: no such name (a function is called with parentheses)"),
    ):
        with pytest.raises(ExpressionError) as caught:
            compile_expression(text, known=known)
        assert caught.value.message == message


def test_what_looks_like_an_attribute_is_a_missing_key() -> None:
    names = {"o": {}, "l": [], "t": "text", "n": 1, "z": None}
    for root in names:
        for key in ("__class__", "__dict__", "items", "append", "format", "real", "upper", "__getitem__"):
            for text in (
                f"{root}.{key}",
                f"{root}['{key}']",
                f"{root}['{key[:1]}' + '{key[1:]}']",
                f"[x.{key} for x in [{root}]]",
            ):
                with pytest.raises(ExpressionError):
                    compile_expression(text).evaluate(names)
                assert compile_expression(f"{root}.{key} ?? 'nothing'").evaluate(names) == "nothing"


def test_long_chains_are_not_deep() -> None:
    assert compile_expression("+".join(["1"] * 2_000)).evaluate({}) == 2_000
    assert compile_expression(" and ".join(["1"] * 500)).evaluate({}) == 1
    assert compile_expression("<".join(map(str, range(900)))).evaluate({}) is True
    assert compile_expression("x" + "[0]" * 1_000 + " ?? 1").evaluate({"x": []}) == 1
    assert compile_expression(" ?? ".join(["x"] * 500)).evaluate({"x": 2}) == 2
    assert compile_expression("x" * 4_096).evaluate({"x" * 4_096: 1}) == 1
    assert compile_expression("{{" + "x" * 4_096 + "}}").evaluate({"x" * 4_096: 1}) == 1
    assert compile_expression("(" * 49 + "1" + ")" * 49).evaluate({}) == 1
