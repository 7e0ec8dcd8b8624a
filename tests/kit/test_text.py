from __future__ import annotations

import pytest

from alloyd.kit.text import fault_of_line


@pytest.mark.parametrize("text", ["a", "Ünïcode 名前", "a b", "x" * 10])
def test_line(text: str) -> None:
    assert fault_of_line(text, 10) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("x" * 11, "at most 10"),
        (" a", "begin or end"),
        ("a\n", "begin or end"),
        ("a\nb", "control"),
        ("a\x00b", "control"),
        ("a\u202eb", "control"),
        ("a\u2028b", "control"),
        ("a\ud800b", "control"),
    ],
)
def test_no_line(text: str, fault: str) -> None:
    assert fault in (fault_of_line(text, 10) or "")
