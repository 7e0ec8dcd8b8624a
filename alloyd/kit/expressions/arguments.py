"""Checks on what functions are given."""

from __future__ import annotations

from typing import Any, cast

from alloyd.kit.expressions.faults import ExpressionError
from alloyd.kit.expressions.values import NUMBERS, in_range, kind


def text(value: Any, what: str = "a text") -> str:
    """``value`` if it is a text. Raises ExpressionError naming ``what`` was wanted."""
    if type(value) is not str:
        raise ExpressionError(f"needs {what}, not {kind(value)}")
    return value


def number(value: Any, what: str = "a number") -> int | float:
    """``value`` if it is a number of JSON's range; booleans are, as in Python."""
    if type(value) not in NUMBERS:
        raise ExpressionError(f"needs {what}, not {kind(value)}")
    return in_range(cast("int | float", value))


def integer(value: Any, what: str = "an integer") -> int:
    """``value`` if it is an integer of JSON's range."""
    if type(value) is not int:
        raise ExpressionError(f"needs {what}, not {kind(value)}")
    return cast("int", in_range(value))


def items(value: Any, what: str = "a list") -> list[Any]:
    """``value`` if it is a list."""
    if type(value) is not list:
        raise ExpressionError(f"needs {what}, not {kind(value)}")
    return value


def mapping(value: Any, what: str = "an object") -> dict[str, Any]:
    """``value`` if it is an object."""
    if type(value) is not dict:
        raise ExpressionError(f"needs {what}, not {kind(value)}")
    return value
