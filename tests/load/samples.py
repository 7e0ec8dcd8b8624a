"""The daemon's memory and open files over time, and whether they are level."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

MIB = 1024 * 1024
INTERVAL_S = 0.25
# What the allocator keeps back now and gives later: a slope below it says nothing in a short time.
NOISE_BYTES = 8 * MIB


@dataclass
class Samples:
    """``(seconds, bytes)`` since the start. Use it as a context: it samples in a thread of its own."""

    measure: Callable[[], int]
    taken: list[tuple[float, int]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def _sample(self) -> None:
        started = time.monotonic()
        while True:
            self.taken.append((time.monotonic() - started, self.measure()))
            if self._over.wait(INTERVAL_S):
                return


@dataclass(frozen=True, slots=True)
class Trend:
    """The least-squares line through samples: its slope, and its ends."""

    per_minute: float
    begin: float
    end: float
    seconds: float

    @property
    def is_level(self) -> bool:
        """Whether the line rises by less than the allocator's noise, and by less than a tenth of where it began."""
        return self.end - self.begin < max(NOISE_BYTES, self.begin / 10)


def trend(samples: Sequence[tuple[float, int]], warm_up_s: float) -> Trend:
    """Of the samples after ``warm_up_s``. Raises ValueError when fewer than two are left."""
    kept = [(at, value) for at, value in samples if at >= warm_up_s]
    if len(kept) < 2:
        raise ValueError("too few samples")
    mid_at = sum(at for at, _ in kept) / len(kept)
    mid_value = sum(value for _, value in kept) / len(kept)
    slope = sum((at - mid_at) * (value - mid_value) for at, value in kept) / sum((at - mid_at) ** 2 for at, _ in kept)
    first, last = kept[0][0], kept[-1][0]
    return Trend(slope * 60, mid_value + slope * (first - mid_at), mid_value + slope * (last - mid_at), last - first)


def open_files(pid: int) -> int:
    """How many file descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
