"""Pages of a list: `limit` and `cursor` in the query, `links.next` in the answer."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec

from alloyd.errors import bad_request
from alloyd.wire.route import Call

T = TypeVar("T")

_CHECK_BYTES = 6
_CURSOR_CHARS_MAX = 512
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of every list; a list with filters subclasses it."""

    limit: Annotated[int, msgspec.Meta(ge=1, description="Items on the page.")] | None = None
    cursor: (
        Annotated[str, msgspec.Meta(max_length=_CURSOR_CHARS_MAX, description="Where to go on: from `links.next`.")]
        | None
    ) = None


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Bounds of every list: ``limits.list_limit_default`` and ``limits.list_limit_max``."""

    limit_default: int = 50
    limit_max: int = 200


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for. ``after`` is the last position of the page before, None on the first."""

    limit: int
    after: tuple[Any, ...] | None

    @property
    def fetch(self) -> int:
        """How many rows to read: one more than the page holds tells whether another page follows."""
        return self.limit + 1


class Pager:
    """Reads and makes the cursors of one list, whose positions are tuples of ``types`` (``str`` or ``int``).

    A cursor is opaque and bound to its list; an altered one is refused. It carries no right: the query behind it
    asks for the caller's organization whatever the cursor says.
    """

    def __init__(self, name: str, limits: PageLimits, *types: type) -> None:
        self._name = name.encode()
        self._limits = limits
        self._types = types

    def read(self, query: PageQuery) -> Page:
        """The page that ``query`` asks for. Raises ``bad_request`` naming ``limit`` or ``cursor``."""
        limit = self._limits.limit_default if query.limit is None else query.limit
        if limit > self._limits.limit_max:
            raise bad_request(f"limit: at most {self._limits.limit_max}", "limit")
        return Page(limit, None if query.cursor is None else self.decode(query.cursor))

    def cut(
        self,
        call: Call,
        page: Page,
        found: Sequence[T],
        position: Callable[[T], tuple[Any, ...]],
        *,
        cut_short: bool = False,
    ) -> Sequence[T]:
        """What of the ``page.fetch`` rows asked for belongs on the page; sets ``links.next`` when more follow.

        With ``cut_short`` they do although ``found`` has fewer.
        """
        if len(found) <= page.limit and not cut_short:
            return found
        kept = found[: page.limit]
        self.link_next(call, position(kept[-1]))
        return kept

    def link_next(self, call: Call, position: tuple[Any, ...]) -> None:
        """Set ``links.next`` to the page that begins behind ``position``."""
        url = call.request.rel_url.update_query(cursor=self.encode(position))
        call.links = {**(call.links or {}), "next": str(url)}

    def encode(self, position: tuple[Any, ...]) -> str:
        """The cursor that goes on after ``position``."""
        data = msgspec.json.encode(position)
        return base64.urlsafe_b64encode(self._check(data) + data).rstrip(b"=").decode()

    def decode(self, cursor: str) -> tuple[Any, ...]:
        """The position in ``cursor``. Raises ``bad_request`` for anything that :meth:`encode` did not make."""
        try:
            whole = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            position = msgspec.json.decode(whole[_CHECK_BYTES:], type=tuple[Any, ...])
        except (ValueError, msgspec.MsgspecError):
            raise _bad_cursor() from None
        if tuple(type(value) for value in position) != self._types or self.encode(position) != cursor:
            raise _bad_cursor()
        if any(isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX for value in position):
            raise _bad_cursor()
        return position

    def _check(self, data: bytes) -> bytes:
        return hashlib.blake2s(data, digest_size=_CHECK_BYTES, key=self._name[:32]).digest()


def _bad_cursor() -> Exception:
    return bad_request("cursor: not one that this list gave out", "cursor")
