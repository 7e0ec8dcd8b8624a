"""Time as the program sees it: one clock that tests can move."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime.fromtimestamp(0, UTC)
_MS = timedelta(milliseconds=1)


class Clock:
    """Wall-clock time in whole milliseconds since the Unix epoch, UTC."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1_000_000


class ManualClock(Clock):
    """A clock that stands still until told to move: for tests."""

    def __init__(self, start_ms: int = 1_767_225_600_000) -> None:
        self._now_ms = start_ms

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, ms: int) -> None:
        """Move the clock forward by ``ms`` milliseconds."""
        self._now_ms += ms


def rfc3339(ms: int) -> str:
    """``ms`` since the epoch as ``2026-01-01T00:00:00.000Z``."""
    seconds, milli = divmod(ms, 1000)
    return f"{_date_and_time(seconds)}.{milli:03d}Z"


@lru_cache(maxsize=256)  # most times that are told are of this very second
def _date_and_time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def parse_rfc3339(text: str) -> int:
    """The inverse of :func:`rfc3339`; takes any offset. Raises ValueError for anything else, naive times too."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time needs its offset, such as Z")
    return (when - _EPOCH) // _MS  # in integers: a float of seconds loses a millisecond now and then
