"""Use cases of end users: create, show, change, delete, and the short tokens that their browsers come with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from msgspec import UNSET, UnsetType

from alloyd.db import Database, Tx
from alloyd.domain.endusers import store
from alloyd.domain.endusers.model import (
    AUDIENCE,
    EndUser,
    EndUserClaims,
    EndUserToken,
    TokenBearer,
    check_full_name,
    check_username,
    is_end_user_id,
    new_end_user_id,
)
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.orgs import service as orgs
from alloyd.domain.sessions.tokens import SignedTokens
from alloyd.errors import bad_request, not_found
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

# Runs inside the transaction that deletes an end user, before the row says so: (tx, org_id, end_user_id).
DeleteHook = Callable[[Tx, str, str], None]


class _Tokens(SignedTokens[EndUserClaims]):
    """End users' tokens, which open nothing but the embedded surface."""

    def _is_of_this_use(self, claims: EndUserClaims) -> bool:
        return claims.aud == AUDIENCE


class EndUserService:
    """The only door to end users. ``secret`` signs their tokens and nothing else; ``token_ttl_s`` is their life."""

    def __init__(self, database: Database, clock: Clock, secret: bytes, token_ttl_s: int) -> None:
        self._database = database
        self._clock = clock
        self._tokens = _Tokens(secret, clock, EndUserClaims)
        self._token_ttl_s = token_ttl_s
        self._delete_hooks: list[DeleteHook] = []

    def on_delete(self, hook: DeleteHook) -> None:
        """Run ``hook(tx, org_id, end_user_id)`` in each transaction that deletes an end user, in this order."""
        self._delete_hooks.append(hook)

    async def create(
        self, principal: Principal, username: str, full_name: str | None = None, once: Once | None = None
    ) -> EndUser:
        """Make an end user of the caller's organization. A repeat of ``once`` answers with the first one.

        Raises ``bad_request`` (username, full_name; also for a username that is taken), ``conflict`` in an archived
        organization. Emits ``end_user.created``.
        """
        check_username(username)
        full_name = check_full_name(full_name)

        def write(tx: Tx) -> EndUser:
            made = idempotency.find_made(tx, principal.org_id, once)
            if made is not None:
                return require_end_user(tx.conn, principal.org_id, made)
            orgs.require_active(tx, principal.org_id)
            user = EndUser(new_end_user_id(), principal.org_id, username, full_name, tx.now, tx.now)
            try:
                store.insert(tx, user)
            except sqlite3.IntegrityError:
                raise _taken() from None
            # Who it is stays in the row alone: what is told of it can't be purged with it.
            tx.emit(Event(user.org_id, "end_user.created", user.id))
            idempotency.remember_made(tx, principal.org_id, once, user.id)
            return user

        return await self._database.write(write)

    async def get(self, principal: Principal, id_or_username: str) -> EndUser:
        """One of the organization's end users: the id is tried first, then the username. Raises ``not_found``."""
        return await self._database.read(lambda conn: require_end_user(conn, principal.org_id, id_or_username))

    async def find(self, principal: Principal, id_or_username: str) -> EndUser | None:
        """:meth:`get`, None when there is none."""
        return await self._database.read(lambda conn: find_end_user(conn, principal.org_id, id_or_username))

    async def find_organization(self, user_id: str) -> str | None:
        """The organization that the end user of that id belongs to, None when there is no such user."""
        if not is_end_user_id(user_id):
            return None
        return await self._database.read(lambda conn: store.find_org_id(conn, user_id))

    async def list_page(
        self,
        principal: Principal,
        before_id: str | None,
        limit: int,
        username: str | None = None,
        part: str | None = None,
    ) -> list[EndUser]:
        """A page of the organization's end users, newest first; with ``username`` only the one of that name, with
        ``part`` only those in whose username or full name it is."""
        org_id = principal.org_id

        def read(conn: sqlite3.Connection) -> list[EndUser]:
            if username is None:
                return store.list_before(conn, org_id, before_id, limit, part)
            user = None if is_end_user_id(username) else find_end_user(conn, org_id, username)
            return [] if user is None or before_id is not None else [user]

        return await self._database.read(read)

    async def find_usernames(self, principal: Principal, user_ids: Sequence[str]) -> dict[str, str]:
        """The usernames of the organization's end users by their ids, without those who are deleted."""
        return await self._database.read(lambda conn: store.list_usernames(conn, principal.org_id, user_ids))

    async def list_numbered_page(self, principal: Principal, page: int, limit: int) -> list[EndUser]:
        """:meth:`list_page` for callers who count pages, from 0."""
        return await self._database.read(lambda conn: store.list_part(conn, principal.org_id, page * limit, limit))

    async def update(
        self,
        principal: Principal,
        id_or_username: str,
        *,
        username: str | UnsetType = UNSET,
        full_name: str | UnsetType | None = UNSET,
    ) -> EndUser:
        """Change what is given; None takes the full name away.

        Raises ``bad_request`` (username, full_name), ``not_found``. Emits ``end_user.updated``.
        """
        if username is not UNSET:
            check_username(username)
        if full_name is not UNSET:
            full_name = check_full_name(full_name)

        def write(tx: Tx) -> EndUser:
            user = require_end_user(tx.conn, principal.org_id, id_or_username)
            orgs.require_active(tx, user.org_id)
            name = user.username if username is UNSET else username
            try:
                store.update(tx, user.org_id, user.id, name, user.full_name if full_name is UNSET else full_name)
            except sqlite3.IntegrityError:
                raise _taken() from None
            tx.emit(Event(user.org_id, "end_user.updated", user.id))
            given = {"username": username, "full_name": full_name}
            tx.audit(changed=[field for field, value in given.items() if value is not UNSET])
            return require_end_user(tx.conn, user.org_id, user.id)

        return await self._database.write(write)

    async def delete(self, principal: Principal, id_or_username: str) -> EndUser:
        """Delete an end user: its tokens end, its workflows are uninstalled, its name is forgotten and free again.
        What its runs left is purged soon after (a hook notes it in the same transaction).

        Raises ``not_found``. Emits ``end_user.deleted`` and what the hooks emit.
        """

        def write(tx: Tx) -> EndUser:
            user = require_end_user(tx.conn, principal.org_id, id_or_username)
            tx.emit(Event(user.org_id, "end_user.deleted", user.id))
            for hook in self._delete_hooks:
                hook(tx, user.org_id, user.id)
            store.mark_deleted(tx, user.org_id, user.id)
            return user

        return await self._database.write(write)

    # -- tokens ----------------------------------------------------------------------------------------------

    async def issue_token(self, principal: Principal, id_or_username: str) -> EndUserToken:
        """A JWT for an end user's browser; nothing is stored of it. Raises ``not_found``."""
        user = await self.get(principal, id_or_username)
        now_s, ttl_s = self._clock.now_ms() // 1000, self._token_ttl_s
        claims = EndUserClaims(sub=user.id, org=user.org_id, aud=AUDIENCE, iat=now_s, exp=now_s + ttl_s, jti=new_id())
        return EndUserToken(self._tokens.sign(claims), ttl_s, claims)

    async def check_token(self, raw: str) -> TokenBearer | None:
        """Who comes with ``raw``; None for what is expired, tampered with, of another use or of a deleted user."""
        claims = self._tokens.find_claims(raw)
        if claims is None:
            return None

        def read(conn: sqlite3.Connection) -> EndUser | None:
            user = find_end_user(conn, claims.org, claims.sub)
            return None if user is None or user.org_id in orgs.list_archived(conn) else user

        user = await self._database.read(read)
        return None if user is None else TokenBearer(user, claims.jti, claims.exp * 1000)


def find_end_user(conn: sqlite3.Connection, org_id: str, id_or_username: str) -> EndUser | None:
    """The organization's end user of that id, else of that username, within another capability's read or write."""
    if is_end_user_id(id_or_username):  # which no username looks like
        return store.find(conn, org_id, id_or_username)
    try:
        id_or_username.encode()
    except UnicodeEncodeError:  # a path may hold what is no text at all
        return None
    return store.find_by_username(conn, org_id, id_or_username) if id_or_username else None


def require_end_user(conn: sqlite3.Connection, org_id: str, id_or_username: str) -> EndUser:
    """:func:`find_end_user`. Raises ``not_found``."""
    user = find_end_user(conn, org_id, id_or_username)
    if user is None:
        raise not_found("user")
    return user


def _taken() -> Exception:
    return bad_request("username: taken in this organization", "username")
