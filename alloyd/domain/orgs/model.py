"""What an organization is, and what it may be called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alloyd.errors import bad_request
from alloyd.kit.ids import is_uuid
from alloyd.kit.text import fault_of_line

DEFAULT_SLUG = "default"
NAME_CHARS_MAX = 200

SLUG_PATTERN = "^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$"  # for descriptions of the API

_SLUG = re.compile(SLUG_PATTERN.removesuffix("$") + r"\Z")
# Words that addresses, commands or people would take for something else.
RESERVED_SLUGS = frozenset(
    {"admin", "all", "alloyd", "api", "me", "new", "none", "null", "operator", "public", "root", "support", "system"}
)


@dataclass(frozen=True, slots=True)
class Organization:
    """One organization; times are milliseconds since the epoch. An archived one is never used again."""

    id: str
    slug: str
    name: str
    created_at: int
    updated_at: int
    archived_at: int | None

    @property
    def archived(self) -> bool:
        """Whether its keys and runs have ended for good."""
        return self.archived_at is not None


def check_slug(slug: str) -> str:
    """``slug`` itself. Raises ``bad_request`` unless it is 2 to 63 of a-z, 0-9 and inner hyphens, and free to use."""
    if not _SLUG.match(slug):
        raise bad_request("slug: 2 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit", "slug")
    if slug in RESERVED_SLUGS:
        raise bad_request(f"slug: {slug!r} is reserved", "slug")
    if is_uuid(slug):
        raise bad_request("slug: must not look like an id", "slug")
    return slug


def check_name(name: str, field: str = "name", chars_max: int = NAME_CHARS_MAX) -> str:
    """``name`` itself. Raises ``bad_request`` naming ``field`` unless it is one line of text."""
    fault = fault_of_line(name, chars_max)
    if fault is not None:
        raise bad_request(f"{field}: {fault}", field)
    return name
