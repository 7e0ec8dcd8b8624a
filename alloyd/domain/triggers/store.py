"""All SQL of triggers."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

import msgspec

from alloyd.db import Tx


@dataclass(frozen=True, slots=True)
class StoredTrigger:
    """A trigger's row; ``definition`` as the workflow's definition has it, ``since`` in ms since the epoch."""

    org_id: str
    workflow_id: str
    definition: dict[str, Any]
    since: int


def save(tx: Tx, org_id: str, workflow_id: str, definition: dict[str, Any]) -> int:
    """Let the workflow have this trigger; since when, which stays as it was if the trigger did."""
    encoded = msgspec.json.encode(definition, order="deterministic").decode()
    tx.execute(
        "INSERT INTO workflow_triggers (workflow_id, org_id, definition, since) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (workflow_id) DO UPDATE SET definition = excluded.definition, since = excluded.since "
        "WHERE org_id = excluded.org_id AND definition <> excluded.definition",
        (workflow_id, org_id, encoded, tx.now),
    )
    row = tx.execute(
        "SELECT since FROM workflow_triggers WHERE workflow_id = ? AND org_id = ?", (workflow_id, org_id)
    ).fetchone()
    since: int = row[0]
    return since


def delete(tx: Tx, org_id: str, workflow_id: str) -> None:
    """The workflow has no such trigger any more, or never had."""
    tx.execute("DELETE FROM workflow_triggers WHERE workflow_id = ? AND org_id = ?", (workflow_id, org_id))


def delete_all(tx: Tx, org_id: str) -> None:
    """None of the organization's workflows has one any more."""
    tx.execute("DELETE FROM workflow_triggers WHERE org_id = ?", (org_id,))


def list_all(conn: sqlite3.Connection) -> list[StoredTrigger]:
    """Those of all organizations: the index in memory is made of them at the start."""
    rows = conn.execute("SELECT org_id, workflow_id, definition, since FROM workflow_triggers")
    return [StoredTrigger(row[0], row[1], msgspec.json.decode(row[2]), row[3]) for row in rows]
