"""What is wrong with a configuration: one line a fault, all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``place`` is a file's name, or ``environment NAME``, ``credential NAME``, ``flag NAME``;
    ``line`` counts from 1 and is None where there are no lines; ``key`` is ``group.key`` or empty."""

    place: str
    line: int | None
    key: str
    wanted: str

    def __str__(self) -> str:
        where = self.place if self.line is None else f"{self.place}:{self.line}"
        return _one_line(": ".join(part for part in (where, self.key, self.wanted) if part))


def _one_line(text: str) -> str:
    """Keys come from the file as they are: a control character in one must not reach the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class ConfigFaults(Exception):  # noqa: N818 - it holds faults, and is named for them
    """The configuration cannot be used. ``faults`` holds every one; ``str`` prints one line each."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))
