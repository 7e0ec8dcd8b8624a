"""Operators: arithmetic on JSON's numbers, joining, repeating, comparing; each bounded before it works."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from alloyd.kit.expressions.access import Run
from alloyd.kit.expressions.bounds import INT_MAX, SCAN_SHIFT, Frame
from alloyd.kit.expressions.faults import ExpressionError
from alloyd.kit.expressions.values import NUMBERS, QUICK, SCALARS, equals, in_range, kind, settle

Binary = Callable[[Frame, Any, Any], Any]


def _wrong(sign: str, left: Any, right: Any) -> ExpressionError:
    return ExpressionError(f"`{sign}` can't take {kind(left)} and {kind(right)}")


def _numbers(sign: str, left: Any, right: Any) -> None:
    if type(left) not in NUMBERS or type(right) not in NUMBERS:
        raise _wrong(sign, left, right)
    in_range(left)
    in_range(right)


def _add(frame: Frame, left: Any, right: Any) -> Any:
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return settle(in_range(left) + in_range(right))
    if type(left) is str and type(right) is str:
        frame.allow_text(len(left) + len(right))
        return left + right
    if type(left) is list and type(right) is list:
        frame.allow_list(len(left) + len(right))
        return left + right
    raise _wrong("+", left, right)


def _subtract(frame: Frame, left: Any, right: Any) -> Any:
    _numbers("-", left, right)
    return settle(left - right)


def _multiply(frame: Frame, left: Any, right: Any) -> Any:
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return settle(in_range(left) * in_range(right))
    if type(left) is int and type(right) in (str, list):
        left, right = right, left
    if type(left) not in (str, list) or type(right) is not int:
        raise _wrong("*", left, right)
    times = max(right, 0)
    if type(left) is str:
        frame.allow_text(len(left) * times)
    else:
        frame.allow_list(len(left) * times)
    # An empty one times 2**63 is more than Python counts to.
    return left * times if left else left


def _divide(frame: Frame, left: Any, right: Any) -> Any:
    _numbers("/", left, right)
    _not_zero(right)
    return settle(left / right)


def _divide_floor(frame: Frame, left: Any, right: Any) -> Any:
    _numbers("//", left, right)
    _not_zero(right)
    return settle(left // right)


def _modulo(frame: Frame, left: Any, right: Any) -> Any:
    _numbers("%", left, right)
    _not_zero(right)
    return settle(left % right)


def _not_zero(number: float) -> None:
    if number == 0:
        raise ExpressionError("division by zero")


def _power(frame: Frame, left: Any, right: Any) -> Any:
    _numbers("**", left, right)
    if abs(right) > frame.bounds.exponent_max:
        raise ExpressionError(f"an exponent is at most {frame.bounds.exponent_max:,}")
    if left == 0 and right < 0:
        raise ExpressionError("division by zero")
    # An integer result has about this many bits; with more than twice what is allowed it is not even computed.
    if type(left) is not float and type(right) is not float and right * left.bit_length() > 2 * INT_MAX.bit_length():
        raise ExpressionError("the result is an integer of more than 64 bits")
    return settle(left**right)


_BINARY: Final[dict[str, Binary]] = {
    "+": _add, "-": _subtract, "*": _multiply, "/": _divide, "//": _divide_floor, "%": _modulo, "**": _power,
}  # fmt: skip


def arithmetic(sign: str, left: Run, right: Run, at: int) -> Run:
    """``left sign right``. Sums and products of ordinary numbers take a short way."""
    general = _BINARY[sign]
    if sign == "+":

        def add(frame: Frame) -> Any:
            a, b = left(frame), right(frame)
            try:
                if type(a) in NUMBERS and type(b) in NUMBERS and -QUICK < (result := a + b) < QUICK:
                    return result
            except OverflowError:
                pass  # a huge integer from outside and a float: the long way says so
            return _located(general, frame, a, b, at)

        return add
    if sign == "-":

        def subtract(frame: Frame) -> Any:
            a, b = left(frame), right(frame)
            try:
                if type(a) in NUMBERS and type(b) in NUMBERS and -QUICK < (result := a - b) < QUICK:
                    return result
            except OverflowError:
                pass  # a huge integer from outside and a float: the long way says so
            return _located(general, frame, a, b, at)

        return subtract
    if sign == "*":

        def multiply(frame: Frame) -> Any:
            a, b = left(frame), right(frame)
            try:
                if type(a) in NUMBERS and type(b) in NUMBERS and -QUICK < (result := a * b) < QUICK:
                    return result
            except OverflowError:
                pass  # a huge integer from outside and a float: the long way says so
            return _located(general, frame, a, b, at)

        return multiply

    def other(frame: Frame) -> Any:
        return _located(general, frame, left(frame), right(frame), at)

    return other


def arithmetic_chain(first: Run, rest: tuple[tuple[str, int, Run], ...]) -> Run:
    """``first sign next sign next…`` from left to right, without a call within a call."""
    links = tuple((_BINARY[sign], at, run) for sign, at, run in rest)

    def run(frame: Frame) -> Any:
        value = first(frame)
        for general, at, link in links:
            value = _located(general, frame, value, link(frame), at)
        return value

    return run


def _located(general: Binary, frame: Frame, left: Any, right: Any, at: int) -> Any:
    try:
        return general(frame, left, right)
    except ExpressionError as error:
        error.locate(column=at + 1)
        raise
    except OverflowError:
        raise ExpressionError("the result is too large a number", column=at + 1) from None


def negate(operand: Run, sign: str, at: int) -> Run:
    """``-operand`` or ``+operand``."""

    def run(frame: Frame) -> Any:
        value = operand(frame)
        if type(value) not in NUMBERS:
            raise ExpressionError(f"`{sign}` can't take {kind(value)}", column=at + 1)
        try:
            return settle(-value if sign == "-" else +value)
        except ExpressionError as error:
            error.locate(column=at + 1)
            raise

    return run


_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def comparison(sign: str, left: Run, right: Run, at: int) -> Run:
    """``left sign right``, a boolean."""
    compare = comparer(sign, at)
    if sign in _ORDER:
        order = _ORDER[sign]

        def ordered(frame: Frame) -> bool:
            a, b = left(frame), right(frame)
            if type(a) in NUMBERS and type(b) in NUMBERS:
                return order(a, b)
            return compare(frame, a, b)

        return ordered

    if sign == "==":

        def equal(frame: Frame) -> bool:
            a, b = left(frame), right(frame)
            if type(a) in SCALARS or type(b) in SCALARS:
                return bool(a == b)
            return compare(frame, a, b)

        return equal

    def other(frame: Frame) -> bool:
        return compare(frame, left(frame), right(frame))

    return other


def comparison_chain(first: Run, rest: tuple[tuple[str, int, Run], ...]) -> Run:
    """``a < b < c``: each value evaluated once, none after the first that does not hold."""
    links = tuple((comparer(sign, at), run) for sign, at, run in rest)

    def run(frame: Frame) -> bool:
        left = first(frame)
        for compare, link in links:
            right = link(frame)
            if not compare(frame, left, right):
                return False
            left = right
        return True

    return run


def comparer(sign: str, at: int) -> Callable[[Frame, Any, Any], bool]:
    """The comparison itself, charging for what it looks at; its faults stand at ``at``."""

    def compare(frame: Frame, left: Any, right: Any) -> bool:
        try:
            if sign in _ORDER:
                return _ordered(frame, sign, left, right)
            if sign in ("==", "!="):
                return equals(frame, left, right) is (sign == "==")
            return contains(frame, right, left) is (sign == "in")
        except ExpressionError as error:
            error.locate(column=at + 1)
            raise

    return compare


def _ordered(frame: Frame, sign: str, left: Any, right: Any) -> bool:
    if type(left) is str and type(right) is str:
        frame.charge(min(len(left), len(right)) >> SCAN_SHIFT)
    elif type(left) not in NUMBERS or type(right) not in NUMBERS:
        raise _wrong(sign, left, right)
    return _ORDER[sign](left, right)


def contains(frame: Frame, holder: Any, value: Any) -> bool:
    """Whether ``holder`` has ``value``: an element, a key, or a piece of text."""
    if type(holder) is list:
        frame.charge(len(holder) >> 2)
        if type(value) in SCALARS or (type(value) is str and len(value) < 64):
            return value in holder
        return any(equals(frame, item, value) for item in holder)
    if type(holder) is dict and type(value) is str:
        frame.charge(len(value) >> SCAN_SHIFT)
        return value in holder
    if type(holder) is str and type(value) is str:
        frame.charge(len(holder) >> 4)
        return value in holder
    raise ExpressionError(f"{kind(holder)} can't have {kind(value)} in it")
