"""How much an expression may take, and the frame of one evaluation that counts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from alloyd.kit.expressions.faults import ExpressionError

# What JSON encoders of 64-bit machines can write; outside of it an integer is refused, not rounded.
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1
TEXT_SHIFT: Final = 6  # a step for each 64 characters made
SCAN_SHIFT: Final = 12  # a step for each 4,096 characters only compared
NODE_CHARS: Final = 8  # what an element of a list or an object counts for in the output
UNITS_PER_STEP: Final = 4  # a plain node (a name, a literal, an operator) is a quarter of a step


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one expression (``expression_*``) and of one evaluation (the rest).

    The steps are the one currency of work *and* memory: each element made, each 64 characters made and each
    piece of a loop's body costs, so the sum of all that an evaluation makes is bounded too.
    """

    expression_chars_max: int = 4_096
    expression_depth_max: int = 50
    steps_max: int = 100_000
    text_chars_max: int = 1_048_576
    list_items_max: int = 100_000
    output_chars_max: int = 4 * 1_048_576
    value_depth_max: int = 100
    exponent_max: int = 1_024
    faults_max: int = 100


DEFAULT_BOUNDS: Final = Bounds()


class Frame:
    """One evaluation: the names it sees, its loop variables, and what it may still spend."""

    __slots__ = ("bounds", "left", "names", "output_left", "slots")

    def __init__(self, names: Mapping[str, Any], slots: int, left: int, bounds: Bounds) -> None:
        self.names = names
        self.slots: list[Any] = [None] * slots if slots else []
        self.left = left
        self.bounds = bounds
        self.output_left = bounds.output_chars_max

    def charge(self, steps: int) -> None:
        """Spend ``steps``. Raises ExpressionError when the evaluation has spent all."""
        self.left -= steps
        if self.left < 0:
            raise ExpressionError(f"takes more than {self.bounds.steps_max:,} steps")

    def allow_text(self, chars: int) -> None:
        """Ask before making a text of ``chars`` characters."""
        if chars > self.bounds.text_chars_max:
            raise ExpressionError(f"makes a text of more than {self.bounds.text_chars_max:,} characters")
        if chars >= 64:
            self.charge(chars >> TEXT_SHIFT)

    def allow_list(self, items: int) -> None:
        """Ask before making a list or an object of ``items`` elements."""
        if items > self.bounds.list_items_max:
            raise ExpressionError(f"makes a list of more than {self.bounds.list_items_max:,} items")
        self.charge(items >> 2)
