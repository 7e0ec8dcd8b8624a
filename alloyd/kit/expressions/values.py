"""JSON values as the language sees them: kinds, text, truth, equality, size."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec

from alloyd.kit.expressions.bounds import INT_MAX, INT_MIN, NODE_CHARS, SCAN_SHIFT, Frame
from alloyd.kit.expressions.faults import ExpressionError

NUMBERS: Final = frozenset({int, float, bool})
SCALARS: Final = NUMBERS | {type(None)}
# Within this a number needs no further look; infinities and NaN are outside of it.
QUICK: Final = 1 << 52
_MANY: Final = 32

_KINDS: Final = {
    type(None): "null", bool: "a boolean", int: "a number", float: "a number",
    str: "a text", list: "a list", dict: "an object",
}  # fmt: skip


def kind(value: Any) -> str:
    """What the value is, for messages: "a number", "null"."""
    return _KINDS.get(type(value), "not JSON")


def truthy(value: Any) -> bool:
    """Whether a condition holds: null, false, 0 and what is empty do not."""
    return bool(value)


def settle(number: Any) -> Any:
    """``number`` if JSON can say it. Raises ExpressionError for NaN, infinities and more than 64 bits."""
    if type(number) is float:
        if number - number != 0:
            raise ExpressionError("the result is too large a number")
        return number
    if type(number) is complex:
        raise ExpressionError("the result is not a real number")
    if not INT_MIN <= number <= INT_MAX:
        raise ExpressionError("the result is an integer of more than 64 bits")
    return number


def in_range(number: float) -> float:
    """An operand that came from outside: dividing or printing huge integers is slow, so they are refused."""
    if type(number) is int and not INT_MIN <= number <= INT_MAX:
        raise ExpressionError("an integer of more than 64 bits can't be used here")
    return number


def text_of(frame: Frame, value: Any) -> str:
    """The value as it stands in a text: null is nothing, anything but text is compact JSON."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is int:
        return str(in_range(value))
    if type(value) is float:
        return repr(value)
    return json_of(frame, value)


def json_of(frame: Frame, value: Any) -> str:
    """Compact JSON, of at most ``text_chars_max`` characters; charged by its size."""
    limit = frame.bounds.text_chars_max
    # Sized before it is encoded: the encoder can't be stopped half way.
    size = measure(frame, value, 4 * limit, f"makes a text of more than {limit:,} characters")
    frame.charge(size >> 5)
    text = msgspec.json.encode(value).decode()
    frame.allow_text(len(text))
    return text


def measure(frame: Frame, value: Any, limit: int, message: str) -> int:
    """About how many characters of JSON a list or an object is.

    It counts what stands in several places several times, and gives up at ``limit``: values are shared, not
    copied, so a small evaluation can name a huge one. Raises ExpressionError (``message``), or when too deep.
    """
    if type(value) not in (list, dict):
        return len(value) if type(value) is str else NODE_CHARS
    level = [value]
    size = depth = 0
    while level:
        depth += 1
        if depth > frame.bounds.value_depth_max:
            raise ExpressionError(f"makes a value more than {frame.bounds.value_depth_max} deep")
        below: list[Any] = []
        for holder in level:
            size += NODE_CHARS * len(holder) + 2
            items: Any = holder
            if type(holder) is dict:
                size += sum(map(len, holder))
                items = holder.values()
            if size > limit:
                raise ExpressionError(message)
            if len(holder) > _MANY:
                quick = _size_alike(items)
                if quick is not None:
                    size += quick
                    continue
            for item in items:
                form = type(item)
                if form is str:
                    size += len(item)
                elif form is list or form is dict:
                    below.append(item)
                elif form is int and not -QUICK < item < QUICK:
                    size += item.bit_length()
        level = below
    if size > limit:
        raise ExpressionError(message)
    return size


def _size_alike(items: Collection[Any]) -> int | None:
    """What elements that are all texts, or all small, add to the size; None for any others."""
    forms = set(map(type, items))
    if forms == {str}:
        return sum(map(len, items))
    if forms == {int}:
        return 0 if min(items) > -QUICK and max(items) < QUICK else None
    return 0 if forms <= {float, bool, type(None)} else None


def equals(frame: Frame, left: Any, right: Any) -> bool:
    """``left == right``, charged by what is compared."""
    form = type(left)
    if form in SCALARS:
        return bool(left == right)
    if form is str:
        if type(right) is str and len(left) == len(right):
            frame.charge(len(left) >> SCAN_SHIFT)
            return bool(left == right)
        return False
    pairs = [(left, right)]
    while pairs:
        left, right = pairs.pop()
        form = type(left)
        if form is list and type(right) is list:
            if len(left) != len(right):
                return False
            frame.charge(1 + len(left))
            pairs.extend(zip(left, right, strict=True))
        elif form is dict and type(right) is dict:
            if len(left) != len(right):
                return False
            frame.charge(1 + len(left) + (sum(map(len, left)) >> SCAN_SHIFT))
            if left.keys() != right.keys():
                return False
            pairs.extend((item, right[key]) for key, item in left.items())
        elif form is str and type(right) is str:
            frame.charge(len(left) >> SCAN_SHIFT)
            if left != right:
                return False
        elif left != right:
            return False
    return True
