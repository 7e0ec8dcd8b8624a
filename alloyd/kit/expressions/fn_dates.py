"""Functions on points in time: RFC 3339 text in and out, or milliseconds since the epoch in."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from alloyd.kit.clock import rfc3339
from alloyd.kit.expressions import arguments
from alloyd.kit.expressions.bounds import Frame
from alloyd.kit.expressions.faults import ExpressionError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_MIN: Final = 1000  # below it a year has fewer than four digits on some systems
_DATE_CHARS_MAX: Final = 40
_FORMAT_CHARS_MAX: Final = 200
_DATE_STEPS: Final = 16
_ZONE_STEPS: Final = 100  # a zone's rules are read from a file the first time
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}\Z")
_UNIT_MS: Final = {
    "millisecond": 1, "second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000,
}  # fmt: skip
_UNIT_MONTHS: Final = {"month": 1, "year": 12}
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

# Names are English whatever the daemon's locale, and no directive takes a width.
_DIRECTIVES: Final[dict[str, Callable[[datetime], str]]] = {
    "Y": lambda t: f"{t.year:04d}",
    "y": lambda t: f"{t.year % 100:02d}",
    "m": lambda t: f"{t.month:02d}",
    "d": lambda t: f"{t.day:02d}",
    "e": lambda t: str(t.day),
    "H": lambda t: f"{t.hour:02d}",
    "I": lambda t: f"{(t.hour - 1) % 12 + 1:02d}",
    "p": lambda t: "AM" if t.hour < 12 else "PM",
    "M": lambda t: f"{t.minute:02d}",
    "S": lambda t: f"{t.second:02d}",
    "f": lambda t: f"{t.microsecond // 1000:03d}",
    "j": lambda t: f"{t.timetuple().tm_yday:03d}",
    "A": lambda t: _DAYS[t.weekday()],
    "a": lambda t: _DAYS[t.weekday()][:3],
    "u": lambda t: str(t.isoweekday()),
    "B": lambda t: _MONTHS[t.month - 1],
    "b": lambda t: _MONTHS[t.month - 1][:3],
    "G": lambda t: f"{t.isocalendar().year:04d}",
    "V": lambda t: f"{t.isocalendar().week:02d}",
    "z": lambda t: t.strftime("%z"),
    "Z": lambda t: t.tzname() or "",
    "s": lambda t: str(_to_ms(t) // 1000),
    "%": lambda _: "%",
}


def parse_date(frame: Frame, value: Any, timezone: Any = "UTC") -> str:
    """RFC 3339 in UTC from any ISO 8601 date or time; one without an offset is in ``timezone``."""
    return _written(_to_ms(_time(frame, value, _zone(frame, timezone))))


def format_date(frame: Frame, value: Any, pattern: Any, timezone: Any = "UTC") -> str:
    """The point in time by ``%`` directives, as it is in ``timezone``."""
    layout = arguments.text(pattern, "a text as format")
    if len(layout) > _FORMAT_CHARS_MAX:
        raise ExpressionError(f"a format has at most {_FORMAT_CHARS_MAX} characters")
    frame.charge(len(layout) >> 1)
    zone = _zone(frame, timezone)
    try:
        local = _time(frame, value, UTC).astimezone(zone)
    except OverflowError:
        raise _out_of_range() from None
    return re.sub(r"%(.|\Z)", lambda match: _directive(match.group(1), local), layout, flags=re.DOTALL)


def _directive(letter: str, local: datetime) -> str:
    write = _DIRECTIVES.get(letter)
    if write is None:
        raise ExpressionError(f"a format has no directive `%{letter}`")
    return write(local)


def date_add(frame: Frame, value: Any, amount: Any, unit: Any) -> str:
    """``amount`` units later; a month later is the same day, or the month's last."""
    moment = _time(frame, value, UTC)
    name = _unit(unit)
    if name in _UNIT_MS:
        # Whole milliseconds: floats of more would drift.
        try:
            later = round(arguments.number(amount) * _UNIT_MS[name])
        except OverflowError:
            raise _out_of_range() from None
        return _written(_to_ms(moment) + later)
    months = moment.year * 12 + moment.month - 1 + arguments.integer(amount) * _UNIT_MONTHS[name]
    year, month = divmod(months, 12)
    if not _YEAR_MIN <= year <= 9999:
        raise _out_of_range()
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return _written(_to_ms(moment.replace(year=year, month=month + 1, day=day)))


def date_diff(frame: Frame, first: Any, second: Any, unit: Any) -> int | float:
    """How many units from the first to the second; below zero when the second is earlier."""
    name = _unit(unit)
    if name not in _UNIT_MS:
        raise ExpressionError("months and years differ in length: ask for days")
    span = _to_ms(_time(frame, second, UTC)) - _to_ms(_time(frame, first, UTC))
    size = _UNIT_MS[name]
    return span // size if span % size == 0 else span / size


def timestamp(frame: Frame, value: Any) -> int:
    """Milliseconds since 1970."""
    return _to_ms(_time(frame, value, UTC))


def _unit(unit: Any) -> str:
    name = arguments.text(unit, "a text as unit").removesuffix("s")
    if name not in _UNIT_MS and name not in _UNIT_MONTHS:
        raise ExpressionError("the unit is one of milliseconds, seconds, minutes, hours, days, weeks, months, years")
    return name


def _time(frame: Frame, value: Any, zone: tzinfo) -> datetime:
    frame.charge(_DATE_STEPS)
    if type(value) in (int, float):
        return _from_ms(round(arguments.number(value)))
    text = arguments.text(value, "a time (a text, or milliseconds)")
    if len(text) > _DATE_CHARS_MAX:
        raise ExpressionError("the text is not a time")
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ExpressionError("the text is not a time") from None


def _from_ms(ms: int) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        raise _out_of_range() from None


def _to_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _written(ms: int) -> str:
    if _from_ms(ms).year < _YEAR_MIN:
        raise _out_of_range()
    return rfc3339(ms)


def _out_of_range() -> ExpressionError:
    return ExpressionError(f"times are from the year {_YEAR_MIN} to 9999")


def _zone(frame: Frame, name: Any) -> tzinfo:
    if arguments.text(name, "a text as time zone") == "UTC":
        return UTC
    frame.charge(_ZONE_STEPS)
    zone = _load(name) if _ZONE.match(name) else None
    if zone is None:
        raise ExpressionError("no such time zone: it is written as Europe/Paris")
    return zone


@lru_cache(maxsize=256)
def _load(name: str) -> tzinfo | None:
    """The zone's rules, or None, remembered too: looking for what is not there is the slow case."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return None
