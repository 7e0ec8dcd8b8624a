"""What a measurement finds, and how the findings are set out: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_HEAD = ("measure", "value", "compared with", "ratio", "target", "met")


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. ``target`` is in words; ``met`` is None where there is none, or nothing to compare with.

    ``ratio`` is value to compared, both in ``unit``. ``rounds`` are the readings that ``value`` is the median of.
    """

    name: str
    value: float
    unit: str
    compared: float | None = None
    compared_with: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""
    rounds: list[float] = field(default_factory=list)
    compared_rounds: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All fields by their names."""
        return {name: getattr(self, name) for name in self.__slots__}


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that ``percent`` (0 to 100) of ``values`` do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def compare(
    name: str,
    unit: str,
    rounds: Sequence[float],
    compared_rounds: Sequence[float],
    compared_with: str,
    at_least: float | None,
    note: str = "",
) -> Figure:
    """A figure out of alternating rounds: the medians and their ratio, which ``at_least`` is the target of."""
    value, other = median(rounds), median(compared_rounds) if compared_rounds else None
    ratio = value / other if other else None
    return Figure(
        name,
        value,
        unit,
        other,
        compared_with,
        ratio,
        f"ratio >= {at_least:g}" if at_least is not None else "",
        None if at_least is None or ratio is None else ratio >= at_least,
        note,
        list(rounds),
        list(compared_rounds),
    )


def at_most(name: str, value: float, unit: str, limit: float, note: str = "", **more: Any) -> Figure:
    """A figure whose target is a limit in its own unit."""
    return Figure(name, value, unit, target=f"<= {show(limit, unit)}", met=value <= limit, note=note, **more)


def at_least(name: str, value: float, unit: str, limit: float, note: str = "", **more: Any) -> Figure:
    """A figure whose target is a floor in its own unit."""
    return Figure(name, value, unit, target=f">= {show(limit, unit)}", met=value >= limit, note=note, **more)


def show(value: float, unit: str) -> str:
    """``value`` with three figures that mean something, and its unit."""
    size = abs(value)
    if size >= 100:
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.1f}".removesuffix(".0")
    else:
        text = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{text} {unit}".rstrip()


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned columns, with their notes below."""
    rows = [_HEAD, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"  {figure.name}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _row(figure: Figure) -> tuple[str, ...]:
    compared = ""
    if figure.compared is not None:
        compared = f"{show(figure.compared, figure.unit)} ({figure.compared_with})"
    met = {True: "yes", False: "NO", None: ""}[figure.met]
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return (figure.name, show(figure.value, figure.unit), compared, ratio, figure.target, met)
