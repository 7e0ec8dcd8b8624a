"""Cron expressions in a time zone: when they are due, by Debian's rules where clocks are put forward or back.

A job at set times of the day runs once a day: one that falls into the hour that is left out runs right after it, one in
the hour that comes twice runs the first time. A job whose minute or hour begins with ``*`` follows the clock.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

CRON_CHARS_MAX = 200
ZONE_CHARS_MAX = 64
UTC_NAMES = frozenset({"UTC", "Etc/UTC"})

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# Names of the database's places; what else lies in its directory (posix/, right/, localtime) begins in lower case.
_ZONE = re.compile(r"[A-Z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
_FIRST_WINDOW_MS = 3_600_000
_WINDOW_FACTOR = 8


class CronError(ValueError):
    """``field`` is ``cron`` or ``timezone``; the message does not repeat it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Cron:
    """A checked expression in its zone. Times are ms since the epoch."""

    __slots__ = ("_expression", "_zone")

    def __init__(self, expression: str, timezone: str) -> None:
        """Raises :class:`CronError` for what is no cron expression of five fields or no known time zone."""
        self._zone = find_zone(timezone)
        self._expression = _checked(expression)

    def next_after(self, after_ms: int) -> int | None:
        """The first time after ``after_ms``; None when none comes within 50 years."""
        return next(self.times_after(after_ms), None)

    def times_after(self, after_ms: int) -> Iterator[int]:
        """All times after ``after_ms``, in order, without end unless they end."""
        last = after_ms
        try:
            start = datetime.fromtimestamp(after_ms // 1000, self._zone)
            for when in CronSim(self._expression, start):
                found = int(when.timestamp()) * 1000
                if found > last:  # in the hour that comes twice a search begins anew with its first pass
                    last = found
                    yield found
        except (OverflowError, OSError, ValueError):  # beyond what dates reach
            return

    def latest(self, after_ms: int, until_ms: int, count_max: int) -> list[int]:
        """The newest ``count_max`` times after ``after_ms`` up to ``until_ms``, in order.

        As quick after a year as after an hour: it looks back from ``until_ms``, further and further.
        """
        window_ms = _FIRST_WINDOW_MS
        while True:
            start = max(after_ms, until_ms - window_ms)
            found: deque[int] = deque(maxlen=count_max)
            for when in self.times_after(start):
                if when > until_ms:
                    break
                found.append(when)
            if len(found) == count_max or start <= after_ms:
                return list(found)
            window_ms *= _WINDOW_FACTOR


def find_zone(name: str) -> tzinfo:
    """The zone of that name in the IANA database. Raises :class:`CronError`."""
    if name in UTC_NAMES:  # there on a machine without the database too
        return UTC
    if len(name) <= ZONE_CHARS_MAX and _ZONE.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise CronError("timezone", "the name of a time zone such as Europe/Berlin or UTC is wanted")


def _checked(expression: str) -> str:
    expression = " ".join(expression.split())
    expression = _ALIASES.get(expression.lower(), expression)
    if len(expression) > CRON_CHARS_MAX or not expression.isascii():
        raise CronError("cron", f"at most {CRON_CHARS_MAX} ASCII characters are wanted")
    if len(expression.split(" ")) != 5:
        raise CronError("cron", "five fields are wanted: minute, hour, day of month, month, day of week")
    try:
        sim = CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC))
        next(sim)
    except CronSimError as error:
        told = str(error)
        raise CronError("cron", f"{told[:1].lower()}{told[1:]}") from None
    except StopIteration:
        raise CronError("cron", "this never comes") from None
    return expression
