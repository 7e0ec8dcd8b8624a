"""What an API key is: the raw text a caller sends, and the row that stays behind."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from dataclasses import dataclass, field
from enum import StrEnum

from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.ids import random_token
from alloyd.principal import ACTIONS, CHANNEL_SCOPE, FINE_SCOPES, SCOPES, Kind, Principal, Role

KEY_PREFIX = "alloy_"
KEY_ID_CHARS = 8
SECRET_CHARS = 43
_ID_START = len(KEY_PREFIX)
ID_SLICE = slice(_ID_START, _ID_START + KEY_ID_CHARS)
RAW_CHARS = _ID_START + KEY_ID_CHARS + 1 + SECRET_CHARS

NAME_CHARS_MAX = 200
USUAL_SCOPES = ("control", "private")  # of a key that asks for none
DESCRIPTION_CHARS_MAX = 1000
KEYS_PER_ORG_MAX = 10_000  # that still work; ended ones don't count
GRACE_MS_MAX = 30 * 24 * 3_600_000
LIFETIME_MS_MAX = 100 * 365 * 24 * 3_600_000

_RAW = re.compile(r"alloy_([A-Za-z0-9_-]{8})_[A-Za-z0-9_-]{43}\Z")
_ID_ALPHABET = string.ascii_letters + string.digits
_BOUND_SCOPES = frozenset({CHANNEL_SCOPE})
_MESSAGE_SCOPE = ACTIONS["teammate.message"].scope


class KeyState(StrEnum):
    """Whether a key works, and why not."""

    ACTIVE = "active"
    DISABLED = "disabled"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as lists show it, without its secret; times are milliseconds since the epoch."""

    id: str
    org_id: str
    name: str
    description: str | None
    key_id: str
    scopes: tuple[str, ...]
    role: Role
    created_by: str
    created_at: int
    expires_at: int | None
    disabled_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    team_id: str | None = None
    teammate_id: str | None = None

    def state(self, now_ms: int) -> KeyState:
        """Whether the key works at ``now_ms``; what can't be undone comes first."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.disabled_at is not None:
            return KeyState.DISABLED
        if self.expires_at is not None and self.expires_at <= now_ms:
            return KeyState.EXPIRED
        return KeyState.ACTIVE

    @property
    def prefix(self) -> str:
        """What of the raw key may be shown."""
        return f"alloy_{self.key_id}"

    @property
    def working_scopes(self) -> frozenset[str]:
        """What the key opens: bound to a teammate nothing but its channel, whatever else its row may say."""
        return _BOUND_SCOPES if self.teammate_id is not None else frozenset(self.scopes)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key together with its raw text, which exists nowhere else; ``raw`` is None when a repeat asks for it."""

    key: ApiKey
    raw: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreateKey:
    """What a new key is made of. ``scopes`` None: those of the creating key, else `private` and `control`.

    ``expires_at`` is in milliseconds since the epoch, None for never; ``team_id`` the team that it is bound to;
    ``teammate_id`` the teammate whose channel is all that it opens: then it has neither scopes nor a team.
    """

    name: str
    scopes: tuple[str, ...] | None = None
    role: Role = Role.MEMBER
    expires_at: int | None = None
    description: str | None = None
    team_id: str | None = None
    teammate_id: str | None = None


def new_raw_key() -> str:
    """A new raw key: its id is no secret, the rest has 258 random bits."""
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(KEY_ID_CHARS))
    return f"alloy_{key_id}_{random_token(SECRET_CHARS)}"


def parse_raw_key(raw: str) -> str | None:
    """The id in a well-formed raw key, None for any other text."""
    match = _RAW.match(raw)
    return match[1] if match else None


def hash_raw_key(raw: str) -> bytes:
    """SHA-256 of the whole raw key. Plain, for the key is random and long: there is nothing to guess."""
    return hashlib.sha256(raw.encode()).digest()


def check_scopes(principal: Principal, scopes: tuple[str, ...] | None) -> tuple[str, ...]:
    """The scopes a new key of ``principal`` gets, sorted.

    Raises ``bad_request`` for a scope that does not exist or an empty list, ``forbidden`` for one that the creator's
    own key lacks.
    """
    if scopes is None:
        scopes = tuple(principal.scopes if principal.kind is Kind.KEY else USUAL_SCOPES)
    if not scopes:
        raise bad_request("scopes: at least one", "scopes")
    for at, scope in enumerate(scopes):
        if scope not in SCOPES:
            raise bad_request(f"scopes[{at}]: no such scope; there are: {', '.join(sorted(SCOPES))}", f"scopes[{at}]")
    if not grantable_scopes(principal).issuperset(scopes):
        raise AlloydError(Code.FORBIDDEN, "scopes: a key can't grant what it does not have itself", field="scopes")
    return tuple(sorted(set(scopes)))


def scopes_of(principal: Principal, new: CreateKey) -> tuple[str, ...]:
    """The scopes that ``new`` gets of ``principal``: by :func:`check_scopes`, or the channel's for one teammate's key.

    Raises ``bad_request`` for scopes or a team beside a teammate, ``forbidden`` when the creator itself may not talk
    to teammates by its scopes.
    """
    if new.teammate_id is None:
        return check_scopes(principal, new.scopes)
    if new.scopes:
        raise bad_request("scopes: a key that is bound to a teammate has none of its own; leave them out", "scopes")
    if new.team_id is not None:
        raise bad_request("teammate_id: a key is bound to a team or to a teammate, not to both", "teammate_id")
    if not grantable_scopes(principal) & {"private", _MESSAGE_SCOPE}:
        raise AlloydError(
            Code.FORBIDDEN, "teammate_id: a key can't grant what it does not have itself", field="teammate_id"
        )
    return (CHANNEL_SCOPE,)


def scopes_on(surface: str, scopes: frozenset[str]) -> frozenset[str]:
    """What ``scopes`` are on ``surface``: the private scope opens every teammate's channel as well."""
    return scopes | _BOUND_SCOPES if surface == CHANNEL_SCOPE and "private" in scopes else scopes


def grantable_scopes(principal: Principal) -> frozenset[str]:
    """What ``principal`` may pass on: `control` holds every finer scope."""
    return principal.scopes | FINE_SCOPES if "control" in principal.scopes else principal.scopes


def check_role(principal: Principal, role: Role) -> None:
    """Raise ``forbidden`` for a role above the caller's own: nobody grants or manages upwards."""
    if not principal.role.includes(role):
        raise AlloydError(Code.FORBIDDEN, "role: above your own", field="role")


def check_expiry(expires_at: int | None, now_ms: int) -> None:
    """Raise ``bad_request`` unless ``expires_at`` is None or in the next hundred years."""
    if expires_at is not None and not now_ms < expires_at <= now_ms + LIFETIME_MS_MAX:
        raise bad_request("expires_at: must be in the future, within 100 years", "expires_at")
