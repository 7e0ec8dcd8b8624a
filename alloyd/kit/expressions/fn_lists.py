"""Functions on lists and objects."""

from __future__ import annotations

import operator
import re
from typing import Any, Final

import msgspec

from alloyd.kit.expressions import arguments
from alloyd.kit.expressions.access import member
from alloyd.kit.expressions.bounds import SCAN_SHIFT, Frame
from alloyd.kit.expressions.faults import ExpressionError, MissingError
from alloyd.kit.expressions.fn_numbers import comparable
from alloyd.kit.expressions.values import SCALARS, kind, measure

_MARK_STEPS: Final = 4  # sizing and encoding a list or an object, however small
_PATH_CHARS_MAX: Final = 1_000
_INDEX: Final = re.compile(r"-?[0-9]{1,9}\Z")


def length(frame: Frame, value: Any) -> int:
    """Characters of a text, elements of a list or an object."""
    if type(value) not in (str, list, dict):
        raise ExpressionError(f"needs a text, a list or an object, not {kind(value)}")
    return len(value)


def span(frame: Frame, first: Any, stop: Any = None, step: Any = 1) -> list[int]:
    """The integers from 0 or ``first`` up to, not including, the end."""
    start = arguments.integer(first) if stop is not None else 0
    end = arguments.integer(first if stop is None else stop)
    if arguments.integer(step) == 0:
        raise ExpressionError("the step is 0")
    numbers = range(start, end, step)
    # len() can't count a span of more than 63 bits; comparing its ends can.
    if (end - start) // step > frame.bounds.list_items_max:
        raise ExpressionError(f"makes a list of more than {frame.bounds.list_items_max:,} items")
    frame.allow_list(len(numbers))
    return list(numbers)


def sort(frame: Frame, value: Any, key: Any = None, descending: Any = False) -> list[Any]:
    """In ascending order of the elements, or of what stands at ``key`` in them."""
    elements = arguments.items(value)
    frame.charge(len(elements) >> 2)
    marks = elements
    if key is not None:
        frame.charge(len(elements))
        path = _path(key)
        marks = [_walk(frame, element, path) for element in elements]
    comparable(frame, marks)
    rounds = len(marks).bit_length()
    frame.charge(len(marks) * rounds >> 2)
    if type(marks[0] if marks else 0) is str:
        frame.charge(sum(map(len, marks)) * rounds >> SCAN_SHIFT)
    order = sorted(zip(marks, range(len(marks)), strict=True), key=operator.itemgetter(0), reverse=bool(descending))
    return [elements[index] for _, index in order]


def reverse(frame: Frame, value: Any) -> list[Any]:
    """From the last to the first."""
    frame.allow_list(len(arguments.items(value)))
    return list(value[::-1])


def unique(frame: Frame, value: Any) -> list[Any]:
    """Each element once, where it first stands."""
    frame.charge(len(arguments.items(value)))
    seen: set[Any] = set()
    out: list[Any] = []
    for element in value:
        mark = _mark(frame, element)
        if mark not in seen:
            seen.add(mark)
            out.append(element)
    return out


def _mark(frame: Frame, element: Any) -> Any:
    """What is equal for equal elements and can be in a set."""
    form = type(element)
    if form in SCALARS:
        return element
    if form is str:
        frame.charge(len(element) >> SCAN_SHIFT)
        return element
    limit = frame.bounds.text_chars_max
    size = measure(frame, element, limit, f"compares a value of more than about {limit:,} characters of JSON")
    frame.charge(_MARK_STEPS + (size >> 4))
    return msgspec.json.encode(element, order="sorted")


def flatten(frame: Frame, value: Any) -> list[Any]:
    """Lists in the list replaced by their elements, one level."""
    elements = arguments.items(value)
    frame.charge(len(elements))
    frame.allow_list(sum(len(element) if type(element) is list else 1 for element in elements))
    out: list[Any] = []
    for element in elements:
        if type(element) is list:
            out.extend(element)
        else:
            out.append(element)
    return out


def any_of(frame: Frame, value: Any) -> bool:
    """Whether one of the elements holds."""
    frame.charge(len(arguments.items(value)) >> 2)
    return any(value)


def all_of(frame: Frame, value: Any) -> bool:
    """Whether each of the elements holds."""
    frame.charge(len(arguments.items(value)) >> 2)
    return all(value)


def keys(frame: Frame, value: Any) -> list[str]:
    """The keys of an object."""
    frame.allow_list(len(arguments.mapping(value)))
    return list(value)


def values(frame: Frame, value: Any) -> list[Any]:
    """The values of an object."""
    frame.allow_list(len(arguments.mapping(value)))
    return list(value.values())


def items(frame: Frame, value: Any) -> list[list[Any]]:
    """The pairs ``[key, value]`` of an object."""
    frame.allow_list(len(arguments.mapping(value)))
    frame.charge(len(value))
    return [[key, element] for key, element in value.items()]


def merge(frame: Frame, *objects: Any) -> dict[str, Any]:
    """All their keys; of equal ones the last stays."""
    out: dict[str, Any] = {}
    for value in objects:
        frame.allow_list(len(arguments.mapping(value)) + len(out))
        frame.charge(len(value))
        out.update(value)
    return out


def get(frame: Frame, value: Any, path: Any, other: Any = None) -> Any:
    """What stands at the path, or ``other`` where there is nothing."""
    steps = _path(path)
    frame.charge(len(steps))
    try:
        found = _walk(frame, value, steps)
    except MissingError:
        return other
    return other if found is None else found


def _path(path: Any) -> list[str | int]:
    """``"a.0.b"``, an integer, or a list of keys and indices."""
    if type(path) is int:
        return [path]
    if type(path) is list:
        if len(path) > 100 or any(type(step) not in (str, int) for step in path):
            raise ExpressionError("a path is a list of at most 100 texts and integers")
        return path
    words = arguments.text(path, "a text, an integer or a list as path")
    if len(words) > _PATH_CHARS_MAX:
        raise ExpressionError(f"a path has at most {_PATH_CHARS_MAX:,} characters")
    return list(words.split("."))


def _walk(frame: Frame, value: Any, steps: list[str | int]) -> Any:
    for step in steps:
        if type(step) is str:
            frame.charge(len(step) >> SCAN_SHIFT)
        # In a written path an index is digits; only a list is asked by number.
        index = type(value) is list and type(step) is str and _INDEX.match(step)
        value = member(value, int(step) if index else step, "(…)", None, "[…]")
    return value
