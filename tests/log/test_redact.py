"""Canary secrets in every dress, and what is left of a text around them."""

from __future__ import annotations

import msgspec
import pytest

from alloyd.config import Secret
from alloyd.log import redact, redact_text
from alloyd.log.redact import DEPTH_MAX, ITEMS_MAX, TEXT_CHARS_MAX, is_secret_name

RAW = "Zx9-_" * 8 + "abc"
KEY = f"alloy_AbCd1234_{RAW}"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIiwiYXVkIjoiY29udHJvbCJ9.c2lnbmF0dXJl-_x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KEY, "alloy_AbCd1234_***"),
        (f"key {KEY}, and", "key alloy_AbCd1234_***, and"),
        (f"x{KEY}y", "xalloy_AbCd1234_***"),
        (KEY[:30], "alloy_AbCd1234_***"),
        (f"Authorization: Bearer {JWT}", "Authorization: ***"),
        ("sent Bearer abc.def to it", "sent Bearer *** to it"),
        ("bearer%20abc", "bearer ***"),
        ("Basic dXNlcjpwYXNz", "Basic ***"),
        (f"token is {JWT}.", "token is ***."),
        (f"_{JWT}", "_***"),
        ("https://user:canary@host/path", "https://***@host/path"),
        ("https://user:can@ary@host/path?a=b@c", "https://***@host/path?a=b@c"),
        ("postgres://canary@host", "postgres://***@host"),
        ("https://host/@canary", "https://host/@canary"),
        ("GET /v1/events/ws?ticket=canary&kinds=a", "GET /v1/events/ws?ticket=***&kinds=a"),
        ("/x?a=1&access_token=canary", "/x?a=1&access_token=***"),
        ("/x?key=canary HTTP/1.1", "/x?key=*** HTTP/1.1"),
        ("password=canary; next", "password=***; next"),
        ("db_password = 'can ary', x", "db_password = ***, x"),
        ('{"password": "can\\"ary", "a": 1}', '{"password": "***", "a": 1}'),
        ('{"client_secret":"canary"}', '{"client_secret":"***"}'),
        (r'"{\"api_key\": \"canary\"}"', r'"{\"api_key\": "***"}"'),
        ("{'X-Api-Key': 'canary'}", "{'X-Api-Key': \"***\"}"),
        ("{b'Cookie': b'canary'}", "{b'Cookie': \"***\"}"),
        ('{"token": "canary', '{"token": "***"'),
        ("Set-Cookie: a=canary; Path=/\nHost: b", "Set-Cookie: ***\nHost: b"),
        ("X-API-Key: canary", "X-API-Key: ***"),
        ("sk-ant-canary-canary-canary", "sk-***"),
        ("-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----\nx", "***\nx"),
        ("-----BEGIN PRIVATE KEY-----\ncanary", "***"),
    ],
)
def test_secrets_in_texts_are_masked(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run 0199c0de-0000-7000-8000-000000000000 started",
        "POST https://example.com:8080/a/b?limit=5#x 200",
        'wanted http.port: a whole number, got "x"',
        "alloy_short",
        "token expired",
        "a=b@c",
    ],
)  # fmt: skip
def test_other_texts_stay(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "name",
    ["password", "PASSWORD", "new_password", "api_key", "apiKey", "X-API-Key", "Authorization", "proxy-authorization",
     "cookie", "Set-Cookie", "token", "accessToken", "tokens", "client_secret", "clientSecret", "key", "signing_key",
     "private_key", "idempotency_key", "ticket", "credentials", "jwt", "signature", "passphrase"],
)  # fmt: skip
def test_names_that_mean_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["event", "org_id", "key_id", "api_key_id", "node_key", "nodeKey", "input_tokens", "token_count", "path",
     "keys_cached", "password_bytes_min", "credential_ids", "monkey"],
)  # fmt: skip
def test_names_that_do_not(name: str) -> None:
    assert not is_secret_name(name)


class Holder(msgspec.Struct):
    note: str
    token: Secret


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError(KEY)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (2**63 - 1, 2**63 - 1),
        (2**70, "an integer of 71 bits"),
        ({"a": {"password": "canary"}}, {"a": {"password": "***"}}),
        ({"password": None, "token": True, "secret": 5}, {"password": None, "token": True, "secret": "***"}),
        ({"credentials": {"user": "canary"}}, {"credentials": "***"}),
        ({KEY: 1}, {"alloy_AbCd1234_***": 1}),
        ({b"cookie": b"canary", 3: KEY}, {"cookie": "***", "3": "alloy_AbCd1234_***"}),
        ([KEY, (KEY,), {KEY}], [*["alloy_AbCd1234_***"], ["alloy_AbCd1234_***"], ["alloy_AbCd1234_***"]]),
        ([("Authorization", "canary"), ("Host", "h")], [["Authorization", "***"], ["Host", "h"]]),
        ([(b"Cookie", b"canary")], [["Cookie", "***"]]),
        (KEY.encode(), "alloy_AbCd1234_***"),
        (b"\xff", "\\xff"),
        (Secret("canary"), "***"),
        (Holder(note=KEY, token=Secret("canary")), "Holder(note='alloy_AbCd1234_***', token=***)"),
        (ValueError(f"bad {KEY}"), "ValueError('bad alloy_AbCd1234_***')"),
        (Broken(), "<Broken, whose repr raises RuntimeError>"),
    ],
)
def test_secrets_in_values_are_masked(value: object, expected: object) -> None:
    assert redact(value) == expected


def test_depth_is_bounded() -> None:
    deep: object = KEY
    for _ in range(1000):
        deep = [deep]
    assert str(redact(deep)).count("[") == DEPTH_MAX


def test_items_are_bounded() -> None:
    assert redact(list(range(ITEMS_MAX + 5)))[-1] == "5 more"
    assert redact({str(n): n for n in range(ITEMS_MAX + 5)})["…"] == "5 more"


@pytest.mark.parametrize("chars", [TEXT_CHARS_MAX * 2, TEXT_CHARS_MAX * 40])
def test_a_long_text_keeps_both_ends_and_no_secret_at_a_cut(chars: int) -> None:
    text = f"start {KEY} " * (chars // 64) + "end"
    cut = redact_text(text)
    assert len(cut) < TEXT_CHARS_MAX + 100
    assert cut.startswith("start alloy_AbCd1234_***")
    assert cut.endswith(" end")
    assert RAW[:8] not in cut
