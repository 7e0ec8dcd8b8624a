"""A value that somebody gave for a setting, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alloyd.config.faults import Fault


@dataclass(frozen=True, slots=True)
class Given:
    """A value for ``group.name`` before it is checked. ``name`` may be ``<secret>_file``.

    ``place`` and ``line`` are as in :class:`Fault`.
    """

    group: str
    name: str
    value: Any
    place: str
    line: int | None = None

    @property
    def key(self) -> str:
        """``group.name``."""
        return f"{self.group}.{self.name}" if self.name else self.group

    @property
    def source(self) -> str:
        """The place and line as one text."""
        return self.place if self.line is None else f"{self.place}:{self.line}"

    def fault(self, wanted: str) -> Fault:
        """A fault at this place."""
        return Fault(self.place, self.line, self.key, wanted)
