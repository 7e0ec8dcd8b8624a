"""Use cases of credentials: make, list, change, delete; never show. What they hold is sealed and bound to its place."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.db import Database, Tx
from alloyd.domain.connectors.model import Connector
from alloyd.domain.connectors.request import check_settings
from alloyd.domain.connectors.service import ConnectorService
from alloyd.domain.credentials import store
from alloyd.domain.credentials.model import (
    OK,
    ChangeCredential,
    CreateCredential,
    Credential,
    CredentialFilter,
    CredentialSettings,
    check_data,
    check_end_user_id,
    check_label,
    seal_about,
)
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.orgs import service as orgs
from alloyd.errors import AlloydError, Code, bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.kit.crypto import Sealer
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

_WHAT: Final = "credential"
_DATA: Final = msgspec.json.Decoder(dict[str, Any])


class CredentialService:
    """The only door to credentials."""

    def __init__(
        self,
        database: Database,
        connectors: ConnectorService,
        sealer: Sealer,
        clock: Clock,
        settings: CredentialSettings | None = None,
    ) -> None:
        self.database = database
        self.connectors = connectors
        self.sealer = sealer
        self.clock = clock
        self.settings = settings or CredentialSettings()
        self._used_at: dict[str, int] = {}
        connectors.ask_before_change(lambda tx, org_id, name: store.exists_for(tx.conn, org_id, name))

    # -- making and changing ---------------------------------------------------------------------------------------

    async def create(self, principal: Principal, new: CreateCredential, once: Once | None = None) -> Credential:
        """Make a credential, of the organization or of one end user.

        Raises ``bad_request`` (connector, kind, data, settings, label, end_user_id), ``conflict`` for a label that is
        taken, an archived organization and too many. Emits ``credential.created``.
        """
        try:
            connector = await self.connectors.get(principal, new.connector)
        except AlloydError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            raise bad_request(f"connector: there is no connector {new.connector!r}", "connector") from None
        require_kind(connector, new.kind)
        data = check_data(new.kind, new.data)
        settings = check_settings(connector.definition, new.settings)
        if new.kind != "oauth2" and new.expires_at is not None:
            raise bad_request("expires_at: only oauth2 has one", "expires_at")
        one = self.make(
            principal,
            connector.name,
            new.kind,
            data,
            label=connector.definition.title if new.label is None else new.label,
            settings=settings,
            end_user_id=new.end_user_id,
            expires_at=new.expires_at,
        )
        return await self.database.write(lambda tx: self.insert(tx, one, once))

    def make(
        self,
        principal: Principal,
        connector: str,
        kind: str,
        data: Mapping[str, Any],
        *,
        label: str,
        settings: dict[str, str],
        end_user_id: str | None,
        expires_at: int | None,
    ) -> Credential:
        """A credential that is in no database yet; :meth:`insert` has to follow without a pause, or a change of the
        key could pass it by."""
        credential_id, org_id = new_id(), principal.org_id
        now = self.clock.now_ms()
        return Credential(
            id=credential_id,
            org_id=org_id,
            end_user_id=check_end_user_id(end_user_id),
            connector=connector,
            kind=kind,
            label=check_label(label),
            settings=settings,
            data=self.sealer.seal(msgspec.json.encode(data), seal_about(org_id, credential_id)),
            key_id=self.sealer.key_id,
            version=1,
            status=OK,
            fault=None,
            expires_at=expires_at,
            refreshable=can_refresh(data),
            last_used_at=None,
            created_by=principal.id,
            created_at=now,
            updated_at=now,
        )

    def insert(self, tx: Tx, one: Credential, once: Once | None = None) -> Credential:
        """Store a new credential within a transaction. Raises and emits as :meth:`create`."""
        made = idempotency.find_made(tx, one.org_id, once)
        if made is not None:
            return must_find(tx.conn, one.org_id, made)
        orgs.require_active(tx, one.org_id)
        if store.count(tx.conn, one.org_id) >= self.settings.per_org_max:
            raise conflict(f"the organization has {self.settings.per_org_max} credentials, the most it may have")
        _refuse_taken_label(tx, one)
        store.insert(tx, one)
        tell(tx, one, "credential.created")
        idempotency.remember_made(tx, one.org_id, once, one.id)
        return one

    async def update(self, principal: Principal, credential_id: str, change: ChangeCredential) -> Credential:
        """Change what ``change`` names; new data takes the place of all before.

        Raises ``not_found``, ``bad_request``, ``conflict``. Emits ``credential.updated``.
        """
        before = await self.get(principal, credential_id)
        connector = await self.connectors.get(principal, before.connector)
        after = before
        if not isinstance(change.label, UnsetType):
            after = replace(after, label=check_label(change.label))
        if not isinstance(change.settings, UnsetType):
            after = replace(after, settings=check_settings(connector.definition, change.settings))
            if after.settings != before.settings and isinstance(change.data, UnsetType):
                # A secret must not follow a setting to another host by the hand of one who never knew it.
                raise bad_request("settings: give data as well, for it goes where the settings say", "settings")
        if not isinstance(change.data, UnsetType):
            data = check_data(before.kind, change.data)
            sealed = self.sealer.seal(msgspec.json.encode(data), seal_about(before.org_id, before.id))
            after = replace(after, data=sealed, key_id=self.sealer.key_id, refreshable=can_refresh(data))
            after = replace(after, status=OK, fault=None, expires_at=None)
        if not isinstance(change.expires_at, UnsetType):
            if before.kind != "oauth2":
                raise bad_request("expires_at: only oauth2 has one", "expires_at")
            after = replace(after, expires_at=change.expires_at)
        changed = [name for name in ("label", "settings", "data", "expires_at") if getattr(change, name) is not UNSET]
        after = replace(after, version=before.version + 1)

        def write(tx: Tx) -> Credential:
            if after.label != before.label:
                _refuse_taken_label(tx, after)
            stored = replace(after, updated_at=tx.now)
            if not store.update(tx, stored, before.version, with_data="data" in changed):
                must_find(tx.conn, before.org_id, before.id)
                raise conflict("the credential was changed meanwhile; try again")
            tell(tx, stored, "credential.updated", changed=changed)
            return stored

        return await self.database.write(write)

    async def delete(self, principal: Principal, credential_id: str) -> None:
        """Forget a credential. Raises ``not_found``. Emits ``credential.deleted``."""
        org_id = principal.org_id

        def write(tx: Tx) -> None:
            one = must_find(tx.conn, org_id, credential_id)
            store.delete(tx, org_id, credential_id)
            tell(tx, one, "credential.deleted")

        await self.database.write(write)
        self._used_at.pop(credential_id, None)

    def end_of_end_user(self, tx: Tx, org_id: str, end_user_id: str) -> None:
        """In the transaction that deletes an end user: forget their credentials. Emits ``credential.deleted``."""
        for credential_id in store.delete_of_end_user(tx, org_id, end_user_id):
            tx.emit(Event(org_id, "credential.deleted", credential_id, {}))

    # -- showing ---------------------------------------------------------------------------------------------------

    async def get(self, principal: Principal, credential_id: str) -> Credential:
        """One credential. Raises ``not_found``."""
        return await self.database.read(lambda conn: must_find(conn, principal.org_id, credential_id))

    async def list_page(
        self, principal: Principal, wanted: CredentialFilter, before_id: str | None, limit: int
    ) -> list[Credential]:
        """A page of the organization's credentials and its end users', newest first."""
        org_id = principal.org_id
        return await self.database.read(lambda conn: store.list_before(conn, org_id, wanted, before_id, limit))

    async def find_organization(self, credential_id: str) -> str | None:
        """Whose credential it is."""
        return await self.database.read(lambda conn: store.find_organization(conn, credential_id))

    # -- using -----------------------------------------------------------------------------------------------------

    async def choose(
        self, principal: Principal, connector: str, named: str | None, end_user_id: str | None
    ) -> Credential:
        """The credential that a run uses: the one named by id or label, else the end user's for the connector, else
        the organization's only one. Another end user's is never found.

        Raises ``not_found``, and ``conflict`` when there are several and none is named.
        """
        org_id = principal.org_id

        def read(conn: sqlite3.Connection) -> list[Credential]:
            if named is None:
                own = [] if end_user_id is None else store.list_for(conn, org_id, connector, end_user_id)
                return own or store.list_for(conn, org_id, connector, None)
            by_id = store.find(conn, org_id, named)
            if by_id is not None:
                return [by_id] if by_id.end_user_id in (None, end_user_id) else []
            for owner in dict.fromkeys((end_user_id, None)):
                found = store.find_by_label(conn, org_id, owner, named)
                if found is not None:
                    return [found]
            return []

        found = [one for one in await self.database.read(read) if one.connector == connector]
        if not found:
            raise not_found("credential" if named is not None else f"credential for {connector}")
        if len(found) > 1:
            raise conflict(f"there are several credentials for {connector}: name one by its id or label", "credential")
        return found[0]

    def open(self, one: Credential) -> dict[str, Any]:
        """What a credential holds, in the clear: for requests, never for anybody's eyes."""
        return _DATA.decode(self.sealer.unseal(one.data, seal_about(one.org_id, one.id)))

    def note_used(self, one: Credential) -> None:
        """Remember that it was used; written once in a while."""
        now = self.clock.now_ms()
        if now - self._used_at.get(one.id, one.last_used_at or 0) < self.settings.used_every_ms:
            return
        if len(self._used_at) >= self.settings.per_org_max:
            self._used_at.clear()
        self._used_at[one.id] = now
        org_id, credential_id = one.org_id, one.id
        written = self.database.submit(lambda tx: store.set_used(tx, org_id, credential_id))
        written.add_done_callback(lambda done: done.cancelled() or done.exception())


