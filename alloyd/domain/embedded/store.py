"""All SQL of purges that are under way, and of uninstalled workflows whose runs are to be cancelled."""

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


def list_purges_of(conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int) -> list[tuple[str, int]]:
    """Of an organization: whose purges are under way, with ids below ``before_id``, and when each was asked for."""
    rows = conn.execute(
        "SELECT end_user_id, asked_at FROM end_user_purges "
        "WHERE org_id = ?1 AND (?2 IS NULL OR end_user_id < ?2) ORDER BY end_user_id DESC LIMIT ?3",
        (org_id, before_id, limit),
    )
    return [(row[0], row[1]) for row in rows]


def delete_purge(tx: Tx, purge: Purge) -> bool:
    """It is done; False when it was asked for again meanwhile, and has to reach further."""
    done = tx.execute(
        "DELETE FROM end_user_purges WHERE org_id = ? AND end_user_id = ? AND upto_seq = ?",
        (purge.org_id, purge.end_user_id, purge.upto_seq),
    )
    return done.rowcount == 1


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """A workflow was taken from an end user: of its runs, those up to that place in the order of starts are to end."""

    org_id: str
    end_user_id: str
    workflow_id: str
    upto_seq: int


def put_uninstalled(tx: Tx, one: Uninstalled) -> None:
    """Remember that runs are to end; when it is installed and uninstalled again meanwhile, the later ones too."""
    tx.execute(
        "INSERT INTO uninstalled_workflows (org_id, end_user_id, workflow_id, upto_seq, since) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (org_id, end_user_id, workflow_id) DO UPDATE SET upto_seq = max(upto_seq, excluded.upto_seq)",
        (one.org_id, one.end_user_id, one.workflow_id, one.upto_seq, tx.now),
    )


def list_uninstalled(conn: sqlite3.Connection, after: Uninstalled | None, limit: int) -> list[Uninstalled]:
    """Those behind ``after`` by their ids. All organizations (org_id): the worker's own."""
    key = ("", "", "") if after is None else (after.org_id, after.end_user_id, after.workflow_id)
    rows = conn.execute(
        "SELECT org_id, end_user_id, workflow_id, upto_seq FROM uninstalled_workflows "
        "WHERE (org_id, end_user_id, workflow_id) > (?, ?, ?) ORDER BY org_id, end_user_id, workflow_id LIMIT ?",
        (*key, limit),
    )
    return [Uninstalled(*row) for row in rows]


def delete_uninstalled(tx: Tx, one: Uninstalled) -> bool:
    """It is done; False when later runs are to end as well by now."""
    done = tx.execute(
        "DELETE FROM uninstalled_workflows WHERE org_id = ? AND end_user_id = ? AND workflow_id = ? AND upto_seq = ?",
        (one.org_id, one.end_user_id, one.workflow_id, one.upto_seq),
    )
    return done.rowcount == 1
