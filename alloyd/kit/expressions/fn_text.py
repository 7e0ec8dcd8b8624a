"""Functions on text."""

from __future__ import annotations

from typing import Any

from alloyd.kit.expressions import arguments, operators
from alloyd.kit.expressions.bounds import SCAN_SHIFT, Frame
from alloyd.kit.expressions.faults import ExpressionError
from alloyd.kit.expressions.values import kind, text_of


def upper(frame: Frame, value: Any) -> str:
    """In upper case."""
    # Some characters become three; ß becomes SS.
    frame.allow_text(len(arguments.text(value)))
    return _made(frame, value.upper())


def lower(frame: Frame, value: Any) -> str:
    """In lower case."""
    frame.allow_text(len(arguments.text(value)))
    return _made(frame, value.lower())


def _made(frame: Frame, text: str) -> str:
    """For what can grow by a small factor only, and so is checked after it is made."""
    frame.allow_text(len(text))
    return text


def trim(frame: Frame, value: Any, chars: Any = None) -> str:
    """Without white space, or without any of ``chars``, at both ends."""
    frame.allow_text(len(arguments.text(value)))
    if chars is not None and len(arguments.text(chars)) > 64:
        raise ExpressionError("trims at most 64 different characters")
    return str(value.strip(chars))


def split(frame: Frame, value: Any, separator: Any = None) -> list[str]:
    """The pieces between the separators; without one, the words."""
    text = arguments.text(value)
    frame.allow_text(len(text))
    if separator is None:
        pieces = text.split(None, frame.bounds.list_items_max)
        frame.allow_list(len(pieces))
        frame.charge(len(pieces))
        return pieces
    if not arguments.text(separator):
        raise ExpressionError("the separator is empty")
    count = text.count(separator) + 1
    frame.allow_list(count)
    frame.charge(count)
    return text.split(separator)


def join(frame: Frame, value: Any, separator: Any = "") -> str:
    """The elements as text, with the separator between them."""
    elements = arguments.items(value)
    between = arguments.text(separator, "a text as separator")
    frame.charge(len(elements))
    total = len(between) * max(len(elements) - 1, 0)
    pieces: list[str] = []
    for element in elements:
        piece = text_of(frame, element)
        total += len(piece)
        # Checked as it grows: what is joined need not fit in memory twice.
        if total > frame.bounds.text_chars_max:
            break
        pieces.append(piece)
    frame.allow_text(total)
    return between.join(pieces)


def replace(frame: Frame, value: Any, old: Any, new: Any) -> str:
    """With every ``old`` replaced by ``new``."""
    text = arguments.text(value)
    if not arguments.text(old):
        raise ExpressionError("the text to replace is empty")
    frame.charge(len(text) >> 4)
    count = text.count(old)
    frame.allow_text(len(text) + count * (len(arguments.text(new)) - len(old)))
    return text.replace(old, new)


def contains(frame: Frame, holder: Any, value: Any) -> bool:
    """As ``value in holder``."""
    return operators.contains(frame, holder, value)


def starts_with(frame: Frame, value: Any, start: Any) -> bool:
    """Whether the text starts so."""
    frame.charge(len(arguments.text(start)) >> SCAN_SHIFT)
    return arguments.text(value).startswith(start)


def ends_with(frame: Frame, value: Any, end: Any) -> bool:
    """Whether the text ends so."""
    frame.charge(len(arguments.text(end)) >> SCAN_SHIFT)
    return arguments.text(value).endswith(end)


def slice_of(frame: Frame, value: Any, start: Any, stop: Any = None) -> Any:
    """From ``start`` up to, not including, ``stop``: of a text or a list."""
    if type(value) not in (str, list):
        raise ExpressionError(f"needs a text or a list, not {kind(value)}")
    part = value[arguments.integer(start) : None if stop is None else arguments.integer(stop)]
    if type(part) is str:
        frame.allow_text(len(part))
    else:
        frame.allow_list(len(part))
    return part


def pad_left(frame: Frame, value: Any, width: Any, fill: Any = " ") -> str:
    """At least ``width`` characters, filled on the left."""
    text = text_of(frame, value)
    return _filling(frame, text, width, fill) + text


def pad_right(frame: Frame, value: Any, width: Any, fill: Any = " ") -> str:
    """At least ``width`` characters, filled on the right."""
    text = text_of(frame, value)
    return text + _filling(frame, text, width, fill)


def _filling(frame: Frame, text: str, width: Any, fill: Any) -> str:
    if len(arguments.text(fill)) != 1:
        raise ExpressionError("fills with one character")
    frame.allow_text(max(len(text), arguments.integer(width)))
    return str(fill * (width - len(text)))


def to_text(frame: Frame, value: Any) -> str:
    """As it stands in a text."""
    return text_of(frame, value)


def type_of(frame: Frame, value: Any) -> str:
    """null, boolean, number, text, list or object."""
    return kind(value).rpartition(" ")[2]
