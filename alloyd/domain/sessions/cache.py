"""Users who were at work lately, known without the database: on the way of every request with a token."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from alloyd.domain.sessions.model import Claims
from alloyd.domain.users.model import Account
from alloyd.principal import SCOPES, Grant, Kind, Principal, Role, TeamRole


class KnownUser:
    """A user with its standings, and which of its tokens were signed out."""

    __slots__ = ("account", "grants", "revoked", "roles", "team_roles")

    def __init__(
        self,
        account: Account,
        revoked: Collection[str],
        grants: tuple[Grant, ...] = (),
        team_roles: tuple[TeamRole, ...] = (),
    ) -> None:
        self.account = account
        self.grants = grants
        self.team_roles = team_roles
        self.revoked = frozenset(revoked)
        self.roles = {standing.org_id: standing.role for standing in account.standings}

    def principal(self, claims: Claims) -> Principal | None:
        """Who the bearer of a valid token is; None when the user, or what the token stands on, has ended.

        A token for an organization that the user left is not turned to another one: what it was used for would be
        done elsewhere.
        """
        account = self.account
        if account.user.disabled_at is not None or claims.epoch != account.epoch or claims.jti in self.revoked:
            return None
        org_id = claims.org
        if org_id is None:
            org_id = account.standings[0].org_id if account.standings else ""
        elif org_id not in self.roles:
            return None
        return Principal(
            Kind.USER,
            account.user.id,
            org_id,
            self.roles.get(org_id, Role.VIEWER),
            SCOPES,
            platform_admin=account.user.platform_admin,
            standings=account.standings,
            grants=self.grants,
            team_roles=self.team_roles,
            expires_at=claims.exp * 1000,
        )


class UserCache:
    """The ``users_max`` users seen last, by id."""

    def __init__(self, users_max: int) -> None:
        self._users_max = users_max
        self._known: OrderedDict[str, KnownUser] = OrderedDict()
        self.epoch = 0  # grows with every drop: what was read before one must not be put in after it

    def __len__(self) -> int:
        return len(self._known)

    def find(self, user_id: str) -> KnownUser | None:
        """The user if it is here."""
        known = self._known.get(user_id)
        if known is not None:
            self._known.move_to_end(user_id)
        return known

    def put(self, user_id: str, known: KnownUser) -> None:
        """Keep a user that was just read; the one unseen longest makes room."""
        self._known[user_id] = known
        if len(self._known) > self._users_max:
            self._known.popitem(last=False)

    def drop(self, user_id: str) -> None:
        """Forget a user who changed."""
        self.epoch += 1
        self._known.pop(user_id, None)
