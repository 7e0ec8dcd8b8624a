"""Makes the first user of an installation, with a link that was shown where the daemon runs."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from alloyd.domain.orgs.service import OrgService
from alloyd.domain.sessions.throttle import Throttle, subject_of_address
from alloyd.domain.users.model import User
from alloyd.domain.users.service import CreateUser, UserService
from alloyd.errors import AlloydError, Code, conflict
from alloyd.kit.clock import Clock
from alloyd.principal import Role

LINK_TTL_MS = 24 * 3_600_000  # a restart, or `alloyd setup-link`, gives another one
ATTEMPTS_PER_ADDRESS = 10
ATTEMPTS_WINDOW_S = 900
SUBJECTS_MAX = 10_000

_TOKEN_BYTES = 32


class SetupService:
    """The only door to the set-up.

    A token is known to this process alone, as its SHA-256: it ends with the process, after :data:`LINK_TTL_MS`, when
    another is made, and once there is a user, however that one was made.
    """

    def __init__(self, users: UserService, orgs: OrgService, clock: Clock) -> None:
        self._users = users
        self._orgs = orgs
        self._clock = clock
        self._digest: bytes | None = None
        self._ends_at = 0
        self._attempts = Throttle(
            clock, ATTEMPTS_PER_ADDRESS, ATTEMPTS_WINDOW_S, SUBJECTS_MAX, "too many attempts to set up; try again later"
        )

    async def is_due(self) -> bool:
        """Whether nobody can sign in yet, because there is no user."""
        return not await self._users.exists_any()

    async def make_token(self) -> str:
        """A new token, in place of the one before. Raises ``conflict`` when there is a user."""
        if not await self.is_due():
            raise conflict(
                "there is a user already; `alloyd user create` makes more, `alloyd user passwd` helps back in"
            )
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._digest = hashlib.sha256(token.encode()).digest()
        self._ends_at = self._clock.now_ms() + LINK_TTL_MS
        return token

    async def make_first_user(
        self, token: str, email: str, password: str, display_name: str | None, address: str
    ) -> User:
        """The first user: owner of the default organization, and platform admin. ``address`` is who asks.

        Raises ``forbidden`` for a token that does not count, ``bad_request`` (email, password, display_name),
        ``conflict`` when there is a user, ``rate_limited``. Emits ``user.created``.
        """
        subject = subject_of_address(address)
        self._attempts.check(subject)
        self._attempts.take(subject)
        given = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._digest if self._clock.now_ms() < self._ends_at else None
        if known is None or not hmac.compare_digest(given, known):
            raise AlloydError(
                Code.FORBIDDEN, "the set-up link is not valid any more; `alloyd setup-link` prints a new one"
            )
        self._attempts.give_back(subject)  # whoever holds the link may mistype the rest
        org = await self._orgs.get_default()
        new = CreateUser(
            email, password, org.id, Role.OWNER, platform_admin=True, display_name=display_name, first=True
        )
        user = await self._users.create(new)
        self._digest = None
        return user
