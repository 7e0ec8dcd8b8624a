"""Takes secrets out of what is logged: by the name of a field, and by what a text looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

MASK: Final = "***"
TEXT_CHARS_MAX: Final = 16_384
"""The most characters of one text that are logged: three quarters from its start, one from its end."""
DEPTH_MAX: Final = 8
ITEMS_MAX: Final = 200

# Longer texts are cut before they are searched. That cut may split a secret, but lies in what is left out later.
_SEARCHED_CHARS_MAX: Final = 4 * TEXT_CHARS_MAX
_INT_BITS_MAX: Final = 63

_SECRET_WORDS: Final = (
    "password", "passwd", "passphrase", "secret", "authorization", "cookie", "credential", "token", "ticket",
    "bearer", "api_key", "apikey", "signature", "jwt",
)  # fmt: skip
_NO_SECRET: Final = re.compile(
    r"(node|step)_key\Z"
    r"|.*_(id|ids|count|kind|name|type|at|bytes|bytes_max|bytes_min|s|ms|max|min)\Z"
    r"|(input|output|total|max|prompt|completion|cached)_tokens\Z"
)
_WORD_BREAK: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-.\s]+")

_NAME: Final = (
    r"(?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|authorization|cookie|credential)s?"
)
# A name and a text in quotes, as in JSON, in JSON within JSON, and in Python's repr; the text may be cut off.
_QUOTED_NAME: Final = rf"{_NAME}\\{{0,8}}[\"']"
_ESCAPED_TEXT: Final = r"b?\\+\"[^\"]*(?:\"|\Z)"
_DOUBLE_TEXT: Final = r"b?\"(?:[^\"\\]|\\.)*(?:\"|\Z)"
_SINGLE_TEXT: Final = r"b?'(?:[^'\\]|\\.)*(?:'|\Z)"
# Every repetition is bounded that others can follow or that can start anywhere: a hostile text must not make the
# search quadratic.
_RULES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", MASK),
        (r"(alloy_[a-z0-9]{8}_)[a-z0-9_-]{4,}", r"\1***"),
        (r"\b(bearer|basic)(?:\s|%20|\+)+[^\s\"',;&\\]+", r"\1 ***"),
        (r"eyJ[a-z0-9_-]{4,512}\.[a-z0-9_-]{4,}(?:\.[a-z0-9_-]*)?", MASK),
        (r"\bsk-[a-z0-9_-]{16,}", "sk-***"),
        (r"://[^/\s?#\"]+@", "://***@"),
        (r"([?&](?:key|code|sig|signature|ticket)=)[^&\s#\"'<>]+", r"\1***"),
        (rf"({_NAME}\s?=\s?)(?:\"[^\"]*\"|'[^']*'|[^&\s#\"'<>,;)]+)", r"\1***"),
        (rf"({_QUOTED_NAME}\s?:\s?)(?:{_ESCAPED_TEXT}|{_DOUBLE_TEXT}|{_SINGLE_TEXT})", r'\1"***"'),
        (
            r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]{0,20}(?:key|token)):[^\r\n]+",
            r"\1: ***",
        ),
    )
)
# What every text that a rule can match has in it; most texts have none of it.
_SUSPECT: Final = re.compile(
    r"[='\"]|://|alloy_|bearer|basic|eyj|sk-|private key|authorization|cookie|x-", re.IGNORECASE
)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether the value of a field, header or variable of this name is kept out of the log."""
    words = _WORD_BREAK.sub("_", name).lower()
    if _NO_SECRET.match(words):
        return False
    return words == "key" or words.endswith("_key") or any(word in words for word in _SECRET_WORDS)


def redact_text(text: str) -> str:
    """``text`` with everything masked that looks like a secret, cut to TEXT_CHARS_MAX characters."""
    if len(text) > _SEARCHED_CHARS_MAX:
        text = _cut(text, _SEARCHED_CHARS_MAX)
    if _SUSPECT.search(text) is not None:
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
    return _cut(text, TEXT_CHARS_MAX) if len(text) > TEXT_CHARS_MAX else text


def redact(value: Any, depth: int = 0) -> Any:
    """``value`` in JSON's types, every text in it redacted; what stands under a secret's name is masked whole.

    Mappings and lists are cut to ITEMS_MAX items and DEPTH_MAX levels; anything else becomes its ``repr``.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _INT_BITS_MAX else f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes | bytearray):
        return redact_text(bytes(value[:_SEARCHED_CHARS_MAX]).decode(errors="backslashreplace"))
    if depth >= DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        return redact_fields(value, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        return _redact_items(value, depth)
    return redact_text(_repr(value))


def redact_fields(fields: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """Each value of ``fields`` as it may be logged under its name."""
    redacted: dict[str, Any] = {}
    for number, (key, value) in enumerate(fields.items()):
        if number >= ITEMS_MAX:
            redacted["…"] = f"{len(fields) - ITEMS_MAX} more"
            break
        name = _text(key)
        redacted[redact_text(name)] = _redact_under(name, value, depth)
    return redacted


def _redact_under(name: str, value: Any, depth: int) -> Any:
    if value is not None and not isinstance(value, bool) and is_secret_name(name):
        return MASK
    return redact(value, depth)


def _redact_items(items: Iterable[Any], depth: int) -> list[Any]:
    listed = list(items)
    # Headers often come as pairs.
    if len(listed) == 2 and isinstance(listed[0], str | bytes):
        name = _text(listed[0])
        return [redact_text(name), _redact_under(name, listed[1], depth + 1)]
    redacted = [redact(item, depth + 1) for item in listed[:ITEMS_MAX]]
    return [*redacted, f"{len(listed) - ITEMS_MAX} more"] if len(listed) > ITEMS_MAX else redacted


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value[:_SEARCHED_CHARS_MAX].decode(errors="backslashreplace")
    return value if isinstance(value, str) else _repr(value)


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


def _cut(text: str, chars_max: int) -> str:
    end = chars_max // 4
    return f"{text[: chars_max - end]}…[{len(text) - chars_max} characters]…{text[-end:]}"
