"""Storage paths: what is taken, in which form, and what is refused."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.errors import AlloydError, Code
from alloyd.kit.paths import ROOT, StoragePath, parse_name, parse_path, path_bytes


@pytest.mark.parametrize("text", ["", "/", "//"])
def test_root(text: str) -> None:
    assert parse_path(text) == ROOT
    assert str(parse_path(text)) == "/"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a", "a"),
        ("/a", "a"),
        ("a/", "a"),
        ("/reports/2026/q1.pdf", "reports/2026/q1.pdf"),
        (" a ", " a "),
        (".hidden", ".hidden"),
        ("...x", "...x"),
        ("e\u0301", "é"),
        ("日本/語", "日本/語"),
        ("a%2Fb", "a%2Fb"),
        ("n" * 255, "n" * 255),
        ("é" * 127, "é" * 127),
        ("e\u0301" * 127, "é" * 127),
        ("/".join("d" * 64), "/".join("d" * 64)),
        ("/".join(["n" * 255] * 16), "/".join(["n" * 255] * 16)),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    assert str(parse_path(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "..",
        ".",
        "a/../b",
        "a/./b",
        "../etc/passwd",
        "a//b",
        "//a",
        "a//",
        "///",
        "a\\b",
        "..\\b",
        "a\x00b",
        "a\nb",
        "a\x7fb",
        "a\x85b",
        "\t",
        " ",
        "   ",
        "...",
        ". .",
        "\u3000",
        "\u2003.",
        "\ud800",
        "a/\udfff",
        "n" * 256,
        "é" * 128,
        "/".join("d" * 65),
        "/".join(["n" * 255] * 15 + ["n" * 200, "n" * 100]),
        "x" * 1_000_000,
        "/".join("d" * 100_000),
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(AlloydError) as caught:
        parse_path(text, "dest_path")
    assert caught.value.code is Code.BAD_REQUEST
    assert caught.value.field == "dest_path"
    assert caught.value.message.startswith("dest_path: ")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "text", ["", "a/b", "/a", "a/", "a\\b", ".", "..", " ", "a\x00", "\ud800", "n" * 256, "n" * 9999]
)
def test_name_refused(text: str) -> None:
    with pytest.raises(AlloydError, match="new_name: "):
        parse_name(text, "new_name")


def test_relations() -> None:
    path = parse_path("a/b/c")
    assert (path.name, str(path.parent), ROOT.name, ROOT.parent) == ("c", "a/b", "/", ROOT)
    assert path.is_within(ROOT)
    assert path.is_within(path)
    assert path.is_within(parse_path("a/b"))
    assert not path.is_within(parse_path("a/bb"))
    assert not parse_path("a").is_within(path)
    assert str(path.child("d")) == "a/b/c/d"
    assert (path_bytes(()), path_bytes(("é", "b"))) == (0, 4)


def test_child_is_bounded() -> None:
    deepest = parse_path("/".join("d" * 64))
    with pytest.raises(AlloydError, match="deeper"):
        deepest.child("x")
    with pytest.raises(AlloydError, match="4096"):
        parse_path("/".join(["n" * 255] * 15 + ["n" * 200])).child("n" * 56)


@given(st.text(st.characters(codec=None), max_size=40) | st.text("a./\\ \x00é\u0301", max_size=12))
def test_anything_is_canonical_or_refused(text: str) -> None:
    try:
        path = parse_path(text)
    except AlloydError:
        return
    assert parse_path(str(path)) == path  # its own form stands for itself
    assert isinstance(path, StoragePath)
    for name in path.names:
        assert name == unicodedata.normalize("NFC", name)
        assert 1 <= len(name.encode()) <= 255
        assert name.strip(". ")
        assert not {"/", "\\", "\0"} & set(name)
