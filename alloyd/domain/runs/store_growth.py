"""All SQL of steps that runs have grown."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.runs.model import ENCODER, GrownRow


def insert(tx: Tx, org_id: str, run_id: str, rows: Sequence[GrownRow]) -> None:
    """Write what a turn has grown; the run has so many steps more."""
    tx.execute_rows(
        "INSERT INTO grown_steps (run_id, key, org_id, parent, position, operation, config) VALUES",
        "",
        [
            (run_id, row.key, org_id, row.parent, row.position, row.operation, ENCODER.encode(row.config).decode())
            for row in rows
        ],
    )
    tx.execute("UPDATE runs SET steps_total = steps_total + ? WHERE id = ? AND org_id = ?", (len(rows), run_id, org_id))


def list_rows(conn: sqlite3.Connection, org_id: str, run_id: str) -> list[GrownRow]:
    """What a run has grown, in the order in which it did."""
    rows = conn.execute(
        "SELECT key, parent, position, operation, config FROM grown_steps WHERE run_id = ? AND org_id = ? "
        "ORDER BY position",
        (run_id, org_id),
    )
    return [
        GrownRow(key, parent, position, operation, msgspec.json.decode(config))
        for key, parent, position, operation, config in rows
    ]


def delete(tx: Tx, org_id: str, run_id: str) -> int:
    """Forget what a deleted run had grown; how many rows there were."""
    return tx.execute("DELETE FROM grown_steps WHERE run_id = ? AND org_id = ?", (run_id, org_id)).rowcount
