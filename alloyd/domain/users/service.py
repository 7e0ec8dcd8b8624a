"""Use cases of users: create, find, set a password, disable. All are the operator's."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from argon2 import PasswordHasher, Type

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import INSTALLATION, Once
from alloyd.domain.orgs import service as orgs
from alloyd.domain.orgs.model import DEFAULT_SLUG, check_name
from alloyd.domain.users import store
from alloyd.domain.users.model import DISPLAY_NAME_CHARS_MAX, Membership, User, check_password, normalize_email
from alloyd.errors import conflict, not_found
from alloyd.events.hub import Hub
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.principal import Role

# Each hash takes about 64 MiB and some 50 ms of a core: many at once would starve everything else.
HASHES_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class CreateUser:
    """What a new user is made of; ``organization`` is an id or slug."""

    email: str
    password: str = field(repr=False)
    organization: str = DEFAULT_SLUG
    role: Role = Role.MEMBER
    platform_admin: bool = False
    display_name: str | None = None


class UserService:
    """The only door to users. ``password_bytes_min`` is ``auth.password_bytes_min``."""

    def __init__(self, database: Database, hub: Hub, password_bytes_min: int = 12) -> None:
        self._database = database
        self._hub = hub
        self._password_bytes_min = password_bytes_min
        self._hasher = PasswordHasher(type=Type.ID)  # argon2-cffi's defaults: RFC 9106's low-memory profile
        self._threads = ThreadPoolExecutor(max_workers=HASHES_AT_ONCE, thread_name_prefix="argon2")

    def close(self) -> None:
        """End the hashing threads; what runs is finished first."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def create(self, new: CreateUser, once: Once | None = None) -> User:
        """Make a user who is a member of one organization. A repeat of ``once`` answers with the first one.

        Raises ``bad_request`` (email, password, display_name), ``not_found`` (organization), ``conflict`` when the
        e-mail is taken or the organization archived. Emits ``user.created``.
        """
        email = normalize_email(new.email)
        check_password(new.password, self._password_bytes_min)
        name = email.partition("@")[0] if new.display_name is None else new.display_name
        check_name(name, "display_name", DISPLAY_NAME_CHARS_MAX)
        password_hash = await self._hash(new.password)

        def write(tx: Tx) -> User:
            made = idempotency.find_made(tx, INSTALLATION, once)
            if made is not None:
                return _must_find(tx.conn, made)
            org = orgs.get_within(tx.conn, new.organization)
            orgs.require_active(tx, org.id)
            user = User(new_id(), email, name, new.platform_admin, tx.now, tx.now, None)
            try:
                store.insert(tx, user, password_hash)
            except sqlite3.IntegrityError:
                raise conflict("email: another user has it", "email") from None
            store.insert_membership(tx, Membership(org.id, user.id, new.role))
            payload = {"role": new.role.value, "platform_admin": new.platform_admin}
            tx.emit(Event(org.id, "user.created", user.id, payload))
            idempotency.remember_made(tx, INSTALLATION, once, user.id)
            return user

        return await self._database.write(write)

    async def get_by_name(self, id_or_email: str) -> User:
        """The user of that id or e-mail, disabled ones too. Raises ``not_found``."""
        return await self._database.read(lambda conn: _must_find(conn, id_or_email))

    async def list_all(self, organization: str | None, limit: int, before_id: str | None = None) -> list[User]:
        """A page of users, newest first; of one organization (id or slug) if named. Raises ``not_found`` for it."""

        def read(conn: sqlite3.Connection) -> list[User]:
            if organization is None:
                return store.list_before(conn, before_id, limit)
            return store.list_of_org(conn, orgs.get_within(conn, organization).id, before_id, limit)

        return await self._database.read(read)

    async def list_memberships(self, user_id: str) -> list[Membership]:
        """Where a user is a member, and as what."""
        return await self._database.read(lambda conn: store.list_memberships(conn, user_id))

    async def set_password(self, id_or_email: str, password: str) -> User:
        """Replace a user's password. Raises ``bad_request``, ``not_found``. Emits ``user.password_changed``."""
        check_password(password, self._password_bytes_min)
        password_hash = await self._hash(password)

        def write(tx: Tx) -> User:
            user = _must_find(tx.conn, id_or_email)
            store.update_password(tx, user.id, password_hash)
            _emit_everywhere(tx, "user.password_changed", user.id)
            return _must_find(tx.conn, user.id)

        return await self._database.write(write)

    async def disable(self, id_or_email: str) -> User:
        """Shut a user out; open streams close at once. Again on a disabled one it changes nothing.

        Raises ``not_found``. Emits ``user.disabled`` in each organization of the user's.
        """

        def write(tx: Tx) -> User:
            user = _must_find(tx.conn, id_or_email)
            if user.disabled_at is not None:
                return user
            store.disable(tx, user.id)
            _emit_everywhere(tx, "user.disabled", user.id)
            tx.after_commit(lambda: self._close_streams(user.id))
            return _must_find(tx.conn, user.id)

        return await self._database.write(write)

    def _close_streams(self, user_id: str) -> None:
        self._hub.close_tagged(user_id, "the user was disabled")


def _emit_everywhere(tx: Tx, kind: str, user_id: str) -> None:
    for membership in store.list_memberships(tx.conn, user_id):
        tx.emit(Event(membership.org_id, kind, user_id))


def _must_find(conn: sqlite3.Connection, id_or_email: str) -> User:
    user = store.find(conn, id_or_email) or store.find_by_email(conn, id_or_email.strip().lower())
    if user is None:
        raise not_found("user")
    return user
