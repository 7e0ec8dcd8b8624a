"""What can be wrong with an expression, with the place where it is wrong."""

from __future__ import annotations

from collections.abc import Iterable

from alloyd.errors import AlloydError, Code


class ExpressionError(AlloydError):
    """An expression that can't be read, or can't be evaluated on these values.

    ``message`` never holds a value of the run, only names and types, so it is safe to show and to store.
    ``place`` names the config string (``config.values.cents``), ``column`` counts characters from 1 in that
    string; both are empty until the layer that knows them fills them in.
    """

    def __init__(self, message: str, place: str = "", column: int | None = None) -> None:
        super().__init__(Code.UNPROCESSABLE, message, field=place or None)
        self.place = place
        self.column = column
        if column is not None:
            self.details = {"column": column}

    def locate(self, place: str = "", column: int | None = None) -> None:
        """Fill in what is not known yet; the innermost layer that knows wins."""
        if place and not self.place:
            self.place = self.field = place
        if column is not None and self.column is None:
            self.column = column
            self.details = {"column": column}

    def __str__(self) -> str:
        where = self.place
        if self.column is not None:
            where += f"{', ' if where else ''}column {self.column}"
        return f"{where}: {self.message}" if where else self.message


class MissingError(ExpressionError):
    """A key, an index or a name that is not there: what ``??`` and ``default`` forgive."""


class TemplateFaults(AlloydError):  # noqa: N818 - it is a list of errors
    """Every fault of one template, in the order of the text; ``details`` is the list for the envelope."""

    def __init__(self, faults: Iterable[ExpressionError]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(
            Code.UNPROCESSABLE,
            f"{first}{more}",
            field=first.place or None,
            details=[{"place": f.place, "column": f.column, "message": f.message} for f in self.faults],
        )
