"""Documents as people write them: one text, its lines, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.kit.documents import DEPTH_MAX, DocumentError, read_one, read_yaml, to_yaml

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner))


@given(VALUES)
def test_what_is_written_is_read_again(value):
    (parsed,) = read_yaml(to_yaml(value))
    assert parsed.value == value


def test_a_line_is_that_of_the_nearest_thing_that_has_one():
    parsed = read_one("a:\n  - b: 1\n    c:\n      d: 2\n")
    lines = {"": 1, "a": 1, "a[0].b": 2, "a[0].c.d": 4, "a[0].c.nope.deeper[3]": 3, "a[7]": 1, "z": 1}
    assert {path: parsed.line_of(path) for path in lines} == lines


def test_json_has_lines_where_they_are_wanted():
    text = '{"a":\n [1,\n 2]}'
    assert read_one(text).line_of("a[1]") is None
    assert read_one(text, keep_lines=True).line_of("a[1]") == 3


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("", "there is nothing in it", None),
        ("a: 1\n---\nb: 2", "one document is wanted", 3),
        ("a: 1\na: 2", "given twice", 2),
        ("a: [1", "not YAML", 1),
        ("a: !x 1", "tags", 1),
        ("? [a]\n: 1", "plain text", 1),
        ("a: \x01", "control character", 1),
        ("[" * (DEPTH_MAX + 2) + "]" * (DEPTH_MAX + 2), "nested deeper", None),
        ("[" * 5000, "nested deeper", None),
    ],
)
def test_no_document(text, problem, line):
    with pytest.raises(DocumentError, match=problem) as raised:
        read_one(text)
    assert raised.value.line == line


def test_aliases_are_bounded():
    bomb = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
    )
    with pytest.raises(DocumentError, match="more than"):
        read_one(bomb)
