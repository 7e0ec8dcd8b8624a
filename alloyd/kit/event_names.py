"""What names of events workflows may listen for: those of end users are their makers' own, such as "Order Created"."""

from __future__ import annotations

from typing import Final

from alloyd.kit.text import fault_of_line

EVENT_CHARS_MAX: Final = 200
ALL_BELOW: Final = ".*"


def is_pattern(name: str) -> bool:
    """Whether ``name`` stands for all that begin so: ``order.*``. A ``*`` anywhere else is a character as any other."""
    return name.endswith(ALL_BELOW)


def fault_of_listened(name: str) -> str | None:
    """Why nothing can listen for ``name``, a line of 1 to :data:`EVENT_CHARS_MAX` characters; None when it can."""
    if name in ("*", ALL_BELOW):
        return "an event's name such as order.paid, or order.* for all that begin so, is wanted"
    return fault_of_line(name, EVENT_CHARS_MAX)
