"""Use cases of organizations: create, find, rename, archive."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import INSTALLATION, Once
from alloyd.domain.orgs import store
from alloyd.domain.orgs.model import DEFAULT_SLUG, Organization, check_name, check_slug
from alloyd.errors import bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.ids import new_id

# Runs inside the transaction that archives: the other capabilities end what the organization has.
ArchiveHook = Callable[[Tx, str], None]


class OrgService:
    """The only door to organizations. Creating, listing, renaming and archiving are the operator's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._archive_hooks: list[ArchiveHook] = []

    def on_archive(self, hook: ArchiveHook) -> None:
        """Run ``hook(tx, org_id)`` in each transaction that archives an organization."""
        self._archive_hooks.append(hook)

    async def create(self, slug: str, name: str, once: Once | None = None) -> Organization:
        """Make an organization. A repeat of ``once`` answers with the first one.

        Raises ``bad_request`` (slug, name), ``conflict`` when the slug is taken. Emits ``organization.created``.
        """
        check_slug(slug)
        check_name(name)

        def write(tx: Tx) -> Organization:
            made = idempotency.find_made(tx, INSTALLATION, once)
            if made is not None:
                return _must_find(tx.conn, made)
            org = insert(tx, slug, name)
            idempotency.remember_made(tx, INSTALLATION, once, org.id)
            return org

        return await self._database.write(write)

    async def get(self, org_id: str) -> Organization:
        """The organization of that id, archived ones too. Raises ``not_found``."""
        return await self._database.read(lambda conn: _must_find(conn, org_id))

    async def get_by_name(self, id_or_slug: str) -> Organization:
        """The organization of that id or slug, archived ones too. Raises ``not_found``."""
        return await self._database.read(lambda conn: _must_find(conn, id_or_slug))

    async def find_organization(self, org_id: str) -> str | None:
        """The id itself: an organization belongs to itself. For routes of ``/organizations/{id}``."""
        return org_id

    async def list_of(self, org_ids: Sequence[str]) -> list[Organization]:
        """The organizations of these ids, in their order; one that is not there is left out."""

        def read(conn: sqlite3.Connection) -> list[Organization]:
            found = (store.find(conn, org_id) for org_id in org_ids)
            return [org for org in found if org is not None]

        return await self._database.read(read)

    async def find_default(self) -> Organization | None:
        """Where the operator acts when no organization is named: the one called `default`, else the oldest active."""
        return await self._database.read(_find_default)

    async def get_default(self) -> Organization:
        """:meth:`find_default`; raises ``not_found`` when every organization is archived or none was made."""
        found = await self.find_default()
        if found is None:
            raise not_found("organization")
        return found

    async def count(self) -> int:
        """How many organizations there are; archived ones are not."""
        return await self._database.read(store.count_active)

    async def list_all(self, limit: int, before_id: str | None = None) -> list[Organization]:
        """A page of all organizations, newest first, archived ones too."""
        return await self._database.read(lambda conn: store.list_before(conn, before_id, limit))

    async def rename(self, id_or_slug: str, *, slug: str | None = None, name: str | None = None) -> Organization:
        """Give a new slug, a new name, or both; what holds the id is not touched.

        Raises ``bad_request``, ``not_found``, ``conflict`` (slug taken, or archived). Emits ``organization.renamed``.
        """
        if slug is None and name is None:
            raise bad_request("slug or name: one of them is needed", "slug")
        if slug is not None:
            check_slug(slug)
        if name is not None:
            check_name(name)

        def write(tx: Tx) -> Organization:
            org = _must_find(tx.conn, id_or_slug)
            _refuse_archived(org)
            try:
                store.update_names(tx, org.id, slug or org.slug, name or org.name)
            except sqlite3.IntegrityError:
                raise _slug_taken(slug or org.slug) from None
            renamed = _must_find(tx.conn, org.id)
            payload = {"slug": renamed.slug, "name": renamed.name, "former_slug": org.slug}
            tx.emit(Event(org.id, "organization.renamed", org.id, payload))
            return renamed

        return await self._database.write(write)

    async def archive(self, id_or_slug: str) -> Organization:
        """End an organization for good: its keys stop at once, open streams close, no run starts, those that have not
        ended are cancelled soon after. Rows stay.

        Again on an archived one it changes nothing. Raises ``not_found``. Emits ``organization.archived``.
        """

        def write(tx: Tx) -> Organization:
            org = _must_find(tx.conn, id_or_slug)
            if org.archived:
                return org
            store.archive(tx, org.id)
            tx.emit(Event(org.id, "organization.archived", org.id, {"slug": org.slug}))
            for hook in self._archive_hooks:
                hook(tx, org.id)
            return _must_find(tx.conn, org.id)

        return await self._database.write(write)


def insert(tx: Tx, slug: str, name: str) -> Organization:
    """Write a new organization within a transaction. Raises ``conflict`` when the slug is taken, also by an archived
    one. Emits ``organization.created``."""
    org = Organization(new_id(), slug, name, tx.now, tx.now, None)
    try:
        store.insert(tx, org)
    except sqlite3.IntegrityError:
        raise _slug_taken(slug) from None
    tx.emit(Event(org.id, "organization.created", org.id, {"slug": slug, "name": name}))
    return org


def exists_any(tx: Tx) -> bool:
    """Whether there is an organization at all: an empty directory has none."""
    return store.exists_any(tx.conn)


def get_within(conn: sqlite3.Connection, id_or_slug: str) -> Organization:
    """:meth:`OrgService.get_by_name` for another capability's transaction or read."""
    return _must_find(conn, id_or_slug)


def require_active(tx: Tx, org_id: str) -> None:
    """For what must not begin in an archived organization, whoever asks: runs, keys, members.

    Raises ``not_found`` when there is no such organization, ``conflict`` when it is archived.
    """
    _refuse_archived(_must_find(tx.conn, org_id))


def list_archived(conn: sqlite3.Connection) -> set[str]:
    """Ids of all archived organizations."""
    return store.list_archived(conn)


def _refuse_archived(org: Organization) -> None:
    if org.archived:
        raise conflict("the organization is archived", "organization_id")


def _find_default(conn: sqlite3.Connection) -> Organization | None:
    org = store.find_by_slug(conn, DEFAULT_SLUG)
    return org if org is not None and not org.archived else store.find_oldest_active(conn)


def _must_find(conn: sqlite3.Connection, id_or_slug: str) -> Organization:
    # No slug looks like an id, so at most one of the two can match. Headers may hold what is no text at all.
    org = (store.find(conn, id_or_slug) or store.find_by_slug(conn, id_or_slug)) if id_or_slug.isascii() else None
    if org is None:
        raise not_found("organization")
    return org


def _slug_taken(slug: str) -> Exception:
    return conflict(f"slug: {slug!r} is taken", "slug")
