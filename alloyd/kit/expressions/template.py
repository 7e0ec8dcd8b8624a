"""Templates: JSON whose strings hold `{{ expressions }}`, compiled once and rendered often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alloyd.kit.expressions.access import Run
from alloyd.kit.expressions.bounds import DEFAULT_BOUNDS, UNITS_PER_STEP, Bounds, Frame
from alloyd.kit.expressions.build import OPEN, Builder, Live, as_run, is_lookup, leaf
from alloyd.kit.expressions.compile import Compiler
from alloyd.kit.expressions.faults import ExpressionError, TemplateFaults
from alloyd.kit.expressions.parse import parse


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What a template and an expression have in common."""

    names: frozenset[str]
    """The names it refers to, such as trigger."""
    steps: frozenset[str]
    """The keys of the steps it refers to by a fixed key."""
    all_steps: bool
    """It may refer to any step: it says `steps` alone, or with a key that is evaluated."""
    pure: bool
    """The same names always give the same value."""
    _run: Run
    _slots: int
    _steps_left: int
    _bounds: Bounds

    def _evaluate(self, names: Mapping[str, Any]) -> Any:
        return self._run(Frame(names, self._slots, self._steps_left, self._bounds))


@dataclass(frozen=True, slots=True)
class Expression(_Compiled):
    """One expression; made by :func:`compile_expression`."""

    def evaluate(self, names: Mapping[str, Any]) -> Any:
        """Its value, JSON. The value may share parts with ``names``: treat it as read only.

        Raises ExpressionError with a message safe to show, for what is missing, of a wrong kind, or over a bound.
        """
        return self._evaluate(names)


@dataclass(frozen=True, slots=True)
class Template(_Compiled):
    """A JSON value with expressions in its strings; made by :func:`compile_template`."""

    constant: bool
    """It holds no expression: rendering always gives the same."""

    def render(self, names: Mapping[str, Any]) -> Any:
        """The value with every expression replaced; one allowance of steps and of size for all of them.

        Parts without expressions, and values of ``names``, are shared, not copied: treat the result as read only.
        Raises ExpressionError, its ``place`` being that of the config string.
        """
        return self._evaluate(names)


def compile_expression(
    text: str, place: str = "", *, known: frozenset[str] | None = None, bounds: Bounds = DEFAULT_BOUNDS
) -> Expression:
    """Compile one expression, bare or alone in ``{{ }}``.

    ``known``: the names there will be; another is a fault. None: any. Raises ExpressionError with ``place`` and
    column.
    """
    try:
        stripped = text.lstrip(" \t\r\n")
        lead = len(text) - len(stripped)
        wrapped = stripped.startswith(OPEN)
        node, end = parse(text, lead + 2 if wrapped else 0, wrapped, bounds)
        if text[end:].strip(" \t\r\n"):
            raise ExpressionError("unexpected text after the expression", column=end + 1)
        compiler = Compiler(bounds, known)
        run = compiler.root(node)
        _check_units(compiler)
    except ExpressionError as error:
        error.locate(place)
        raise
    return Expression(**_gathered(compiler, leaf(run, place, is_lookup(node))))


def compile_template(
    value: Any, path: str = "", *, known: frozenset[str] | None = None, bounds: Bounds = DEFAULT_BOUNDS
) -> Template:
    """Compile any JSON value; ``path`` names it in faults (``config``). Keys of objects are never templates.

    ``known`` as for :func:`compile_expression`. Raises TemplateFaults with every fault, in order.
    """
    builder = Builder(Compiler(bounds, known))
    part = builder.root(value, path)
    if not builder.faults:
        try:
            _check_units(builder.compiler)
        except ExpressionError as error:
            builder.fault(error, path)
    if builder.faults:
        raise TemplateFaults(builder.faults)
    constant = not isinstance(part, Live)
    return Template(**_gathered(builder.compiler, as_run(part)), constant=constant)


def _gathered(compiler: Compiler, run: Run) -> dict[str, Any]:
    return {
        "names": frozenset(compiler.names),
        "steps": frozenset(compiler.steps),
        "all_steps": compiler.all_steps,
        "pure": compiler.pure,
        "_run": run,
        "_slots": compiler.slots,
        "_steps_left": compiler.bounds.steps_max - compiler.units // UNITS_PER_STEP,
        "_bounds": compiler.bounds,
    }


def _check_units(compiler: Compiler) -> None:
    if compiler.units // UNITS_PER_STEP > compiler.bounds.steps_max:
        raise ExpressionError(f"the expressions take more than {compiler.bounds.steps_max:,} steps")
