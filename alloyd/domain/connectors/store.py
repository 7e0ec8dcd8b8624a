"""All SQL of organizations' connectors."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.connectors.model import Connector, Definition

_CONNECTOR = "SELECT id, org_id, definition, created_at, updated_at FROM connectors "
_DEFINITION = msgspec.json.Decoder(Definition)


def insert(tx: Tx, connector: Connector, created_by: str) -> None:
    """A new connector."""
    tx.execute(
        "INSERT INTO connectors (id, org_id, name, definition, created_by, created_at, updated_at) "
        "VALUES (?, ?, ?, CAST(? AS TEXT), ?, ?, ?)",
        (
            connector.id,
            connector.org_id,
            connector.name,
            msgspec.json.encode(connector.definition),
            created_by,
            connector.created_at,
            connector.updated_at,
        ),
    )


def update(tx: Tx, connector: Connector) -> None:
    """Write another definition under the same name."""
    tx.execute(
        "UPDATE connectors SET definition = CAST(? AS TEXT), updated_at = ? WHERE id = ? AND org_id = ?",
        (msgspec.json.encode(connector.definition), connector.updated_at, connector.id, connector.org_id),
    )


def delete(tx: Tx, org_id: str, connector_id: str) -> None:
    """Forget a connector."""
    tx.execute("DELETE FROM connectors WHERE id = ? AND org_id = ?", (connector_id, org_id))


def count(conn: sqlite3.Connection, org_id: str) -> int:
    """How many an organization has of its own."""
    found: int = conn.execute("SELECT count(*) FROM connectors WHERE org_id = ?", (org_id,)).fetchone()[0]
    return found


def find(conn: sqlite3.Connection, org_id: str, id_or_name: str) -> Connector | None:
    """The organization's connector of that id or name."""
    row = conn.execute(_CONNECTOR + "WHERE id = ? AND org_id = ?", (id_or_name, org_id)).fetchone()
    if row is None:
        row = conn.execute(_CONNECTOR + "WHERE org_id = ? AND name = ?", (org_id, id_or_name)).fetchone()
    return None if row is None else _connector(row)


def list_all(conn: sqlite3.Connection, org_id: str) -> list[Connector]:
    """The organization's own connectors by name; there are few."""
    return [_connector(row) for row in conn.execute(_CONNECTOR + "WHERE org_id = ? ORDER BY name", (org_id,))]


def find_organization(conn: sqlite3.Connection, connector_id: str) -> str | None:
    """Whose connector it is."""
    row = conn.execute("SELECT org_id FROM connectors WHERE id = ?", (connector_id,)).fetchone()
    return None if row is None else str(row[0])


def _connector(row: tuple[Any, ...]) -> Connector:
    return Connector(row[0], row[1], _DEFINITION.decode(row[2]), row[3], row[4])
