"""What a session's token says, and the bounds of signing in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

ISSUER = "alloyd"
TOKEN_TYPE = "access"  # noqa: S105  # not a password

TOKEN_CHARS_MAX = 4096
TOKEN_TTL_S_MIN = 60
TOKEN_TTL_S_MAX = 30 * 24 * 3600
# Tokens that one user signed out of before their time. One more ends all of the user's tokens, which needs no list.
REVOKED_PER_USER_MAX = 100
PASSWORD_CHARS_MAX = 1024
EMAIL_CHARS_MAX = 254


class Use(StrEnum):
    """What a token is for, its audience: one kind is refused wherever the other is wanted."""

    CONTROL = "control"  # in a header, for programs
    PAGE = "page"  # in the web page's cookie


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload of a token; times are whole seconds since the epoch.

    ``epoch`` is the user's at that time: a later one ends the token. ``org`` is where the user acts unless a request
    names another organization; without it that is the oldest membership. The tokens of one session of the page share
    its ``jti`` and ``iat``: signing out ends all of them, and none outlives the session.
    """

    iss: str
    aud: str
    sub: str
    iat: int
    nbf: int
    exp: int
    jti: str
    typ: str
    epoch: int
    org: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token with its lifetime in seconds; its text exists nowhere else."""

    token: str = field(repr=False)
    expires_in_s: int
    claims: Claims


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """The configuration's groups ``auth`` and ``ui``."""

    token_ttl_s: int = 3600
    user_cache_max: int = 10_000
    attempts_per_account: int = 10
    attempts_per_address: int = 50
    attempts_window_s: int = 900
    subjects_max: int = 50_000
    checks_waiting_max: int = 64
    page_ttl_s: int = 12 * 3600
    page_max_s: int = 30 * 24 * 3600
