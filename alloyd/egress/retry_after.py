"""What a ``Retry-After`` header asks for; pure."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRY_AFTER_MS_MAX = 24 * 60 * 60 * 1000


def retry_after_ms(value: str, now_ms: int) -> int | None:
    """What a ``Retry-After`` of seconds or of an HTTP date asks for, in ms from now; None when it says nothing."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:12]) * 1000, RETRY_AFTER_MS_MAX)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    wanted_ms = int((when - datetime.fromtimestamp(0, UTC)).total_seconds()) * 1000 - now_ms
    return min(max(wanted_ms, 0), RETRY_AFTER_MS_MAX)
