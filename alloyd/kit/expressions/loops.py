"""List and object comprehensions: loops that pay for each round before it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alloyd.kit.expressions.access import Run
from alloyd.kit.expressions.bounds import Frame
from alloyd.kit.expressions.faults import ExpressionError
from alloyd.kit.expressions.values import kind


@dataclass(frozen=True, slots=True)
class Loop:
    """One ``for``: where its elements come from and go to, and the steps that a round costs."""

    source: Run
    slots: tuple[int, ...]
    conditions: tuple[Run, ...]
    at: int
    cost: int


def list_loop(loops: Sequence[Loop], value: Run) -> Run:
    """``[value for … in …]``"""
    if len(loops) == 1 and len(loops[0].slots) == 1 and len(loops[0].conditions) <= 1:
        return _short_list(loops[0], value)

    def run(frame: Frame) -> list[Any]:
        out: list[Any] = []
        _nest(frame, loops, 0, lambda: out.append(value(frame)))
        return out

    return run


def object_loop(loops: Sequence[Loop], key: Run, value: Run, at: int) -> Run:
    """``{key: value for … in …}``; of equal keys the last stays."""

    def run(frame: Frame) -> dict[str, Any]:
        out: dict[str, Any] = {}

        def add() -> None:
            name = key(frame)
            if type(name) is not str:
                raise ExpressionError(f"a key is a text, not {kind(name)}", column=at + 1)
            out[name] = value(frame)

        _nest(frame, loops, 0, add)
        return out

    return run


def _short_list(loop: Loop, value: Run) -> Run:
    """The commonest shape: one name, at most one condition."""
    (slot,) = loop.slots
    condition = loop.conditions[0] if loop.conditions else None

    def run(frame: Frame) -> list[Any]:
        out: list[Any] = []
        slots = frame.slots
        for item in _elements(frame, loop):
            slots[slot] = item
            if condition is None or condition(frame):
                out.append(value(frame))
        return out

    return run


def _nest(frame: Frame, loops: Sequence[Loop], index: int, innermost: Callable[[], None]) -> None:
    if index == len(loops):
        innermost()
        return
    loop = loops[index]
    for item in _elements(frame, loop):
        _bind(frame, loop, item)
        if all(condition(frame) for condition in loop.conditions):
            _nest(frame, loops, index + 1, innermost)


def _elements(frame: Frame, loop: Loop) -> list[Any]:
    """What the loop goes over, paid for; an object gives its keys."""
    source = loop.source(frame)
    if type(source) is dict:
        source = list(source)
    if type(source) is not list:
        raise ExpressionError(f"`for` goes over a list or an object, not {kind(source)}", column=loop.at + 1)
    try:
        frame.charge(len(source) * loop.cost)
    except ExpressionError as error:
        error.locate(column=loop.at + 1)
        raise
    return source


def _bind(frame: Frame, loop: Loop, item: Any) -> None:
    if len(loop.slots) == 1:
        frame.slots[loop.slots[0]] = item
        return
    if type(item) is not list or len(item) != len(loop.slots):
        raise ExpressionError(f"each element must be a list of {len(loop.slots)}", column=loop.at + 1)
    for slot, part in zip(loop.slots, item, strict=True):
        frame.slots[slot] = part
