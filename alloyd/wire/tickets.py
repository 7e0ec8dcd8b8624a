"""One-time tickets with which a browser opens a stream, where it can't send a header."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import Clock
from alloyd.kit.ids import random_token
from alloyd.principal import Principal

TICKET_CHARS = 43
TICKET_TTL_S = 30
TICKETS_MAX = 10_000
TICKETS_PER_PRINCIPAL_MAX = 100


@dataclass(frozen=True, slots=True)
class _Ticket:
    principal: Principal
    expires_at: int


class StreamTickets:
    """Tickets in memory: a restart forgets them, and whoever has one asks for another.

    Only a digest is kept, and looked up by it, so how long a lookup takes tells nothing of a ticket.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_digest: dict[bytes, _Ticket] = {}
        self._by_principal: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_digest)

    def issue(self, principal: Principal) -> str:
        """A ticket for one stream of ``principal`` within :data:`TICKET_TTL_S` seconds. Raises ``rate_limited``."""
        self._drop_expired()
        if len(self._by_digest) >= TICKETS_MAX or self._by_principal.get(principal.id, 0) >= TICKETS_PER_PRINCIPAL_MAX:
            message = "too many unused stream tickets; wait until they expire"
            raise AlloydError(Code.RATE_LIMITED, message, retry_after_s=TICKET_TTL_S)
        ticket = random_token(TICKET_CHARS)
        expires_at = self._clock.now_ms() + TICKET_TTL_S * 1000
        self._by_digest[_digest(ticket)] = _Ticket(principal, expires_at)
        self._by_principal[principal.id] = self._by_principal.get(principal.id, 0) + 1
        return ticket

    def redeem(self, ticket: str) -> Principal | None:
        """Whose ticket it is, once; None when it is unknown, used or expired."""
        digest = _digest(ticket)
        found = self._by_digest.get(digest)
        if found is None:
            return None
        self._drop(digest, found)
        return found.principal if found.expires_at > self._clock.now_ms() else None

    def revoke(self, principal_id: str) -> None:
        """Forget the tickets of a credential that was revoked: what ``Hub.watch_revocations`` is given."""
        if principal_id in self._by_principal:
            for digest, ticket in list(self._by_digest.items()):
                if ticket.principal.id == principal_id:
                    self._drop(digest, ticket)

    def _drop_expired(self) -> None:
        now = self._clock.now_ms()
        while self._by_digest:  # they all live equally long, so the oldest expires first
            digest, oldest = next(iter(self._by_digest.items()))
            if oldest.expires_at > now:
                return
            self._drop(digest, oldest)

    def _drop(self, digest: bytes, ticket: _Ticket) -> None:
        del self._by_digest[digest]
        left = self._by_principal[ticket.principal.id] - 1
        if left:
            self._by_principal[ticket.principal.id] = left
        else:
            del self._by_principal[ticket.principal.id]


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
