"""Functions on numbers, and from anything to numbers and booleans."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from alloyd.kit.expressions import arguments
from alloyd.kit.expressions.bounds import SCAN_SHIFT, Frame
from alloyd.kit.expressions.faults import ExpressionError
from alloyd.kit.expressions.values import NUMBERS, in_range, kind, settle, truthy

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}\Z")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,5})?\Z")
_NUMBER_CHARS_MAX: Final = 1_000
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0", ""})


def to_int(frame: Frame, value: Any) -> int:
    """Toward zero from a number; from a text of digits."""
    form = type(value)
    if form is int:
        return int(in_range(value))
    if form is float or form is bool:
        return int(settle(int(value)))
    stripped = _short(value)
    if not _INTEGER.match(stripped):
        raise ExpressionError("the text is not an integer")
    return int(settle(int(stripped)))


def to_float(frame: Frame, value: Any) -> float:
    """From a number, or from a text that is one."""
    if type(value) in NUMBERS:
        return float(in_range(value))
    stripped = _short(value)
    if not _NUMBER.match(stripped):
        raise ExpressionError("the text is not a number")
    return float(settle(float(stripped)))


def _short(value: Any) -> str:
    text = arguments.text(value, "a number or a text")
    if len(text) > _NUMBER_CHARS_MAX:
        raise ExpressionError("the text is not a number")
    return text.strip()


def to_bool(frame: Frame, value: Any) -> bool:
    """Whether it holds; a text says so in words."""
    if type(value) is not str:
        return truthy(value)
    word = value[:8].strip().lower() if len(value) <= 8 else "?"
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ExpressionError("the text is neither true nor false")


def round_to(frame: Frame, value: Any, digits: Any = 0) -> int | float:
    """To the nearest, halves to the even, as Python does; an integer when no digits are asked for."""
    number = arguments.number(value)
    places = arguments.integer(digits)
    if abs(places) > 30:
        raise ExpressionError("rounds to at most 30 digits")
    try:
        return _settled(round(number, places) if places else round(number))
    except OverflowError:
        raise ExpressionError("the result is too large a number") from None


def absolute(frame: Frame, value: Any) -> int | float:
    """Without its sign."""
    return _settled(abs(arguments.number(value)))


def floor(frame: Frame, value: Any) -> int:
    """The integer below."""
    return int(_settled(math.floor(arguments.number(value))))


def ceil(frame: Frame, value: Any) -> int:
    """The integer above."""
    return int(_settled(math.ceil(arguments.number(value))))


def _settled(number: float) -> int | float:
    result: int | float = settle(number)
    return result


def total(frame: Frame, value: Any) -> int | float:
    """The sum of a list."""
    try:
        return _settled(sum(_numbers(frame, value)))
    except OverflowError:
        raise ExpressionError("the result is too large a number") from None


def average(frame: Frame, value: Any) -> float:
    """The mean of a list that is not empty."""
    numbers = _numbers(frame, value)
    if not numbers:
        raise ExpressionError("the list is empty")
    try:
        return float(settle(sum(numbers) / len(numbers)))
    except OverflowError:
        raise ExpressionError("the result is too large a number") from None


def _numbers(frame: Frame, value: Any) -> list[int | float]:
    elements = arguments.items(value)
    frame.charge(len(elements) >> 2)
    for form in set(map(type, elements)):
        if form not in NUMBERS:
            raise ExpressionError("an element of the list is not a number")
    return elements


def least(frame: Frame, *values: Any) -> Any:
    """The smallest of a list, or of the arguments."""
    return _extreme(frame, values, min)


def greatest(frame: Frame, *values: Any) -> Any:
    """The largest of a list, or of the arguments."""
    return _extreme(frame, values, max)


def _extreme(frame: Frame, values: tuple[Any, ...], pick: Callable[[list[Any]], Any]) -> Any:
    elements = arguments.items(values[0]) if len(values) == 1 else list(values)
    if not elements:
        raise ExpressionError("the list is empty")
    comparable(frame, elements)
    return pick(elements)


def comparable(frame: Frame, elements: list[Any]) -> None:
    """Pay for comparing each once. Raises ExpressionError unless all are numbers or all are texts."""
    frame.charge(len(elements) >> 2)
    forms = set(map(type, elements))
    if forms == {str}:
        frame.charge(sum(map(len, elements)) >> SCAN_SHIFT)
    elif not forms <= NUMBERS:
        kinds = " and ".join(sorted({kind(element) for element in elements}))
        raise ExpressionError(f"orders numbers or texts, not {kinds}")
