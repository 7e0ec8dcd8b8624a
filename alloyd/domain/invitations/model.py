"""What an invitation is, and how its token is kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from alloyd.kit.ids import random_token
from alloyd.principal import Role

TOKEN_CHARS = 43
TOKEN_CHARS_MAX = 200
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class InvitationState(StrEnum):
    """How an invitation stands; only a pending one can be accepted or revoked."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class InvitationSettings:
    """Bounds of an organization's invitations: the configuration's group ``invitations``."""

    pending_max: int = 100
    per_hour_max: int = 20
    ttl_ms: int = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Invitation:
    """One invitation without its token; times are milliseconds since the epoch."""

    id: str
    org_id: str
    email: str
    role: Role
    team_id: str | None
    ended_as: InvitationState | None
    invited_by: str
    created_at: int
    expires_at: int
    ended_at: int | None
    accepted_by: str | None

    def state(self, now_ms: int) -> InvitationState:
        """How it stands at ``now_ms``."""
        if self.ended_as is not None:
            return self.ended_as
        return InvitationState.EXPIRED if self.expires_at <= now_ms else InvitationState.PENDING


@dataclass(frozen=True, slots=True)
class IssuedInvitation:
    """An invitation with its token, which exists nowhere else; ``token`` is None when a repeat asks for it."""

    invitation: Invitation
    token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreateInvitation:
    """What a new invitation is made of."""

    email: str
    role: Role = Role.MEMBER
    team_id: str | None = None


def new_token() -> str:
    """A new token of 258 random bits."""
    return random_token(TOKEN_CHARS)


def hash_token(token: str) -> bytes:
    """SHA-256 of a token. Plain, for the token is random and long: there is nothing to guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
