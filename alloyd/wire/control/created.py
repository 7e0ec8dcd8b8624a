"""Lists that can be narrowed to a span of time: `from` and `to`, or `created_from` and `created_to`."""

from __future__ import annotations

import msgspec

from alloyd.errors import bad_request
from alloyd.wire.control.usage import time_of
from alloyd.wire.fields import TimeOrDate
from alloyd.wire.paging import PageQuery


class CreatedQuery(PageQuery, frozen=True, kw_only=True):
    """A list's query: what was created at `from` or later, and before `to`."""

    created_from: TimeOrDate | None = None
    created_to: TimeOrDate | None = None
    from_: TimeOrDate | None = msgspec.field(default=None, name="from")
    to: TimeOrDate | None = None


def read_span(query: CreatedQuery) -> tuple[int | None, int | None]:
    """Both ends in ms since the epoch, None where open. Raises ``bad_request`` naming the parameter."""
    return (
        _read_end(query.from_, "from", query.created_from, "created_from"),
        _read_end(query.to, "to", query.created_to, "created_to"),
    )


def _read_end(short: str | None, name: str, long: str | None, long_name: str) -> int | None:
    if short is not None and long is not None:
        raise bad_request(f"{name}: given as {long_name} too", name)
    return time_of(long, long_name) if short is None else time_of(short, name)
