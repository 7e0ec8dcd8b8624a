"""HMAC signatures of webhook bodies: how alloyd signs, and how it checks what it and well-known senders sign."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

SIGNATURE_HEADER: Final = "X-Alloyd-Signature"
DELIVERY_HEADER: Final = "X-Alloyd-Delivery"
EVENT_HEADER: Final = "X-Alloyd-Event"

Scheme = Literal["alloyd", "github", "stripe", "slack", "shopify", "standard"]

TOLERANCE_S: Final = 300
# More than any sender needs while it rotates; a longer list would only be work for whoever sends it.
_SIGNATURES_MAX: Final = 8
_HEADER_CHARS_MAX: Final = 2048
_SECONDS: Final = re.compile(r"[0-9]{1,12}\Z")
_HEX: Final = re.compile(r"[0-9a-f]{64}\Z")
_STANDARD_PREFIX: Final = "whsec_"


class BadSignatureError(Exception):
    """The request is not signed with the secret, or not at this time. It says nothing of what was wrong."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request whose signature holds.

    ``signature`` is the one that holds, in hex; ``delivery_id`` the sender's own name for the delivery, where its
    scheme has one. The name is not always signed: it may not be taken for more than the sender's word.
    """

    signature: str
    delivery_id: str | None


def sign(secret: str, timestamp_s: int, body: bytes) -> str:
    """HMAC-SHA256 in hex over ``<timestamp>.<body>``, keyed with the secret's UTF-8."""
    return _hex(secret.encode(), b"%d." % timestamp_s, body)


def signature_header(secrets: Sequence[str], timestamp_s: int, body: bytes) -> str:
    """The value of :data:`SIGNATURE_HEADER`: a signature for each of ``secrets``, two while one replaces the other."""
    return ",".join([f"t={timestamp_s}", *(f"v1={sign(secret, timestamp_s, body)}" for secret in secrets)])


def verify(
    scheme: Scheme, secret: str, headers: Mapping[str, str], body: bytes, now_ms: int, tolerance_s: int = TOLERANCE_S
) -> Signed:
    """Check a request; ``headers`` by lower-case names. Raises :class:`BadSignatureError`.

    The signature is compared in constant time, and a timestamp may be ``tolerance_s`` seconds away from ``now_ms`` in
    either direction. The schemes ``github`` and ``shopify`` sign no timestamp.
    """
    if not secret:
        raise BadSignatureError
    return _SCHEMES[scheme](secret, headers, body, now_ms, tolerance_s)


def _alloyd(secret: str, headers: Mapping[str, str], body: bytes, now_ms: int, tolerance_s: int) -> Signed:
    timestamp, given = _timed_list(headers, SIGNATURE_HEADER.lower())
    _check_time(timestamp, now_ms, tolerance_s)
    found = _match(_hex(secret.encode(), timestamp.encode() + b".", body), given)
    return Signed(found, headers.get(DELIVERY_HEADER.lower()))


def _stripe(secret: str, headers: Mapping[str, str], body: bytes, now_ms: int, tolerance_s: int) -> Signed:
    timestamp, given = _timed_list(headers, "stripe-signature")
    _check_time(timestamp, now_ms, tolerance_s)
    return Signed(_match(_hex(secret.encode(), timestamp.encode() + b".", body), given), None)


def _slack(secret: str, headers: Mapping[str, str], body: bytes, now_ms: int, tolerance_s: int) -> Signed:
    timestamp = headers.get("x-slack-request-timestamp", "")
    _check_time(timestamp, now_ms, tolerance_s)
    given = _header(headers, "x-slack-signature").removeprefix("v0=")
    return Signed(_match(_hex(secret.encode(), b"v0:" + timestamp.encode() + b":", body), [given]), None)


def _github(secret: str, headers: Mapping[str, str], body: bytes, _now_ms: int, _tolerance_s: int) -> Signed:
    given = _header(headers, "x-hub-signature-256")
    if not given.startswith("sha256="):
        raise BadSignatureError
    found = _match(_hex(secret.encode(), b"", body), [given.removeprefix("sha256=")])
    return Signed(found, headers.get("x-github-delivery"))


def _shopify(secret: str, headers: Mapping[str, str], body: bytes, _now_ms: int, _tolerance_s: int) -> Signed:
    given = _hex_of_base64(_header(headers, "x-shopify-hmac-sha256"))
    return Signed(_match(_hex(secret.encode(), b"", body), [given]), headers.get("x-shopify-webhook-id"))


def _standard(secret: str, headers: Mapping[str, str], body: bytes, now_ms: int, tolerance_s: int) -> Signed:
    """https://www.standardwebhooks.com: the id is signed too, and the secret is base64 after its prefix."""
    delivery_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    _check_time(timestamp, now_ms, tolerance_s)
    given = [
        _hex_of_base64(part.removeprefix("v1,"))
        for part in _header(headers, "webhook-signature").split(" ")[:_SIGNATURES_MAX]
        if part.startswith("v1,")
    ]
    try:
        key = base64.b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise BadSignatureError from None
    if not key or not delivery_id.isascii():
        raise BadSignatureError
    return Signed(_match(_hex(key, f"{delivery_id}.{timestamp}.".encode(), body), given), delivery_id or None)


_Check = Callable[[str, Mapping[str, str], bytes, int, int], Signed]
_SCHEMES: Final[Mapping[str, _Check]] = {
    "alloyd": _alloyd,
    "github": _github,
    "stripe": _stripe,
    "slack": _slack,
    "shopify": _shopify,
    "standard": _standard,
}


def fault_of_secret(scheme: Scheme, secret: str) -> str | None:
    """Why ``secret`` can't be one of the scheme's, in words for its owner; None when it can."""
    if not SECRET_CHARS_MIN <= len(secret) <= SECRET_CHARS_MAX:
        return f"{SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} characters are wanted"
    if any(not " " <= char <= "~" for char in secret) or secret != secret.strip():
        return "visible ASCII characters are wanted"
    if scheme == "standard":
        try:
            base64.b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            return "whsec_ and base64 are wanted"
    return None


SECRET_CHARS_MIN: Final = 16
SECRET_CHARS_MAX: Final = 256


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value or len(value) > _HEADER_CHARS_MAX:
        raise BadSignatureError
    return value


def _timed_list(headers: Mapping[str, str], name: str) -> tuple[str, list[str]]:
    """``t=…,v1=…,v1=…`` as the timestamp and the signatures; what else is in the list is for others."""
    timestamps: list[str] = []
    signatures: list[str] = []
    for part in _header(headers, name).split(","):
        key, _, value = part.strip(" ").partition("=")
        if key == "t":
            timestamps.append(value)
        elif key == "v1":
            signatures.append(value)
    if len(timestamps) != 1:
        raise BadSignatureError
    return timestamps[0], signatures[:_SIGNATURES_MAX]


def _check_time(timestamp: str, now_ms: int, tolerance_s: int) -> None:
    if not _SECONDS.match(timestamp) or abs(int(timestamp) * 1000 - now_ms) > tolerance_s * 1000:
        raise BadSignatureError


def _match(right: str, given: Sequence[str]) -> str:
    found = False
    for one in given[:_SIGNATURES_MAX]:
        if _HEX.match(one):
            found |= hmac.compare_digest(right, one)
    if not found:
        raise BadSignatureError
    return right


def _hex_of_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def _hex(key: bytes, before: bytes, body: bytes) -> str:
    mac = hmac.new(key, before, hashlib.sha256)
    mac.update(body)
    return mac.hexdigest()
