"""What makes a request one that takes effect once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alloyd.errors import bad_request

KEEP_HOURS_MIN = 24  # the contracts' promise; retention.idempotency_hours can only lengthen it

# In the place of an organization: what the operator makes belongs to the whole installation.
INSTALLATION = ""

_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class Once:
    """A request that takes effect once within its organization.

    ``route`` is its method and declared path, ``key`` the caller's, ``digest`` the SHA-256 in hex of what it asks.
    ``also`` are further keys of the same request: a copy may come under any of them.
    """

    route: str
    key: str
    digest: str
    also: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key, the first one first."""
        return (self.key, *self.also)


def check_key(key: str, field: str) -> str:
    """``key`` itself. Raises ``bad_request`` naming ``field`` unless it is 1 to 255 visible ASCII characters."""
    if not _KEY.match(key):
        raise bad_request(f"{field}: 1 to 255 visible ASCII characters without spaces", field)
    return key
