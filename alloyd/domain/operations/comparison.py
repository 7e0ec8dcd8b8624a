"""The operators of a branch, over JSON values; pure."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal

Operator = Literal[
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "contains",
    "not_contains",
    "in",
    "not_in",
    "exists",
    "empty",
    "not_empty",
    "starts_with",
    "ends_with",
]
# They look at the found value alone.
UNARY = frozenset({"exists", "empty", "not_empty"})


class MismatchError(Exception):
    """The two values can't be compared so; the message names their kinds, never the values."""


def compare(left: Any, name: Operator, right: Any) -> bool:
    """Whether ``left`` stands in relation ``name`` to ``right``. Raises MismatchError."""
    return _OPERATORS[name](left, right)


def kind(value: Any) -> str:
    """What the value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def _equal(left: Any, right: Any) -> bool:
    # In Python true equals 1, in JSON it does not.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _ordered(way: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compared(left: Any, right: Any) -> bool:
        if kind(left) == kind(right) and kind(left) in ("a number", "a text"):
            return way(left, right)
        raise MismatchError(f"{kind(left)} and {kind(right)} have no order; two numbers or two texts are wanted")

    return compared


def _contains(left: Any, right: Any) -> bool:
    if isinstance(left, list):
        return any(_equal(item, right) for item in left)
    if isinstance(left, (str, dict)) and isinstance(right, str):
        return right in left
    raise MismatchError(f"{kind(left)} can't contain {kind(right)}")


def _empty(left: Any) -> bool:
    if isinstance(left, (str, list, dict)):
        return not left
    raise MismatchError(f"{kind(left)} is neither empty nor full; a text, a list or an object is wanted")


def _texts(way: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def compared(left: Any, right: Any) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return way(left, right)
        raise MismatchError(f"two texts are wanted, not {kind(left)} and {kind(right)}")

    return compared


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "ne": lambda left, right: not _equal(left, right),
    "gt": _ordered(operator.gt),
    "gte": _ordered(operator.ge),
    "lt": _ordered(operator.lt),
    "lte": _ordered(operator.le),
    "contains": _contains,
    "not_contains": lambda left, right: not _contains(left, right),
    "in": lambda left, right: _contains(right, left),
    "not_in": lambda left, right: not _contains(right, left),
    "exists": lambda left, _: left is not None,
    "empty": lambda left, _: _empty(left),
    "not_empty": lambda left, _: not _empty(left),
    "starts_with": _texts(str.startswith),
    "ends_with": _texts(str.endswith),
}
