"""Use cases of sessions: sign in, authenticate a token, issue one, sign out."""

from __future__ import annotations

import sqlite3

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.authz.service import grants_of
from alloyd.domain.orgs import service as orgs
from alloyd.domain.sessions import store
from alloyd.domain.sessions.cache import KnownUser, UserCache
from alloyd.domain.sessions.model import (
    ISSUER,
    REVOKED_PER_USER_MAX,
    TOKEN_TTL_S_MAX,
    TOKEN_TTL_S_MIN,
    TOKEN_TYPE,
    Claims,
    IssuedToken,
    SessionSettings,
    Use,
)
from alloyd.domain.sessions.throttle import Throttle, subject_of_address
from alloyd.domain.sessions.tokens import Tokens
from alloyd.domain.teams import service as teams
from alloyd.domain.users import service as users
from alloyd.domain.users.model import Account
from alloyd.domain.users.service import UserService
from alloyd.errors import AlloydError, Code, bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.kit.ids import new_id
from alloyd.log import get_logger
from alloyd.principal import Kind, Principal

log = get_logger("alloyd.sessions")

# A look-up is made again when users changed meanwhile; so often in a row that is an attack or a fault.
LOOKUPS_MAX = 10
_EXPIRED_PER_SIGN_OUT = 100
_SIGNED_IN = "user.signed_in"


