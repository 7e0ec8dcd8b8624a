"""Tells JSON and text from other content, and decodes them within bounds; pure."""

from __future__ import annotations

from typing import Any

import msgspec

JSON_DEPTH_MAX = 64

_TEXT_TYPES = frozenset(
    {
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/sql",
        "application/toml",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-www-form-urlencoded",
        "application/x-yaml",
        "application/xhtml+xml",
        "application/xml",
        "application/yaml",
        "image/svg+xml",
    }
)
# Only these: Python knows codecs that take quadratic time, and some that are not of text.
_CHARSETS = {
    "ascii": "ascii",
    "big5": "big5",
    "euc-jp": "euc-jp",
    "euc-kr": "euc-kr",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "iso-8859-15": "iso-8859-15",
    "iso-8859-2": "iso-8859-2",
    "koi8-r": "koi8-r",
    "latin-1": "cp1252",
    "latin1": "cp1252",
    "shift_jis": "shift_jis",
    "us-ascii": "ascii",
    "utf-16": "utf-16",
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
    "utf-8": "utf-8-sig",
    "utf8": "utf-8-sig",
    "windows-1250": "cp1250",
    "windows-1251": "cp1251",
    "windows-1252": "cp1252",
}


def media_type(content_type: str) -> str:
    """``application/json`` of ``Application/JSON; charset=utf-8``."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether the content says that it is JSON."""
    media = media_type(content_type)
    return media in ("application/json", "text/json") or media.endswith("+json")


def is_text(content_type: str) -> bool:
    """Whether the content says that it is text of some kind, JSON included."""
    media = media_type(content_type)
    return media.startswith("text/") or media in _TEXT_TYPES or media.endswith("+xml") or is_json(content_type)


def decode_text(content: bytes, content_type: str) -> str:
    """The text in the charset that ``content_type`` names, UTF-8 unless any. Raises ValueError."""
    parameters = (part.partition("=") for part in content_type.split(";")[1:])
    named = next((value for key, _, value in parameters if key.strip().lower() == "charset"), "utf-8")
    name = named.strip().strip('"').lower()
    codec = _CHARSETS.get(name)
    if codec is None:
        raise ValueError("is in a charset that is not known")
    try:
        return content.decode(codec)
    except UnicodeDecodeError:
        raise ValueError(f"is not {name} text") from None


def decode_json(content: bytes) -> Any:
    """The JSON value, at most ``JSON_DEPTH_MAX`` deep. Raises ValueError."""
    try:
        value = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ValueError("is not valid JSON") from None
    level = [value]
    for _ in range(JSON_DEPTH_MAX):
        below: list[Any] = []
        for item in level:
            if isinstance(item, list):
                below.extend(item)
            elif isinstance(item, dict):
                below.extend(item.values())
        if not below:
            return value
        level = below
    if any(isinstance(item, (list, dict)) for item in level):
        raise ValueError(f"is JSON of more than {JSON_DEPTH_MAX} levels")
    return value
