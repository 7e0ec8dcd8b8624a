"""All SQL of purges that are under way."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from alloyd.db.tx import Tx


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge that was asked for and is not done: of all runs of the user up to that place in the order of starts."""

    org_id: str
    end_user_id: str
    upto_seq: int


def put_purge(tx: Tx, purge: Purge) -> None:
    """Remember that it was asked for; a further time while one is under way lets it reach as far as is asked now."""
    tx.execute(
        "INSERT INTO end_user_purges (end_user_id, org_id, upto_seq, asked_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (end_user_id) DO UPDATE SET upto_seq = max(upto_seq, excluded.upto_seq)",
        (purge.end_user_id, purge.org_id, purge.upto_seq, tx.now),
    )


def list_purges(conn: sqlite3.Connection) -> list[Purge]:
    """All that are under way, the oldest first. All organizations (org_id): the worker's own."""
    rows = conn.execute("SELECT org_id, end_user_id, upto_seq FROM end_user_purges ORDER BY asked_at, end_user_id")
    return [Purge(*row) for row in rows]


def delete_purge(tx: Tx, purge: Purge) -> bool:
    """It is done; False when it was asked for again meanwhile, and has to reach further."""
    done = tx.execute(
        "DELETE FROM end_user_purges WHERE org_id = ? AND end_user_id = ? AND upto_seq = ?",
        (purge.org_id, purge.end_user_id, purge.upto_seq),
    )
    return done.rowcount == 1
