"""Functions between text and its encodings, and digests of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import uuid as uuids
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec

from alloyd.kit.expressions import arguments
from alloyd.kit.expressions.bounds import Frame
from alloyd.kit.expressions.faults import ExpressionError
from alloyd.kit.expressions.values import json_of, measure, text_of

_NO_LIMIT: Final = 1 << 62  # the text was bounded already
_QUERY_KEYS_MAX: Final = 1_000
_UUID_STEPS: Final = 8


def to_json(frame: Frame, value: Any) -> str:
    """Compact JSON."""
    return json_of(frame, value)


def from_json(frame: Frame, value: Any) -> Any:
    """The value that a JSON text says."""
    text = arguments.text(value)
    # What costs is the number of values; these marks stand between them, and counting them is quick.
    marks = sum(map(text.count, ",:[{"))
    frame.charge(1 + (len(text) >> 6) + (marks >> 1))
    try:
        decoded = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ExpressionError("the text is not JSON") from None
    # For its depth: a value that can be read but not be written again must not come in.
    measure(frame, decoded, _NO_LIMIT, "")
    return decoded


def to_base64(frame: Frame, value: Any) -> str:
    """Base64 of the text in UTF-8."""
    data = _bytes(frame, value)
    frame.allow_text(len(data) * 4 // 3 + 4)
    return base64.b64encode(data).decode("ascii")


def from_base64(frame: Frame, value: Any) -> str:
    """The text behind Base64, ordinary or URL-safe, with or without padding."""
    text = arguments.text(value)
    frame.allow_text(len(text))
    letters = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
        return data.decode("utf-8")
    except ValueError:
        raise ExpressionError("the text is not Base64 of UTF-8") from None


def url_encode(frame: Frame, value: Any) -> str:
    """Percent-encoded, safe in any part of a URL."""
    text = text_of(frame, value)
    # Encoded character by character; one of them can become twelve.
    frame.charge(len(text) >> 2)
    encoded = quote(text.encode("utf-8"), safe="")
    frame.allow_text(len(encoded))
    return encoded


def url_decode(frame: Frame, value: Any) -> str:
    """The inverse of url_encode; what is not UTF-8 becomes the replacement character."""
    text = arguments.text(value)
    frame.charge(len(text) >> 2)
    return unquote(text)


def url_query(frame: Frame, value: Any) -> str:
    """``a=1&b=2`` of an object; a list gives its key several times, null is left out."""
    pairs: list[str] = []
    for key, element in arguments.mapping(value).items():
        encoded = url_encode(frame, key)
        for item in element if type(element) is list else [element]:
            if item is None:
                continue
            if len(pairs) == _QUERY_KEYS_MAX:
                raise ExpressionError(f"a query has at most {_QUERY_KEYS_MAX:,} parts")
            frame.charge(1)
            pairs.append(f"{encoded}={url_encode(frame, item)}")
    frame.allow_text(sum(map(len, pairs)) + len(pairs))
    return "&".join(pairs)


def html_escape(frame: Frame, value: Any) -> str:
    """Safe inside of HTML text and quoted attributes."""
    text = text_of(frame, value)
    frame.charge(len(text) >> 4)
    escaped = html.escape(text)
    frame.allow_text(len(escaped))
    return escaped


def sha256(frame: Frame, value: Any) -> str:
    """SHA-256 of the text in UTF-8, in hexadecimal."""
    return hashlib.sha256(_bytes(frame, value)).hexdigest()


def hmac_sha256(frame: Frame, value: Any, key: Any) -> str:
    """HMAC-SHA-256 of the text under the key, in hexadecimal."""
    return hmac.new(_bytes(frame, key), _bytes(frame, value), hashlib.sha256).hexdigest()


def uuid(frame: Frame) -> str:
    """A random UUID: another one each time."""
    frame.charge(_UUID_STEPS)
    return str(uuids.uuid4())


def _bytes(frame: Frame, value: Any) -> bytes:
    text = arguments.text(value)
    # Hashing costs more than copying: twice.
    frame.charge(2 + (len(text) >> 5))
    return text.encode("utf-8")
