"""Cursors and media types."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.storage.model import Position, choose_mime_type, decode_cursor, encode_cursor
from alloyd.errors import AlloydError


@given(st.booleans(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255))
def test_cursor_leads_back(is_file: bool, name: str) -> None:
    position = Position(is_file, name)
    assert decode_cursor("org", "folder", encode_cursor("org", "folder", position)) == position


@given(st.integers(0, 200), st.characters(min_codepoint=33, max_codepoint=126))
def test_altered_cursor_is_refused(at: int, char: str) -> None:
    good = encode_cursor("org", "folder", Position(True, "some-name.txt"))
    bad = good[: at % len(good)] + char + good[at % len(good) + 1 :]
    if bad != good:
        with pytest.raises(AlloydError, match="cursor"):
            decode_cursor("org", "folder", bad)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "=",
        "AAAA",
        "A" * 5000,
        base64.urlsafe_b64encode(b'123456[true,"a"]').decode(),
        "!!!!",
        "a b",
        "\x00",
    ],
)
def test_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(AlloydError, match="cursor"):
        decode_cursor("org", "folder", cursor)


@pytest.mark.parametrize(("org_id", "folder_id"), [("other", "folder"), ("org", "other")])
def test_cursor_is_bound_to_its_folder(org_id: str, folder_id: str) -> None:
    cursor = encode_cursor("org", "folder", Position(False, "a"))
    with pytest.raises(AlloydError, match="cursor"):
        decode_cursor(org_id, folder_id, cursor)


@pytest.mark.parametrize(
    ("declared", "name", "chosen"),
    [
        ("text/x-own", "a.pdf", "text/x-own"),
        ("text/plain; charset=utf-8", "a", "text/plain; charset=utf-8"),
        ('text/plain;a="b c"', "a", 'text/plain;a="b c"'),
        (" image/png ", "a", "image/png"),
        (None, "a.PDF", "application/pdf"),
        (None, "a", "application/octet-stream"),
        (None, "pdf", "application/octet-stream"),
        (None, "a.unknown", "application/octet-stream"),
        (None, ".json", "application/json"),
        ("", "a.csv", "text/csv"),
        ("nonsense", "a.csv", "text/csv"),
        ("text/html\r\nX-Evil: 1", "a.csv", "text/csv"),
        ("text/html\nX: 1", "a.csv", "text/csv"),
        ("text/é", "a.csv", "text/csv"),
        ("text/plain; charset", "a.csv", "text/csv"),
        ("a/" + "b" * 300, "a.csv", "text/csv"),
        ("text/plain" + ";a=b" * 100, "a.csv", "text/csv"),
    ],
)
def test_mime_type(declared: str | None, name: str, chosen: str) -> None:
    assert choose_mime_type(declared, name) == chosen
