"""What commands print: JSON as the API has it, tables, single values; nothing that steers a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alloyd.cli.errors import ReaderGone

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024


def clean(value: object) -> str:
    """``value`` as one line of text in which every character that could steer a terminal is written out."""
    text = str(value)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


@contextmanager
def reader_watched() -> Iterator[None]:
    """Around what writes to stdout. Raises ReaderGone when nobody reads it any more."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None


def say(text: object = "") -> None:
    """One line on stdout."""
    say_raw(f"{clean(text)}\n")


def say_raw(text: str) -> None:
    """Text of several lines on stdout, which the caller has made safe."""
    with reader_watched():
        sys.stdout.write(text)
        sys.stdout.flush()


def hint(text: object) -> None:
    """One line on stderr, beside the result."""
    print(clean(text), file=sys.stderr, flush=True)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """``value`` as JSON. What does not print is escaped, which in JSON means the same."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text).replace(
        "\x7f", "\\u007f"
    )


def print_json(value: Any) -> None:
    """``value`` on stdout, laid out to be read."""
    say_raw(to_json(value) + "\n")


def print_json_line(value: Any) -> None:
    """``value`` on stdout as one line."""
    say_raw(to_json(value, indent=None) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under their columns' names. On a terminal they are fitted to its width; elsewhere nothing is cut."""
    cells = [["-" if value is None else clean(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        table = Table(*columns, box=None, pad_edge=False, header_style="bold")
        for row in cells:
            table.add_row(*(Text(cell, overflow="fold") for cell in row))
        Console().print(table)
        return
    widths = [max(len(row[at]) for row in [list(columns), *cells]) for at in range(len(columns))]
    for row in [list(columns), *cells]:
        say_raw("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def print_fields(fields: Mapping[str, object]) -> None:
    """One ``name  value`` a line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        say(f"{name.ljust(width)}  {'-' if value is None else value}")


def format_bytes(count: int) -> str:
    """``count`` bytes for people: ``1.5 MiB``."""
    size = float(count)
    for unit in _UNITS:
        if size < _STEP or unit == _UNITS[-1]:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= _STEP
    raise AssertionError("unreachable")


def format_time(stamp: str | None) -> str | None:
    """An RFC 3339 time without its fraction, for a column."""
    return None if stamp is None else f"{stamp[:10]} {stamp[11:19]}Z"


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that can't be undone. Raises Abort at a no, UsageError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this can't be undone: give --yes")
    if not click.confirm(clean(question), err=True):
        raise click.Abort
