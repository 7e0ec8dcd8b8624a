"""What every measurement is given: where it works, how long, and how it starts what it measures."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import median
from tests.bench.processes import ROOT, Alloyd

DRAIN_TIMEOUT_S = 600.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Bench:
    """``command`` starts alloyd. ``rounds`` alternate between it and what it is compared with, ``seconds`` each.

    Without ``compares`` only alloyd is measured, once: for a profile.
    """

    command: Sequence[str]
    directory: Path
    rounds: int = 5
    seconds: float = 5.0
    compares: bool = True

    def start(self, name: str) -> Alloyd:
        """A daemon on a new data directory of that name."""
        return Alloyd(self.command, Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory)) / "data")


def drain(alloyd: Alloyd) -> float:
    """Wait until no run is queued or running; the seconds that took. Raises RuntimeError after ten minutes."""
    started = time.perf_counter()
    while True:
        figures = alloyd.metrics()
        took = time.perf_counter() - started
        if not figures["alloyd_runs_queued"] and not figures["alloyd_runs_running"]:
            return took
        if took > DRAIN_TIMEOUT_S:
            raise RuntimeError("the runs do not end")
        time.sleep(POLL_S)


def fsync_ms(directory: Path) -> float:
    """What one durable 4 KiB append takes on the disk of ``directory``: the floor of every answer that is a promise."""
    path = directory / "fsync"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(200):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - started) * 1000)
    path.unlink()
    return median(taken)


def filesystem(directory: Path) -> str:
    """The type of the file system that ``directory`` is on, as the kernel calls it."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, mounted_on, found, *_ = line.split()
        if directory.is_relative_to(mounted_on) and len(mounted_on) >= len(best):
            best, kind = mounted_on, found
    return kind


def default_parent() -> Path:
    """Beside the sources: the system's temporary directory is often in memory, where fsync costs nothing."""
    parent = ROOT / "build"
    parent.mkdir(exist_ok=True)
    return parent
