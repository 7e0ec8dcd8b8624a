"""Signatures: published vectors, tampering, clocks that differ, two secrets while one replaces the other."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.kit.signatures import BadSignatureError, fault_of_secret, sign, signature_header, verify

SECRET = "whsec_0123456789abcdef"
NOW_S = 1_700_000_000
NOW_MS = NOW_S * 1000
BODY = b'{"id":"7","kind":"order.paid"}'

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
# The vectors of the vendors' own pages: docs.github.com, api.slack.com, standardwebhooks.com.
PUBLISHED = {
    "github": (
        "It's a Secret to Everybody",
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
        0,
    ),
    "slack": (
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        SLACK_BODY,
        1531420618,
    ),
    "standard": (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        1614265330,
    ),
}


def headers_of(scheme: str, secret: str, body: bytes, at_s: int = NOW_S) -> dict[str, str]:
    """What a sender of the scheme sends, worked out here by the letter of its page."""

    def mac(key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, hashlib.sha256).digest()

    key = secret.encode()
    if scheme == "alloyd":
        return {"x-alloyd-signature": f"t={at_s},v1={mac(key, b'%d.' % at_s + body).hex()}", "x-alloyd-delivery": "d-1"}
    if scheme == "stripe":
        return {"stripe-signature": f"t={at_s},v1={mac(key, b'%d.' % at_s + body).hex()},v0=abc"}
    if scheme == "slack":
        signed = mac(key, b"v0:%d:" % at_s + body).hex()
        return {"x-slack-request-timestamp": str(at_s), "x-slack-signature": f"v0={signed}"}
    if scheme == "github":
        return {"x-hub-signature-256": f"sha256={mac(key, body).hex()}", "x-github-delivery": "d-1"}
    if scheme == "shopify":
        return {
            "x-shopify-hmac-sha256": base64.b64encode(mac(key, body)).decode(),
            "x-shopify-webhook-id": "d-1",
        }
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    signed = base64.b64encode(mac(raw, b"d-1.%d." % at_s + body)).decode()
    return {"webhook-id": "d-1", "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signed} v1a,other"}


SECRETS = dict.fromkeys(("alloyd", "stripe", "slack", "github", "shopify"), SECRET) | {
    "standard": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
}
TIMED = ("alloyd", "stripe", "slack", "standard")


@pytest.mark.parametrize("scheme", PUBLISHED)
def test_published_vectors_hold(scheme):
    secret, headers, body, at_s = PUBLISHED[scheme]
    assert verify(scheme, secret, headers, body, at_s * 1000).signature
    with pytest.raises(BadSignatureError):
        verify(scheme, secret, headers, body + b" ", at_s * 1000)


@pytest.mark.parametrize("scheme", SECRETS)
def test_what_is_signed_holds_and_nothing_else(scheme):
    secret = SECRETS[scheme]
    headers = headers_of(scheme, secret, BODY)
    signed = verify(scheme, secret, headers, BODY, NOW_MS)
    assert signed.delivery_id == (None if scheme in ("stripe", "slack") else "d-1")
    other = "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    for tampered in (BODY + b"\n", BODY[:-1], BODY.replace(b"7", b"8"), b""):
        with pytest.raises(BadSignatureError):
            verify(scheme, secret, headers, tampered, NOW_MS)
    for wrong in (other, secret[:-1], ""):
        with pytest.raises(BadSignatureError):
            verify(scheme, wrong, headers, BODY, NOW_MS)
    for name in headers:
        if name not in ("x-alloyd-delivery", "x-github-delivery", "x-shopify-webhook-id"):
            with pytest.raises(BadSignatureError):
                verify(scheme, secret, {**headers, name: ""}, BODY, NOW_MS)
            with pytest.raises(BadSignatureError):
                verify(scheme, secret, {key: value for key, value in headers.items() if key != name}, BODY, NOW_MS)


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize(
    ("skew_ms", "holds"),
    [(0, True), (300_000, True), (-300_000, True), (300_001, False), (-300_001, False), (86_400_000, False)],
)
def test_clocks_may_differ_by_five_minutes(scheme, skew_ms, holds):
    secret = SECRETS[scheme]
    headers = headers_of(scheme, secret, BODY)
    if holds:
        assert verify(scheme, secret, headers, BODY, NOW_MS + skew_ms)
    else:
        with pytest.raises(BadSignatureError):
            verify(scheme, secret, headers, BODY, NOW_MS + skew_ms)


def test_tolerance_is_the_callers():
    headers = headers_of("alloyd", SECRET, BODY)
    assert verify("alloyd", SECRET, headers, BODY, NOW_MS + 30_000, tolerance_s=30)
    with pytest.raises(BadSignatureError):
        verify("alloyd", SECRET, headers, BODY, NOW_MS + 30_001, tolerance_s=30)


def test_the_moved_timestamp_is_not_believed():
    value = headers_of("alloyd", SECRET, BODY)["x-alloyd-signature"]
    moved = value.replace(f"t={NOW_S}", f"t={NOW_S + 1}")
    with pytest.raises(BadSignatureError):
        verify("alloyd", SECRET, {"x-alloyd-signature": moved}, BODY, NOW_MS)


def test_either_of_two_secrets_is_enough():
    old, new = SECRET, "whsec_fedcba9876543210"
    headers = {"x-alloyd-signature": signature_header((new, old), NOW_S, BODY)}
    assert headers["x-alloyd-signature"].count("v1=") == 2
    for secret in (old, new):
        assert verify("alloyd", secret, headers, BODY, NOW_MS).signature == sign(secret, NOW_S, BODY)
    with pytest.raises(BadSignatureError):
        verify("alloyd", "whsec_neither_of_them", headers, BODY, NOW_MS)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "t=,v1=",
        "v1=" + "0" * 64,
        f"t={NOW_S}",
        f"t={NOW_S},t={NOW_S},v1=" + "0" * 64,
        f"t={NOW_S},v1=" + "G" * 64,
        f"t=-{NOW_S},v1=" + "0" * 64,
        f"t={NOW_S}.0,v1=" + "0" * 64,
        "t=" + "9" * 400 + ",v1=" + "0" * 64,
        "t=١٧٠٠٠٠٠٠٠٠,v1=" + "0" * 64,
        f"t={NOW_S}," + ",".join(["v1=" + "0" * 64] * 1000),
    ],
)
def test_malformed_headers_are_refused(value):
    with pytest.raises(BadSignatureError):
        verify("alloyd", SECRET, {"x-alloyd-signature": value}, BODY, NOW_MS)


def test_a_right_one_behind_too_many_is_not_looked_for():
    right = sign(SECRET, NOW_S, BODY)
    many = f"t={NOW_S}," + ",".join([*["v1=" + "0" * 64] * 20, f"v1={right}"])
    with pytest.raises(BadSignatureError):
        verify("alloyd", SECRET, {"x-alloyd-signature": many}, BODY, NOW_MS)


@given(
    st.sampled_from(sorted(SECRETS)),
    st.dictionaries(
        st.sampled_from(
            [
                "x-alloyd-signature",
                "stripe-signature",
                "x-slack-signature",
                "x-slack-request-timestamp",
                "x-hub-signature-256",
                "x-shopify-hmac-sha256",
                "webhook-signature",
                "webhook-id",
                "webhook-timestamp",
            ]
        ),
        st.text(),
    ),
    st.binary(),
)
def test_no_input_passes_or_breaks(scheme, headers, body):
    with pytest.raises(BadSignatureError):
        verify(scheme, SECRETS[scheme], headers, body, NOW_MS)


@pytest.mark.parametrize(
    ("scheme", "secret", "fault"),
    [
        ("alloyd", "a" * 16, False),
        ("alloyd", "a" * 15, True),
        ("alloyd", "a" * 257, True),
        ("alloyd", "a" * 15 + " ", True),
        ("alloyd", "ä" * 16, True),
        ("alloyd", "a" * 16 + "\n", True),
        ("standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", False),
        ("standard", "whsec_not base64 at all", True),
        ("standard", "whsec_!!!!!!!!!!!!!!!!", True),
    ],
)
def test_secrets_are_long_and_plain(scheme, secret, fault):
    assert (fault_of_secret(scheme, secret) is not None) == fault
