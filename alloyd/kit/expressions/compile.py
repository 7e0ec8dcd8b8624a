"""Turns the tree into closures, once; evaluating is then only calling them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

from alloyd.kit.expressions import access, operators
from alloyd.kit.expressions.access import Run
from alloyd.kit.expressions.bounds import UNITS_PER_STEP, Bounds, Frame
from alloyd.kit.expressions.faults import ExpressionError, MissingError
from alloyd.kit.expressions.functions import FUNCTIONS, Function
from alloyd.kit.expressions.loops import Loop, list_loop, object_loop
from alloyd.kit.expressions.nodes import (
    Access,
    Arithmetic,
    Call,
    Choice,
    Comparison,
    Comprehension,
    Constant,
    ListOf,
    Logic,
    Name,
    Node,
    ObjectOf,
    Slice,
    Unary,
)
from alloyd.kit.expressions.values import kind

_FORGIVE_STEPS: Final = 5


class Compiler:
    """Compiles the expressions of one template and gathers what they refer to."""

    def __init__(self, bounds: Bounds, known: frozenset[str] | None) -> None:
        self.bounds = bounds
        self.known = known
        self.names: set[str] = set()
        self.steps: set[str] = set()
        self.all_steps = False
        self.pure = True
        self.units = 0
        self.slots = 0
        self._scope: dict[str, int] = {}
        self._live = 0
        self._depth = 0

    def root(self, node: Node) -> Run:
        """As :meth:`run`, for a whole expression: nothing of one that failed before is left over."""
        self._scope, self._live, self._depth = {}, 0, 0
        return self.run(node)

    def run(self, node: Node) -> Run:
        """The closure of ``node``. Raises ExpressionError with the column."""
        self._depth += 1
        if self._depth > self.bounds.expression_depth_max:
            raise ExpressionError(f"nested more than {self.bounds.expression_depth_max} deep", column=node.at + 1)
        self.units += 1
        run = _WAYS[type(node)](self, node)
        self._depth -= 1
        return run

    def runs(self, nodes: tuple[Node, ...]) -> tuple[Run, ...]:
        return tuple(self.run(node) for node in nodes)

    def constant(self, node: Constant) -> Run:
        value = node.value

        def run(frame: Frame) -> Any:
            return value

        return run

    def name(self, node: Name) -> Run:
        if node.name in self._scope:
            return access.slot(self._scope[node.name])
        self._refer(node)
        if node.name == "steps":
            self.all_steps = True
        return access.name(node.name, node.at)

    def _refer(self, node: Name) -> None:
        if self.known is not None and node.name not in self.known:
            hint = " (a function is called with parentheses)" if node.name in FUNCTIONS else ""
            raise ExpressionError(f"{node.name}: no such name{hint}", column=node.at + 1)
        self.names.add(node.name)

    def access(self, node: Access) -> Run:
        self.units += len(node.keys)
        base = node.base
        fixed = fixed_keys(node)
        if isinstance(base, Name):
            if base.name in self._scope:
                index = self._scope[base.name]
                if fixed:
                    return access.slot_path(index, fixed, base.name, node.at)
                return self._chain(access.slot(index), node, base.name)
            self._refer(base)
            if base.name == "steps":
                self._refer_step(node.keys[0])
            if fixed:
                return access.path(base.name, fixed, node.at)
            return self._chain(access.name(base.name, base.at), node, base.name)
        return self._chain(self.run(base), node, "(…)")

    def _refer_step(self, key: object) -> None:
        if isinstance(key, str):
            self.steps.add(key)
        else:
            self.all_steps = True

    def _chain(self, base: Run, node: Access, label: str) -> Run:
        keys: list[str | int | Run] = []
        for key in node.keys:
            if isinstance(key, Slice):
                start = self.run(key.start) if key.start else None
                keys.append(access.cut(start, self.run(key.stop) if key.stop else None, node.at))
            else:
                keys.append(key if isinstance(key, (str, int)) else self.run(key))
        return access.chain(base, keys, label, node.at)

    def list_of(self, node: ListOf) -> Run:
        items = self.runs(node.items)

        def run(frame: Frame) -> list[Any]:
            return [item(frame) for item in items]

        return run

    def object_of(self, node: ObjectOf) -> Run:
        pairs = tuple((self.run(key), self.run(value), key.at) for key, value in node.pairs)

        def run(frame: Frame) -> dict[str, Any]:
            out: dict[str, Any] = {}
            for key, value, at in pairs:
                name = key(frame)
                if type(name) is not str:
                    raise ExpressionError(f"a key is a text, not {kind(name)}", column=at + 1)
                out[name] = value(frame)
            return out

        return run

    def unary(self, node: Unary) -> Run:
        operand = self.run(node.operand)
        if node.operator == "not":

            def run(frame: Frame) -> bool:
                return not operand(frame)

            return run
        return operators.negate(operand, node.operator, node.at)

    def arithmetic(self, node: Arithmetic) -> Run:
        first = self.run(node.first)
        rest = tuple((sign, at, self.run(operand)) for sign, at, operand in node.rest)
        if len(rest) == 1:
            sign, at, right = rest[0]
            return operators.arithmetic(sign, first, right, at)
        self.units += len(rest)
        return operators.arithmetic_chain(first, rest)

    def comparison(self, node: Comparison) -> Run:
        first = self.run(node.first)
        rest = tuple((sign, at, self.run(operand)) for sign, at, operand in node.rest)
        if len(rest) == 1:
            sign, at, right = rest[0]
            return operators.comparison(sign, first, right, at)
        self.units += len(rest)
        return operators.comparison_chain(first, rest)

    def logic(self, node: Logic) -> Run:
        if node.operator == "??":
            return coalesce((*(self.lenient(item) for item in node.items[:-1]), self.run(node.items[-1])))
        stop_at = node.operator == "or"
        *early, last = self.runs(node.items)

        def run(frame: Frame) -> Any:
            for item in early:
                value = item(frame)
                if bool(value) is stop_at:
                    return value
            return last(frame)

        return run

    def lenient(self, node: Node) -> Run:
        """As :meth:`run`, but what is missing is null."""
        run = self.run(node)
        if isinstance(node, Access) and isinstance(node.base, Name) and (fixed := fixed_keys(node)):
            slot = self._scope.get(node.base.name)
            return access.path_or_null(node.base.name, fixed) if slot is None else access.slot_or_null(slot, fixed)

        def lenient(frame: Frame) -> Any:
            try:
                return run(frame)
            except MissingError:
                # Raising and catching is dear, in a loop most of all.
                frame.charge(_FORGIVE_STEPS)
                return None

        return lenient

    def choice(self, node: Choice) -> Run:
        test, then, other = self.run(node.test), self.run(node.then), self.run(node.other)

        def run(frame: Frame) -> Any:
            return then(frame) if test(frame) else other(frame)

        return run

    def call(self, node: Call) -> Run:
        function = FUNCTIONS.get(node.name)
        if function is None:
            raise ExpressionError(f"{node.name}(): no such function", column=node.at + 1)
        count = len(node.arguments)
        if count < function.least or (function.most is not None and count > function.most):
            raise ExpressionError(f"{node.name}() takes {function.counts()}, not {count}", column=node.at + 1)
        self.units += UNITS_PER_STEP
        self.pure = self.pure and function.pure
        if function.name == "default":
            return coalesce((self.lenient(node.arguments[0]), self.run(node.arguments[1])))
        return calling(function, self.runs(node.arguments), node.at)

    def comprehension(self, node: Comprehension) -> Run:
        outer, live = self._scope, self._live
        clauses: list[tuple[Run, tuple[int, ...], tuple[Run, ...], int]] = []
        marks: list[int] = []
        for clause in node.clauses:
            source = self.run(clause.source)
            marks.append(self.units)
            slots = tuple(range(self._live, self._live + len(clause.targets)))
            self._live += len(slots)
            self.slots = max(self.slots, self._live)
            self._scope = self._scope | dict(zip(clause.targets, slots, strict=True))
            clauses.append((source, slots, self.runs(clause.conditions), clause.source.at))
        key = self.run(node.key) if node.key else None
        value = self.run(node.value)
        marks.append(self.units)
        self._scope, self._live = outer, live
        # Each round of a clause does what was compiled from its source to the next one's.
        base = 1 if not key and len(clauses) == 1 and len(clauses[0][1]) == 1 else 2
        costs = [base + (after - before) // UNITS_PER_STEP for before, after in pairwise(marks)]
        loops = [Loop(*clause, cost) for clause, cost in zip(clauses, costs, strict=True)]
        return object_loop(loops, key, value, node.at) if key else list_loop(loops, value)


def fixed_keys(node: Access) -> tuple[str | int, ...]:
    """The keys if all of them are fixed, otherwise nothing."""
    fixed = tuple(key for key in node.keys if isinstance(key, (str, int)))
    return fixed if len(fixed) == len(node.keys) else ()


def coalesce(items: tuple[Run, ...]) -> Run:
    """The first that is not null, or the last."""
    *early, last = items

    def run(frame: Frame) -> Any:
        for item in early:
            value = item(frame)
            if value is not None:
                return value
        return last(frame)

    return run


def calling(function: Function, arguments: tuple[Run, ...], at: int) -> Run:
    """A call; a fault inside of the function gets the place and the name of the call."""
    work = function.work

    def blame(error: ExpressionError) -> None:
        if error.column is None:
            error.locate(column=at + 1)
            error.message = f"{function.name}(): {error.message}"

    if len(arguments) == 1:
        only = arguments[0]

        def one(frame: Frame) -> Any:
            value = only(frame)
            try:
                return work(frame, value)
            except ExpressionError as error:
                blame(error)
                raise

        return one

    def run(frame: Frame) -> Any:
        values = [argument(frame) for argument in arguments]
        try:
            return work(frame, *values)
        except ExpressionError as error:
            blame(error)
            raise

    return run


_WAYS: Final[Mapping[type, Callable[[Any, Any], Run]]] = {
    Constant: Compiler.constant,
    Name: Compiler.name,
    Access: Compiler.access,
    ListOf: Compiler.list_of,
    ObjectOf: Compiler.object_of,
    Unary: Compiler.unary,
    Arithmetic: Compiler.arithmetic,
    Comparison: Compiler.comparison,
    Logic: Compiler.logic,
    Choice: Compiler.choice,
    Call: Compiler.call,
    Comprehension: Compiler.comprehension,
}
