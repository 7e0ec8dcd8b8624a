"""Use cases of connectors: those that ship, and an organization's own beside them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Any, Final

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.connectors import store
from alloyd.domain.connectors.catalogue import find_shipped, shipped
from alloyd.domain.connectors.checking import read_definition, unprocessable
from alloyd.domain.connectors.model import DEFINITION_BYTES_MAX, NAME_PATTERN, OWN_PREFIX, Connector, Definition, Fault
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.orgs import service as orgs
from alloyd.errors import AlloydError, Code, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

PER_ORG_MAX: Final = 200
_WHAT: Final = "connector"
_NAME: Final = re.compile(NAME_PATTERN.removesuffix("$") + r"\Z")

# (tx, organization, name): whether anything still holds on to a connector.
InUse = Callable[[Tx, str, str], bool]


class ConnectorService:
    """The only door to connectors."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._in_use: list[InUse] = []

    def ask_before_change(self, in_use: InUse) -> None:
        """Let ``in_use`` say, in the transaction, that a connector may not be deleted nor lead elsewhere."""
        self._in_use.append(in_use)

    async def save(self, principal: Principal, raw: dict[str, Any], once: Once | None = None) -> Connector:
        """Make a connector of the organization, or replace the definition of the one with that name.

        Raises ``unprocessable`` with every fault and its place, ``conflict`` for one that would send credentials to
        another place, and when there are 200. Emits ``connector.created`` or ``connector.updated``.
        """
        if len(msgspec.json.encode(raw)) > DEFINITION_BYTES_MAX:
            raise AlloydError(Code.TOO_LARGE, f"definition: at most {DEFINITION_BYTES_MAX} bytes", field="definition")
        definition = read_definition(raw)
        if not _NAME.match(definition.name):
            told = f"begins with {OWN_PREFIX}, followed by up to 60 of a-z, 0-9 and inner hyphens"
            raise unprocessable([Fault("name", told)])
        org_id = principal.org_id

        def write(tx: Tx) -> Connector:
            made = idempotency.find_made(tx, org_id, once)
            if made is not None:
                return _must_find(tx.conn, org_id, made)
            orgs.require_active(tx, org_id)
            before = store.find(tx.conn, org_id, definition.name)
            if before is None:
                if store.count(tx.conn, org_id) >= PER_ORG_MAX:
                    raise conflict(f"the organization has {PER_ORG_MAX} connectors, the most it may have")
                saved = Connector(new_id(), org_id, definition, tx.now, tx.now)
                store.insert(tx, saved, principal.id)
                kind = "connector.created"
            else:
                saved = Connector(before.id, org_id, definition, before.created_at, tx.now)
                if _leads(before.definition) != _leads(definition):
                    self._refuse_in_use(tx, org_id, definition.name, "lead elsewhere")
                store.update(tx, saved)
                kind = "connector.updated"
            tx.emit(Event(org_id, kind, saved.id, {"name": saved.name, "actions": len(definition.actions)}))
            idempotency.remember_made(tx, org_id, once, saved.id)
            return saved

        return await self._database.write(write)

    async def delete(self, principal: Principal, id_or_name: str) -> Connector:
        """Forget one of the organization's own; what it was.

        Raises ``not_found``, ``conflict`` for one that ships or has credentials. Emits ``connector.deleted``.
        """
        org_id = principal.org_id
        if find_shipped(id_or_name) is not None:
            raise conflict("a connector that comes with alloyd can't be deleted")

        def write(tx: Tx) -> Connector:
            connector = _must_find(tx.conn, org_id, id_or_name)
            self._refuse_in_use(tx, org_id, connector.name, "be deleted")
            store.delete(tx, org_id, connector.id)
            tx.emit(Event(org_id, "connector.deleted", connector.id, {"name": connector.name}))
            return connector

        return await self._database.write(write)

    def _refuse_in_use(self, tx: Tx, org_id: str, name: str, what: str) -> None:
        if any(ask(tx, org_id, name) for ask in self._in_use):
            raise conflict(f"{name} has credentials, so it can't {what}: delete them first", "name")

    async def get(self, principal: Principal, id_or_name: str) -> Connector:
        """One that ships, or one of the organization's own by its id or name. Raises ``not_found``."""
        found = find_shipped(id_or_name)
        if found is not None:
            return found
        return await self._database.read(lambda conn: _must_find(conn, principal.org_id, id_or_name))

    async def list_all(self, principal: Principal) -> list[Connector]:
        """Those that ship, then the organization's own by name."""
        own = await self._database.read(lambda conn: store.list_all(conn, principal.org_id))
        return [*shipped().values(), *own]

    async def find_organization(self, connector_id: str) -> str | None:
        """Whose connector it is; None for those that ship, and for a name."""
        return await self._database.read(lambda conn: store.find_organization(conn, connector_id))


def _leads(definition: Definition) -> tuple[object, ...]:
    """Where a definition sends credentials, and how."""
    return (definition.base_url, definition.auth, definition.settings)


def _must_find(conn: sqlite3.Connection, org_id: str, id_or_name: str) -> Connector:
    found = store.find(conn, org_id, id_or_name)
    if found is None:
        raise not_found(_WHAT)
    return found
