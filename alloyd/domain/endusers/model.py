"""What an end user is, what its token says, and what it may be called."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import msgspec

from alloyd.errors import bad_request
from alloyd.kit.ids import new_id
from alloyd.kit.text import fault_of_line

USERNAME_CHARS_MAX: Final = 255
FULL_NAME_CHARS_MAX: Final = 255
TOKEN_TTL_S_MIN: Final = 60
TOKEN_TTL_S_MAX: Final = 24 * 3600
AUDIENCE: Final = "embedded"

_ID: Final = re.compile(r"usr_[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class EndUser:
    """Somebody whom an organization has workflows for; times are milliseconds since the epoch."""

    id: str
    org_id: str
    username: str
    full_name: str | None
    created_at: int
    updated_at: int


class EndUserClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of an end user's token; times are whole seconds since the epoch."""

    sub: str
    org: str
    aud: str
    iat: int
    exp: int
    jti: str


@dataclass(frozen=True, slots=True)
class EndUserToken:
    """A token with its lifetime in seconds; its text exists nowhere else."""

    token: str = field(repr=False)
    expires_in_s: int
    claims: EndUserClaims


@dataclass(frozen=True, slots=True)
class TokenBearer:
    """Who came with a valid token; ``expires_at`` in milliseconds since the epoch."""

    user: EndUser
    token_id: str
    expires_at: int


def new_end_user_id() -> str:
    """An id that sorts by the time it was made; half of it is random."""
    return f"usr_{new_id().replace('-', '')}"


def is_end_user_id(text: str) -> bool:
    """Whether ``text`` has the form of an end user's id."""
    return _ID.match(text) is not None


def check_username(username: str) -> str:
    """``username`` itself. Raises ``bad_request`` unless it is one line of text that could not be taken for an id.

    An id goes before a username wherever either may stand, so who could choose another's id as username would be
    taken for that one.
    """
    fault = fault_of_line(username, USERNAME_CHARS_MAX)
    if fault is None and is_end_user_id(username):
        fault = "must not look like an id"
    if fault is not None:
        raise bad_request(f"username: {fault}", "username")
    return username


def check_full_name(full_name: str | None) -> str | None:
    """``full_name``, None for an empty one. Raises ``bad_request`` unless it is one line of text."""
    if not full_name:
        return None
    fault = fault_of_line(full_name, FULL_NAME_CHARS_MAX)
    if fault is not None:
        raise bad_request(f"full_name: {fault}", "full_name")
    return full_name
