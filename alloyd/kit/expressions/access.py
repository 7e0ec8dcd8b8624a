"""Member access: closures that follow `a.b[0]` through JSON, by keys and indices only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from alloyd.kit.expressions.bounds import SCAN_SHIFT, Frame
from alloyd.kit.expressions.faults import ExpressionError, MissingError
from alloyd.kit.expressions.values import kind

Run: TypeAlias = Callable[[Frame], Any]
# What a fixed subscript raises on JSON that does not have it.
_ABSENT: Final = (KeyError, IndexError, TypeError)

_HIDDEN: Final = "[…]"


def name(root: str, at: int) -> Run:
    """A name the caller gives."""

    def run(frame: Frame) -> Any:
        try:
            return frame.names[root]
        except KeyError:
            raise MissingError(f"{root}: no such name here", column=at + 1) from None

    return run


def slot(index: int) -> Run:
    """A loop's variable."""

    def run(frame: Frame) -> Any:
        return frame.slots[index]

    return run


def path(root: str, keys: tuple[str | int, ...], at: int) -> Run:
    """``root.key[0]…`` with fixed keys, the commonest expression there is: one closure, no checks until it fails.

    Subscripts with a fixed text or integer on JSON's types can only find an element or raise.
    """
    first = keys[0]
    if len(keys) == 1:

        def one(frame: Frame) -> Any:
            try:
                return frame.names[root][first]
            except _ABSENT:
                explain(frame, root, keys, at)

        return one
    if len(keys) == 2:
        second = keys[1]

        def two(frame: Frame) -> Any:
            try:
                return frame.names[root][first][second]
            except _ABSENT:
                explain(frame, root, keys, at)

        return two

    def many(frame: Frame) -> Any:
        try:
            value: Any = frame.names[root]
            for key in keys:
                value = value[key]
        except _ABSENT:
            explain(frame, root, keys, at)
        return value

    return many


def path_or_null(root: str, keys: tuple[str | int, ...]) -> Run:
    """As :func:`path`, with null for what is missing."""

    def run(frame: Frame) -> Any:
        try:
            value: Any = frame.names[root]
            for key in keys:
                value = value[key]
        except _ABSENT:
            return None
        return value

    return run


def slot_or_null(index: int, keys: tuple[str | int, ...]) -> Run:
    """As :func:`path_or_null`, from a loop's variable."""

    def run(frame: Frame) -> Any:
        value = frame.slots[index]
        try:
            for key in keys:
                value = value[key]
        except _ABSENT:
            return None
        return value

    return run


def slot_path(index: int, keys: tuple[str | int, ...], label: str, at: int) -> Run:
    """As :func:`path`, from a loop's variable."""
    if len(keys) == 1:
        only = keys[0]

        def one(frame: Frame) -> Any:
            value = frame.slots[index]
            try:
                return value[only]
            except _ABSENT:
                follow(value, keys, label, at)

        return one

    def many(frame: Frame) -> Any:
        start: Any = frame.slots[index]
        value = start
        try:
            for key in keys:
                value = value[key]
        except _ABSENT:
            follow(start, keys, label, at)
        return value

    return many


def chain(base: Run, keys: Sequence[str | int | Run], label: str, at: int) -> Run:
    """Any base and any keys, in order; a callable is a subscript to evaluate."""
    fixed = tuple(keys)

    def run(frame: Frame) -> Any:
        value = base(frame)
        shown = label
        for key in fixed:
            if not callable(key):
                value = member(value, key, shown, at)
                shown += show(key)
                continue
            step = key(frame)
            value = member(value, step, shown, at, _HIDDEN)
            if type(step) in (slice, str):
                _charge(frame, step, value, at)
            shown += _HIDDEN
        return value

    return run


def _charge(frame: Frame, step: Any, value: Any, at: int) -> None:
    """For a slice its copy, for an evaluated key the comparing of it."""
    try:
        if type(step) is str:
            frame.charge(len(step) >> SCAN_SHIFT)
        elif type(value) is str:
            frame.allow_text(len(value))
        else:
            frame.allow_list(len(value))
    except ExpressionError as error:
        error.locate(column=at + 1)
        raise


def cut(start: Run | None, stop: Run | None, at: int) -> Run:
    """The subscript ``[start:stop]``, as a Python slice."""

    def run(frame: Frame) -> Any:
        return slice(_edge(frame, start, at), _edge(frame, stop, at))

    return run


def _edge(frame: Frame, run: Run | None, at: int) -> int | None:
    value = run(frame) if run else None
    if value is not None and type(value) is not int:
        raise ExpressionError(f"a slice goes from integer to integer, not to {kind(value)}", column=at + 1)
    return value


def show(key: str | int) -> str:
    """A fixed key as it stands in a path."""
    if type(key) is str and key.isidentifier():
        return f".{key}"
    return f'["{key}"]' if type(key) is str else f"[{key}]"


def explain(frame: Frame, root: str, keys: tuple[str | int, ...], at: int) -> NoReturn:
    """Raise what is wrong with a fixed path, naming how far it goes."""
    follow(name(root, at)(frame), keys, root, at)


def follow(value: Any, keys: tuple[str | int, ...], label: str, at: int) -> NoReturn:
    """As :func:`explain`, from a value that ``label`` names."""
    for key in keys:
        value = member(value, key, label, at)
        label += show(key)
    raise AssertionError("the path was there")


def member(value: Any, key: Any, label: str, at: int | None, shown: str = "") -> Any:
    """One step. Raises MissingError where there is nothing, ExpressionError for a key that no JSON has.

    ``shown`` stands for a key that was evaluated: it may be a secret, so no message tells it.
    """
    form = type(key)
    column = None if at is None else at + 1
    if form is str:
        if type(value) is dict:
            if key in value:
                return value[key]
            raise MissingError(f"{label}{shown or show(key)}: no such key", column=column)
        holders = "keys"
    elif form is int:
        if type(value) in (list, str):
            if -len(value) <= key < len(value):
                return value[key]
            raise MissingError(f"{label}{shown or show(key)}: it has {len(value)} items", column=column)
        holders = "items"
    elif form is slice:
        if type(value) in (list, str):
            return value[key]
        holders = "items"
    else:
        raise ExpressionError(f"{label}[…]: {kind(key)} is neither key nor index", column=column)
    where = label + (shown or show(key))
    raise MissingError(f"{where}: {label} is {kind(value)} and has no {holders}", column=column)
