"""Finds a value by its path (``context.order.items[0].sku``) among a step's names; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ROOTS = ("trigger", "context", "steps", "run", "now", "inputs", "item", "index")
PATH_CHARS_MAX = 1024

_PART = re.compile(
    r"""\.?(?P<name>[^.\[\]"']+)|\[(?P<index>-?[0-9]{1,9})\]|\["(?P<key>[^"]*)"\]|\['(?P<key2>[^']*)'\]"""
)


def parse_path(path: str) -> tuple[str | int, ...]:
    """The keys and indexes of ``path``; a leading ``$`` or ``$.`` is allowed. Raises ValueError."""
    if len(path) > PATH_CHARS_MAX:
        raise ValueError(f"a path has at most {PATH_CHARS_MAX} characters")
    text = path.strip().removeprefix("$").removeprefix(".")
    parts: list[str | int] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None or (text[at] == "." and at == 0):
            raise ValueError("a path looks like context.order.items[0].sku")
        if match["index"] is not None:
            parts.append(int(match["index"]))
        else:
            parts.append(next(found for found in (match["name"], match["key"], match["key2"]) if found is not None))
        at = match.end()
    if not parts or parts[0] not in ROOTS:
        raise ValueError(f"a path begins with one of {', '.join(ROOTS)}")
    return tuple(parts)


def find_value(names: Mapping[str, Any], parts: tuple[str | int, ...]) -> Any:
    """The value at ``parts``, None where any of them is missing."""
    value: Any = names
    for part in parts:
        if isinstance(value, Mapping):
            value = value.get(str(part))
        elif isinstance(value, list) and (isinstance(part, int) or (part.isascii() and part.isdigit())):
            index = int(part)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value
