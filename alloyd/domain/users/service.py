"""Use cases of users: create, find, set and check a password, disable, found an organization."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import INSTALLATION, Once
from alloyd.domain.orgs import service as orgs
from alloyd.domain.orgs.model import DEFAULT_SLUG, Organization, check_name, check_slug
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.users import store
from alloyd.domain.users.members import Members
from alloyd.domain.users.model import (
    DISPLAY_NAME_CHARS_MAX,
    PASSWORD_BYTES_MAX,
    Account,
    Membership,
    User,
    check_password,
    normalize_email,
)
from alloyd.errors import AlloydError, conflict, not_found
from alloyd.events.hub import Hub
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.principal import Role

# Each hash takes about 64 MiB and some 50 ms of a core: many at once would starve everything else.
HASHES_AT_ONCE = 2

# The hash of a random password that nobody kept: whoever is unknown is checked against it, for the same work.
NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$7MYuSraPOYXckIQNbFmTag$/JiJmFzhP4t33Fr5JeiqBrU1tAL+0VX0zOhyXDwQD7g"


@dataclass(frozen=True, slots=True)
class CreateUser:
    """What a new user is made of; ``organization`` is an id or slug. ``first``: only if there is no user yet."""

    email: str
    password: str = field(repr=False)
    organization: str = DEFAULT_SLUG
    role: Role = Role.MEMBER
    platform_admin: bool = False
    display_name: str | None = None
    first: bool = False


class UserService:
    """The only door to users; to their memberships it is ``members``.

    ``password_bytes_min`` is ``auth.password_bytes_min``.
    """

    def __init__(self, database: Database, hub: Hub, orgs_: OrgService, password_bytes_min: int = 12) -> None:
        self._database = database
        self.members = Members(database, hub, orgs_)
        self._password_bytes_min = password_bytes_min
        self._hasher = PasswordHasher(type=Type.ID)  # argon2-cffi's defaults: RFC 9106's low-memory profile
        self._threads = ThreadPoolExecutor(max_workers=HASHES_AT_ONCE, thread_name_prefix="argon2")

    def close(self) -> None:
        """End the hashing threads; what runs is finished first."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def check_password(self, email: str, password: str) -> Account | None:
        """The account with that e-mail when ``password`` is its own; None for every other reason alike.

        Unknown e-mails, users without a password and disabled ones take the work of a wrong password.
        """
        try:
            folded = normalize_email(email)
        except AlloydError:
            folded = ""
        found = await self._database.read(lambda conn: store.find_password(conn, folded))
        user_id, password_hash = found or (None, None)
        matches = await self._matches(password_hash or NOBODYS_HASH, password)
        if user_id is None or password_hash is None or not matches:
            return None
        account = await self.find_account(user_id)
        if account is None or account.user.disabled_at is not None:
            return None
        # The password may have been changed while this one was checked.
        unchanged = await self._database.read(lambda conn: store.find_password(conn, folded)) == found
        return account if unchanged else None

    async def _matches(self, password_hash: str, password: str) -> bool:
        if len(password.encode("utf-8", "surrogatepass")) > PASSWORD_BYTES_MAX:
            password = ""  # nobody's; hashing time grows with its length
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, password_hash, password)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False

    async def find_account(self, user_id: str) -> Account | None:
        """The user of that id with all that decides what it may do, disabled ones too."""
        return await self._database.read(lambda conn: find_account(conn, user_id))

    async def create(self, new: CreateUser, once: Once | None = None) -> User:
        """Make a user who is a member of one organization. A repeat of ``once`` answers with the first one.

        Raises ``bad_request`` (email, password, display_name), ``not_found`` (organization), ``conflict`` when the
        e-mail is taken, the organization archived, or there is a user already and this is to be the first. Emits
        ``user.created``.
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
            if new.first and store.exists_any(tx.conn):
                raise conflict("there is a user already; sign in")
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

    async def exists_any(self) -> bool:
        """Whether there is any user, disabled ones too."""
        return await self._database.read(store.exists_any)

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
        """Replace a user's password; whatever the user was signed in with ends at once.

        Raises ``bad_request``, ``not_found``. Emits ``user.password_changed`` in each organization of the user's.
        """
        check_password(password, self._password_bytes_min)
        password_hash = await self._hash(password)

        def write(tx: Tx) -> User:
            user = _must_find(tx.conn, id_or_email)
            self._write_password(tx, user.id, password_hash, "user.set_password")
            return _must_find(tx.conn, user.id)

        return await self._database.write(write)

    async def change_password(self, account: Account, password: str) -> Account:
        """Replace the password of ``account``, whose present one was just checked; what the user was signed in with
        ends at once. The account as it is then.

        Raises ``bad_request`` (new_password), ``conflict`` when it was changed, or the user shut out, meanwhile. Emits
        ``user.password_changed`` in each organization of the user's.
        """
        check_password(password, self._password_bytes_min, "new_password")
        password_hash = await self._hash(password)

        def write(tx: Tx) -> Account:
            if find_account(tx.conn, account.user.id) != account:
                raise conflict("the user was changed meanwhile; try again")
            self._write_password(tx, account.user.id, password_hash, "user.change_password")
            changed = find_account(tx.conn, account.user.id)
            assert changed is not None
            return changed

        return await self._database.write(write)

    def _write_password(self, tx: Tx, user_id: str, password_hash: str, action: str) -> None:
        store.update_password(tx, user_id, password_hash)
        store.begin_epoch(tx, user_id)
        self.members.note_change(tx, user_id, "the password was changed")
        _emit_everywhere(tx, "user.password_changed", user_id)
        tx.audit(f"user:{user_id}", action=action)  # also of a user who is nowhere a member

    async def disable(self, id_or_email: str) -> User:
        """Shut a user out; open streams close at once. Again on a disabled one it changes nothing.

        Raises ``not_found``. Emits ``user.disabled`` in each organization of the user's.
        """

        def write(tx: Tx) -> User:
            user = _must_find(tx.conn, id_or_email)
            if user.disabled_at is not None:
                return user
            store.disable(tx, user.id)
            store.begin_epoch(tx, user.id)
            self.members.note_change(tx, user.id, "the user was disabled")
            _emit_everywhere(tx, "user.disabled", user.id)
            tx.audit(f"user:{user.id}", action="user.disable")
            return _must_find(tx.conn, user.id)

        return await self._database.write(write)

    async def sign_out_everywhere(self, user_id: str) -> None:
        """End whatever a user is signed in with. Raises ``not_found``. Emits ``user.signed_out``."""

        def write(tx: Tx) -> None:
            _must_find(tx.conn, user_id)
            sign_out_everywhere(tx, self.members, user_id)

        await self._database.write(write)

    async def found_organization(self, user_id: str, slug: str, name: str, once: Once | None = None) -> Organization:
        """Make an organization whose owner the user is. A repeat of ``once`` answers with the first one.

        Raises ``bad_request`` (slug, name), ``conflict`` when the slug is taken or the user has too many
        organizations. Emits ``organization.created`` and ``member.added``.
        """
        check_slug(slug)
        check_name(name)

        def write(tx: Tx) -> Organization:
            # Whoever founds an organization may belong to none yet: the key is kept for the user.
            made = idempotency.find_made(tx, user_id, once)
            if made is not None:
                return orgs.get_within(tx.conn, made)
            org = orgs.insert(tx, slug, name)
            self.members.add(tx, org.id, user_id, Role.OWNER)
            idempotency.remember_made(tx, user_id, once, org.id)
            return org

        return await self._database.write(write)


def find_account(conn: sqlite3.Connection, user_id: str) -> Account | None:
    """:meth:`UserService.find_account` for another capability's transaction or read."""
    user = store.find(conn, user_id)
    if user is None:
        return None
    return Account(user, store.find_epoch(conn, user_id), tuple(store.list_standings(conn, user_id)))


def find_by_email(conn: sqlite3.Connection, email: str) -> User | None:
    """The user of that e-mail in whatever case, disabled ones too, for another capability's transaction or read."""
    return store.find_by_email(conn, email.strip().lower())


def sign_out_everywhere(tx: Tx, members: Members, user_id: str) -> None:
    """:meth:`UserService.sign_out_everywhere` for another capability's transaction; the user is there."""
    store.begin_epoch(tx, user_id)
    members.note_change(tx, user_id, "the user signed out")
    _emit_everywhere(tx, "user.signed_out", user_id)


def _emit_everywhere(tx: Tx, kind: str, user_id: str) -> None:
    for membership in store.list_memberships(tx.conn, user_id):
        tx.emit(Event(membership.org_id, kind, user_id))


def _must_find(conn: sqlite3.Connection, id_or_email: str) -> User:
    user = store.find(conn, id_or_email) or store.find_by_email(conn, id_or_email.strip().lower())
    if user is None:
        raise not_found("user")
    return user
