"""Lengths of time as people write them: milliseconds, ``5m``, ``1h 30m``, or ISO 8601; pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

DURATION_MS_MAX = 365 * 24 * 60 * 60 * 1000
_TEXT_CHARS_MAX = 64  # far more than any duration needs

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_SHORT = re.compile(rf"(?:{_NUMBER} *(?:ms|s|m|h|d|w) *)+")
_SHORT_PART = re.compile(rf"(?P<number>{_NUMBER}) *(?P<unit>ms|s|m|h|d|w)")
_ISO = re.compile(
    rf"P(?:(?P<w>{_NUMBER})W)?(?:(?P<d>{_NUMBER})D)?(?:T(?:(?P<h>{_NUMBER})H)?(?:(?P<m>{_NUMBER})M)?(?:(?P<s>{_NUMBER})S)?)?"
)
_EPOCH = datetime.fromtimestamp(0, UTC)


def parse_duration(given: float | str) -> int:
    """The length of ``given`` in whole milliseconds, rounded up so that nothing comes early.

    A number is milliseconds. ISO 8601 years and months are refused: their length is not fixed. Raises ValueError
    saying what is wrong.
    """
    if isinstance(given, str):
        exact = _parse_text(given.strip())
    elif isinstance(given, bool) or given != given or given in (float("inf"), float("-inf")):
        raise ValueError("a duration is a number of milliseconds or a text such as 5m or PT5M")
    else:
        exact = Fraction(given)
    ms = -(-exact.numerator // exact.denominator)
    if not 0 <= ms <= DURATION_MS_MAX:
        raise ValueError(f"a duration is between 0 and {DURATION_MS_MAX} ms (365 days)")
    return ms


def parse_time(text: str) -> int:
    """An RFC 3339 time as ms since the epoch, rounded up. Raises ValueError."""
    when = datetime.fromisoformat(text.strip())
    if when.tzinfo is None:
        raise ValueError("a time needs its offset, such as Z")
    return -((_EPOCH - when) // timedelta(milliseconds=1))


def _parse_text(text: str) -> Fraction:
    if len(text) <= _TEXT_CHARS_MAX:
        if _SHORT.fullmatch(text):
            parts = _SHORT_PART.finditer(text)
            return sum((Fraction(part["number"]) * _UNITS_MS[part["unit"]] for part in parts), Fraction())
        iso = _ISO.fullmatch(text)
        if iso is not None and text[-1] not in "PT":
            found = iso.groupdict()
            return sum((Fraction(found[unit] or 0) * _UNITS_MS[unit] for unit in found), Fraction())
        if re.fullmatch(r"[0-9]{1,15}", text):
            return Fraction(text)
    raise ValueError("a duration is a number of milliseconds or a text such as 5m, 1h 30m, P1D or PT5M")
