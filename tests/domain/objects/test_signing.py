"""Signed URLs: what was signed together is allowed, and nothing else."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.objects.model import shows_inline
from alloyd.domain.objects.signing import UrlSigner

SIGNER = UrlSigner(bytes(range(32)))
TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=40)


def parts_of(url: str) -> tuple[str, str, str, str]:
    split = urlsplit(url)
    query = parse_qs(split.query)
    key = unquote(split.path).removeprefix("/objects/")
    return key, query["expires"][0], query["disposition"][0], query["signature"][0]


@given(TEXT, st.sampled_from(["attachment", "inline"]), st.integers(1, 10**11))
def test_what_was_signed_is_allowed(key: str, disposition, expires_s: int) -> None:
    given_parts = parts_of(SIGNER.sign(key, disposition, expires_s))
    assert given_parts[0] == key
    assert SIGNER.allows(*given_parts, expires_s * 1000 - 1)
    assert not SIGNER.allows(*given_parts, expires_s * 1000)
    assert not UrlSigner(bytes(32)).allows(*given_parts, 0)


@given(TEXT, st.integers(0, 3), st.integers(0, 60), st.characters())
def test_one_changed_character_is_refused(key: str, which: int, at: int, other: str) -> None:
    parts = list(parts_of(SIGNER.sign(key, "inline", 1_000_000)))
    text = parts[which]
    at %= len(text)
    parts[which] = text[:at] + other + text[at + 1 :]
    assert SIGNER.allows(*parts, 0) == (parts[which] == text)


def test_parts_do_not_run_into_each_other() -> None:
    key, expires, disposition, signature = parts_of(SIGNER.sign("a", "inline", 77))
    assert not SIGNER.allows(f"inline\n{key}", expires, disposition, signature, 0)
    assert not SIGNER.allows(key, f"{expires}\n{disposition}", "", signature, 0)


@pytest.mark.parametrize("expires", ["", "0", "-1", "+5", " 5", "5 ", "1e9", "٣", "9" * 13, "05"])
def test_times_of_another_form(expires: str) -> None:
    signature = SIGNER._signature("k", "inline", expires)  # as if it had been signed
    assert not SIGNER.allows("k", expires, "inline", signature, 0)


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        ("IMAGE/PNG", True),
        ("application/pdf", True),
        ("text/plain;charset=utf-16", True),
        ("audio/x-anything", True),
        ("video/mp4", True),
        ("image/svg+xml", False),
        ("text/html", False),
        ("text/plain2", False),
        ("application/octet-stream", False),
        ("audio/", False),
        ("audio/mpeg/html", False),
        ("multipart/mixed", False),
        ("", False),
    ],
)
def test_what_is_shown(content_type: str, shown: bool) -> None:
    assert shows_inline(content_type) is shown
