"""All SQL of end users."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.endusers.model import EndUser


def insert(tx: Tx, user: EndUser) -> None:
    """Write a new end user. Raises sqlite3.IntegrityError when the username is taken in the organization."""
    tx.execute(
        "INSERT INTO end_users (id, org_id, username, full_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
        (user.id, user.org_id, user.username, user.full_name, user.created_at, user.updated_at),
    )


def update(tx: Tx, org_id: str, user_id: str, username: str, full_name: str | None) -> None:
    """Rename. Raises sqlite3.IntegrityError when the username is taken."""
    tx.execute(
        "UPDATE end_users SET username = ?, full_name = ?, updated_at = ? "
        "WHERE org_id = ? AND id = ? AND deleted_at IS NULL",
        (username, full_name, tx.now, org_id, user_id),
    )


def mark_deleted(tx: Tx, org_id: str, user_id: str) -> None:
    """Keep the id, which logs name, and nothing that tells who it was."""
    tx.execute(
        "UPDATE end_users SET username = '', full_name = NULL, updated_at = ?1, deleted_at = ?1 "
        "WHERE org_id = ?2 AND id = ?3 AND deleted_at IS NULL",
        (tx.now, org_id, user_id),
    )


def find(conn: sqlite3.Connection, org_id: str, user_id: str) -> EndUser | None:
    """One of an organization's end users, unless deleted."""
    row = conn.execute(
        "SELECT id, org_id, username, full_name, created_at, updated_at FROM end_users "
        "WHERE org_id = ? AND id = ? AND deleted_at IS NULL",
        (org_id, user_id),
    ).fetchone()
    return None if row is None else EndUser(*row)


def find_by_username(conn: sqlite3.Connection, org_id: str, username: str) -> EndUser | None:
    """The organization's end user of that name, unless deleted."""
    row = conn.execute(
        "SELECT id, org_id, username, full_name, created_at, updated_at FROM end_users "
        "WHERE org_id = ? AND username = ? AND deleted_at IS NULL",
        (org_id, username),
    ).fetchone()
    return None if row is None else EndUser(*row)


def find_org_id(conn: sqlite3.Connection, user_id: str) -> str | None:
    """The organization that an end user belongs to."""
    row = conn.execute("SELECT org_id FROM end_users WHERE id = ? AND deleted_at IS NULL", (user_id,)).fetchone()
    return None if row is None else row[0]


def list_before(
    conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int, part: str | None = None
) -> list[EndUser]:
    """An organization's end users with ids below ``before_id`` (None: from the newest), newest first; with ``part``
    only those in whose username or full name it is, whatever the case of ASCII letters."""
    rows = conn.execute(
        "SELECT id, org_id, username, full_name, created_at, updated_at FROM end_users "
        "WHERE org_id = ?1 AND (?2 IS NULL OR id < ?2) AND deleted_at IS NULL AND (?4 IS NULL "
        "OR instr(lower(username), lower(?4)) > 0 OR instr(lower(full_name), lower(?4)) > 0) "
        "ORDER BY id DESC LIMIT ?3",
        (org_id, before_id, limit, part),
    )
    return [EndUser(*row) for row in rows]


def list_usernames(conn: sqlite3.Connection, org_id: str, user_ids: Sequence[str]) -> dict[str, str]:
    """The names of an organization's end users by their ids; nobody who is deleted."""
    rows = conn.execute(
        "SELECT id, username FROM end_users "
        "WHERE org_id = ? AND id IN (SELECT value FROM json_each(?)) AND deleted_at IS NULL",
        (org_id, msgspec.json.encode(list(user_ids)).decode()),
    )
    return dict(rows.fetchall())


def list_part(conn: sqlite3.Connection, org_id: str, skip: int, limit: int) -> list[EndUser]:
    """An organization's end users behind the ``skip`` newest ones, newest first."""
    rows = conn.execute(
        "SELECT id, org_id, username, full_name, created_at, updated_at FROM end_users "
        "WHERE org_id = ? AND deleted_at IS NULL ORDER BY id DESC LIMIT ? OFFSET ?",
        (org_id, limit, skip),
    )
    return [EndUser(*row) for row in rows]
