"""Builds a template: finds the expressions in a JSON value's strings and puts their results back in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from alloyd.kit.expressions.access import Run
from alloyd.kit.expressions.bounds import Frame
from alloyd.kit.expressions.compile import Compiler, fixed_keys
from alloyd.kit.expressions.faults import ExpressionError
from alloyd.kit.expressions.nodes import Access, Name, Node
from alloyd.kit.expressions.parse import parse
from alloyd.kit.expressions.values import measure, text_of

OPEN: Final = "{{"
CLOSE: Final = "}}"
# An expression can't begin so, since no object is a key: it is free to mean two braces.
ESCAPED_OPEN: Final = "{{{{"


@dataclass(frozen=True, slots=True)
class Live:
    """A part that has expressions in it; a part that has none is the value itself."""

    run: Run


class Builder:
    """Walks a JSON value, compiles what it finds, and goes on after a fault so that all are told."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.faults: list[ExpressionError] = []
        self._depth = 0

    def fault(self, error: ExpressionError, place: str) -> None:
        """Keep a fault, up to the most that are told."""
        error.locate(place)
        if len(self.faults) < self.compiler.bounds.faults_max:
            self.faults.append(error)

    def root(self, value: Any, place: str) -> Any:
        """As :meth:`part`; a template that is one look-up need not be sized when rendered."""
        return self.text(value, place, alone=True) if isinstance(value, str) else self.part(value, place)

    def part(self, value: Any, place: str) -> Any:
        """``value`` compiled: a Live, or a value without expressions."""
        if isinstance(value, str):
            return self.text(value, place)
        if not isinstance(value, (dict, list)):
            return value
        if self._depth == self.compiler.bounds.value_depth_max:
            self.fault(ExpressionError(f"nested more than {self._depth} deep"), place)
            return None
        self._depth += 1
        keyed = value.items() if isinstance(value, dict) else enumerate(value)
        parts = {key: self.part(item, _place(place, key)) for key, item in keyed}
        self._depth -= 1
        return _object(parts) if isinstance(value, dict) else _list(parts)

    def text(self, text: str, place: str, *, alone: bool = False) -> Any:
        """A string: a single expression keeps its type, several parts are joined."""
        if OPEN not in text:
            return text
        parts: list[str | Run] = []
        pos = 0
        # A text of nothing but faults is not read to its end.
        while len(self.faults) < self.compiler.bounds.faults_max:
            start = text.find(OPEN, pos)
            if start != pos:
                parts.append(text[pos : None if start < 0 else start])
            if start < 0:
                break
            if text.startswith(ESCAPED_OPEN, start):
                parts.append(OPEN)
                pos = start + len(ESCAPED_OPEN)
                continue
            try:
                node, pos = parse(text, start + len(OPEN), True, self.compiler.bounds)
                run = self.compiler.root(node)
            except ExpressionError as error:
                self.fault(error, place)
                close = text.find(CLOSE, start)
                if close < 0:
                    return None
                pos = max(pos, close + len(CLOSE))
                continue
            if start == 0 and pos == len(text):
                return Live(leaf(run, place, alone and is_lookup(node)))
            parts.append(run)
        if all(isinstance(part, str) for part in parts):
            return "".join(part for part in parts if isinstance(part, str))
        return Live(joined(parts, place))


def _place(place: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{place}[{key}]"
    return f"{place}.{key}" if place else key


def _object(parts: dict[Any, Any]) -> Any:
    live = tuple((key, part.run) for key, part in parts.items() if isinstance(part, Live))
    if not live:
        return parts

    def run(frame: Frame) -> dict[str, Any]:
        # The keys stay in the order of the definition: the copy has them all.
        out = dict(parts)
        for key, part in live:
            out[key] = part(frame)
        return out

    return Live(run)


def _list(parts: dict[Any, Any]) -> Any:
    live = tuple((index, part.run) for index, part in parts.items() if isinstance(part, Live))
    fixed = list(parts.values())
    if not live:
        return fixed

    def run(frame: Frame) -> list[Any]:
        out = fixed.copy()
        for index, part in live:
            out[index] = part(frame)
        return out

    return Live(run)


def as_run(part: Any) -> Run:
    """The closure that gives a part."""
    if isinstance(part, Live):
        return part.run

    def run(frame: Frame) -> Any:
        return part

    return run


def is_lookup(node: Node) -> bool:
    """Whether it only looks something up: then what it gives is no larger than what came in."""
    return isinstance(node, Name) or (
        isinstance(node, Access) and isinstance(node.base, Name) and bool(fixed_keys(node))
    )


def leaf(run: Run, place: str, is_small: bool) -> Run:
    """One expression that keeps its type; sized, unless it is known to be small."""
    if is_small:

        def look_up(frame: Frame) -> Any:
            try:
                return run(frame)
            except ExpressionError as error:
                error.locate(place)
                raise

        return look_up

    def sized(frame: Frame) -> Any:
        try:
            value = run(frame)
            if type(value) is list or type(value) is dict or type(value) is str:
                _hand_out(frame, value)
        except ExpressionError as error:
            error.locate(place)
            raise
        return value

    return sized


def _hand_out(frame: Frame, value: Any) -> None:
    limit = frame.bounds.output_chars_max
    message = f"gives a value of more than about {limit:,} characters of JSON"
    frame.output_left -= measure(frame, value, frame.output_left, message)
    if frame.output_left < 0:
        raise ExpressionError(message)


def joined(parts: list[str | Run], place: str) -> Run:
    """A text with expressions in it."""

    def run(frame: Frame) -> str:
        try:
            pieces = [part if isinstance(part, str) else text_of(frame, part(frame)) for part in parts]
            frame.allow_text(sum(map(len, pieces)))
            text = "".join(pieces)
            _hand_out(frame, text)
        except ExpressionError as error:
            error.locate(place)
            raise
        return text

    return run