class SessionService:
    """The only door to sessions. ``secret`` signs tokens and nothing else.

    A token is a statement of who signed in and when it ends. What its bearer may do is looked up for each request: a
    changed role, a disabled user or another password hold at once.
    """

    def __init__(
        self,
        database: Database,
        users_: UserService,
        clock: Clock,
        secret: bytes,
        settings: SessionSettings | None = None,
    ) -> None:
        self._database = database
        self._users = users_
        self._clock = clock
        self._settings = settings = settings or SessionSettings()
        self._tokens = {use: Tokens(secret, clock, use) for use in Use}
        self._cache = UserCache(settings.user_cache_max)
        self._waiting = 0
        window_s, subjects_max = settings.attempts_window_s, settings.subjects_max
        self._by_account = Throttle(clock, settings.attempts_per_account, window_s, subjects_max)
        self._by_address = Throttle(clock, settings.attempts_per_address, window_s, subjects_max)
        users_.members.on_change(self._cache.drop)

    # -- signing in ------------------------------------------------------------------------------------------

    async def sign_in(
        self, email: str, password: str, org_id: str | None, address: str, use: Use = Use.CONTROL
    ) -> IssuedToken:
        """A token for the user of that e-mail and password, calling from ``address``, for ``use``.

        ``org_id`` is where it acts, by default the oldest membership. Raises ``unauthorized``, in the same words and
        after the same work whatever is wrong, ``rate_limited`` when there were too many failures for the account or
        from the address, or too many sign in at once, ``not_found`` for an organization that is not the user's. Emits
        ``user.signed_in``.
        """
        account = await self._check_password(email, password, address)
        if account is None:
            log.info("a sign-in was refused", address=address)
            raise AlloydError(Code.UNAUTHORIZED, "email or password: not right")
        ttl_s = self._settings.page_ttl_s if use is Use.PAGE else self._settings.token_ttl_s
        return await self._issue(account, org_id, ttl_s, _SIGNED_IN, use)

    async def change_password(
        self, principal: Principal, token: str, current: str, new: str, address: str, use: Use = Use.CONTROL
    ) -> IssuedToken:
        """Replace the caller's own password, who knows the ``current`` one, calling with ``token`` from ``address``.

        All that the user is signed in with ends, but for this session, which goes on with the answered token for as
        long as before. Raises ``bad_request`` (new_password), ``forbidden`` for a caller who did not sign in and when
        the current password is not right, ``rate_limited`` as :meth:`sign_in`, ``conflict`` when the user was changed
        meanwhile. Emits ``user.password_changed`` in each organization of the user's.
        """
        claims = self._tokens[use].find_claims(token)
        present = None if claims is None or claims.sub != principal.id else await self._users.find_account(principal.id)
        if claims is None or present is None:
            raise AlloydError(Code.FORBIDDEN, "only a user who signed in has a password to change")
        account = await self._check_password(present.user.email, current, address)
        if account is None:
            log.info("a change of a password was refused", address=address)
            raise AlloydError(Code.FORBIDDEN, "current_password: not right", field="current_password")
        changed = await self._users.change_password(account, new)
        renewed = msgspec.structs.replace(claims, epoch=changed.epoch)
        left_s = max(0, claims.exp - self._clock.now_ms() // 1000)
        return IssuedToken(self._tokens[use].sign(renewed), left_s, renewed)

    async def _check_password(self, email: str, password: str, address: str) -> Account | None:
        """The account of that e-mail and password, None when it is not right. Raises ``rate_limited``."""
        if self._waiting >= self._settings.checks_waiting_max:
            raise AlloydError(Code.RATE_LIMITED, "too many sign in at once; try again", retry_after_s=1)
        account_subject, address_subject = email.strip().lower(), subject_of_address(address)
        self._by_address.check(address_subject)
        self._by_account.check(account_subject)
        self._by_address.take(address_subject)
        self._by_account.take(account_subject)
        self._waiting += 1
        try:
            account = await self._users.check_password(email, password)
        finally:
            self._waiting -= 1
        if account is not None:
            self._by_address.give_back(address_subject)
            self._by_account.give_back(account_subject)
        return account

    async def issue(self, id_or_email: str, organization: str | None, ttl_s: int | None) -> IssuedToken:
        """A token for a user, without a password: the operator's. ``organization`` is an id or slug.

        Raises ``bad_request`` (ttl_s), ``not_found`` (user, organization), ``conflict`` for a disabled user. Emits
        ``user.token_issued``.
        """
        ttl_s = self._settings.token_ttl_s if ttl_s is None else ttl_s
        if not TOKEN_TTL_S_MIN <= ttl_s <= TOKEN_TTL_S_MAX:
            raise bad_request(f"ttl_s: from {TOKEN_TTL_S_MIN} to {TOKEN_TTL_S_MAX} seconds", "ttl_s")
        user = await self._users.get_by_name(id_or_email)
        if user.disabled_at is not None:
            raise conflict("the user is disabled")
        account = await self._users.find_account(user.id)
        if account is None:
            raise not_found("user")
        org_id = None
        if organization is not None:
            org_id = (await self._database.read(lambda conn: orgs.get_within(conn, organization))).id
        return await self._issue(account, org_id, ttl_s, "user.token_issued")

    async def renew(self, principal: Principal, token: str, org_id: str | None) -> IssuedToken:
        """The next token of the page's session that ``token`` is of, acting in ``org_id`` (None: where it acts now).

        The session itself ends ``page_max_s`` after its sign-in. Raises ``not_found`` for an organization that is not
        the user's, ``unauthorized`` when the session has ended meanwhile.
        """
        claims = self._tokens[Use.PAGE].find_claims(token)
        if claims is None or claims.sub != principal.id:
            raise AlloydError(Code.UNAUTHORIZED, "a session is needed")
        if org_id is not None and principal.within(org_id) is None:
            raise not_found("organization")
        now_s = self._clock.now_ms() // 1000
        expires_s = min(now_s + self._settings.page_ttl_s, claims.iat + self._settings.page_max_s)
        renewed = msgspec.structs.replace(claims, nbf=now_s, exp=max(expires_s, claims.exp), org=org_id or claims.org)
        return IssuedToken(self._tokens[Use.PAGE].sign(renewed), renewed.exp - now_s, renewed)

    def seconds_left(self, principal: Principal) -> int:
        """In how many seconds the token ends with which ``principal`` signed in."""
        return max(0, ((principal.expires_at or 0) - self._clock.now_ms()) // 1000)

    async def _issue(
        self, account: Account, org_id: str | None, ttl_s: int, kind: str, use: Use = Use.CONTROL
    ) -> IssuedToken:
        own = [standing.org_id for standing in account.standings]
        if org_id is None:
            org_id = own[0] if own else None
        elif org_id not in own:
            raise not_found("organization")
        now_s = self._clock.now_ms() // 1000
        claims = Claims(
            iss=ISSUER,
            aud=use,
            sub=account.user.id,
            iat=now_s,
            nbf=now_s,
            exp=now_s + ttl_s,
            jti=new_id(),
            typ=TOKEN_TYPE,
            epoch=account.epoch,
            org=org_id,
        )
        user_id = account.user.id

        def write(tx: Tx) -> None:
            if org_id is not None:
                tx.emit(Event(org_id, kind, user_id, {"expires_in_s": ttl_s}))
            if kind == _SIGNED_IN:  # it is only known by now who asks
                tx.audit(f"user:{user_id}", action="auth.sign_in", org_id=org_id, actor=(Kind.USER.value, user_id))
            else:
                tx.audit(f"user:{user_id}", action="auth.issue_token", org_id=org_id)

        await self._database.write(write)
        return IssuedToken(self._tokens[use].sign(claims), ttl_s, claims)

    # -- authenticating --------------------------------------------------------------------------------------

    def find_cached(self, token: str, use: Use = Use.CONTROL) -> Principal | None:
        """The bearer of a valid token for ``use`` if that is known without the database."""
        claims = self._tokens[use].find_claims(token)
        known = None if claims is None else self._cache.find(claims.sub)
        return None if claims is None or known is None else known.principal(claims)

    async def authenticate(self, token: str, use: Use = Use.CONTROL) -> Principal | None:
        """The bearer of ``token``; None for every token that does not count for ``use``, whatever the reason."""
        claims = self._tokens[use].find_claims(token)
        if claims is None:
            return None
        known = self._cache.find(claims.sub) or await self._look_up(claims.sub)
        return None if known is None else known.principal(claims)

    async def _look_up(self, user_id: str) -> KnownUser | None:
        for _ in range(LOOKUPS_MAX):
            epoch = self._cache.epoch
            known = await self._database.read(lambda conn: self._read(conn, user_id))
            if epoch == self._cache.epoch:
                if known is not None:
                    self._cache.put(user_id, known)
                return known
        raise AlloydError(Code.UNAVAILABLE, "users are changing too fast; try again", retry_after_s=1)

    def _read(self, conn: sqlite3.Connection, user_id: str) -> KnownUser | None:
        account = users.find_account(conn, user_id)
        if account is None:
            return None
        org_ids = [standing.org_id for standing in account.standings]
        return KnownUser(
            account,
            store.list_revoked(conn, user_id, self._clock.now_ms()),
            grants_of(conn, org_ids, user_id),
            teams.roles_of(conn, user_id),
        )

    # -- signing out -----------------------------------------------------------------------------------------

    async def sign_out(self, principal: Principal, token: str, *, everywhere: bool, use: Use = Use.CONTROL) -> None:
        """End ``token``, with which the user called, or all of the user's; open streams close at once.

        Raises ``forbidden`` for a caller without such a token. Emits ``user.signed_out``.
        """
        claims = self._tokens[use].find_claims(token)
        if claims is None or claims.sub != principal.id:
            raise AlloydError(Code.FORBIDDEN, "only a user who signed in can sign out")

        def write(tx: Tx) -> None:
            store.delete_expired(tx, _EXPIRED_PER_SIGN_OUT)
            others = store.list_revoked(tx.conn, principal.id, tx.now)
            if everywhere or len(others) >= REVOKED_PER_USER_MAX:
                users.sign_out_everywhere(tx, self._users.members, principal.id)
                return
            # Another window may have got a later token of the same session.
            ends_s = claims.exp + (self._settings.page_ttl_s if use is Use.PAGE else 0)
            store.insert_revoked(tx, claims.jti, principal.id, ends_s * 1000)
            self._users.members.note_change(tx, principal.id, "the user signed out")
            if principal.org_id:
                tx.emit(Event(principal.org_id, "user.signed_out", principal.id))

        await self._database.write(write)