def require_kind(connector: Connector, kind: str) -> None:
    """Raises ``bad_request`` unless the connector knows that way."""
    if connector.definition.find_auth(kind) is None:
        known = ", ".join(auth.kind for auth in connector.definition.auth)
        raise bad_request(f"kind: {connector.name} takes {known}", "kind")


def can_refresh(data: Mapping[str, Any]) -> bool:
    """Whether ``data`` has what gets a new access token."""
    return bool(data.get("refresh_token")) and bool(data.get("client_id"))


def must_find(conn: sqlite3.Connection, org_id: str, credential_id: str) -> Credential:
    """The organization's credential of that id. Raises ``not_found``."""
    found = store.find(conn, org_id, credential_id)
    if found is None:
        raise not_found(_WHAT)
    return found


def tell(tx: Tx, one: Credential, kind: str, **more: object) -> None:
    """Emit an event about a credential; it holds nothing that is secret."""
    payload: dict[str, Any] = {"connector": one.connector, "kind": one.kind, "label": one.label, **more}
    if one.end_user_id is not None:
        payload["end_user_id"] = one.end_user_id
    tx.emit(Event(one.org_id, kind, one.id, payload))


def _refuse_taken_label(tx: Tx, one: Credential) -> None:
    if store.find_by_label(tx.conn, one.org_id, one.end_user_id, one.label) is not None:
        raise conflict(f"label: there is a credential {one.label!r} already", "label")
