"""A progress bar for long transfers, on stderr if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from alloyd.cli.output import clean

# What is smaller is there before a bar could be read.
SHOWN_BYTES_MIN: Final = 1024 * 1024


class Meter:
    """Counts bytes; shows nothing."""

    def advance(self, count: int) -> None:
        """``count`` more bytes went over."""


class _Bar(Meter):
    def __init__(self, progress: Progress, name: str, size: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(escape(clean(name)), total=size)

    def advance(self, count: int) -> None:
        self._progress.update(self._task, advance=count)


@contextmanager
def show_progress(name: str, size: int | None) -> Iterator[Meter]:
    """A meter for ``size`` bytes of ``name``; None where nobody knows how many come."""
    if not sys.stderr.isatty() or (size is not None and size < SHOWN_BYTES_MIN):
        yield Meter()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        yield _Bar(progress, name, size)
