"""All SQL of users and memberships."""

from __future__ import annotations

import sqlite3
from typing import Any

from alloyd.db.tx import Tx
from alloyd.domain.users.model import Membership, User
from alloyd.principal import Role


def insert(tx: Tx, user: User, password_hash: str) -> None:
    """Write a new user. Raises sqlite3.IntegrityError when the e-mail is taken."""
    tx.execute(
        "INSERT INTO users (id, email, display_name, password_hash, platform_admin, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (user.id, user.email, user.display_name, password_hash, user.platform_admin, user.created_at, user.updated_at),
    )


def insert_membership(tx: Tx, membership: Membership) -> None:
    """Make a user a member."""
    tx.execute(
        "INSERT INTO memberships (org_id, user_id, role, created_at) VALUES (?, ?, ?, ?)",
        (membership.org_id, membership.user_id, membership.role.value, tx.now),
    )


def find(conn: sqlite3.Connection, user_id: str) -> User | None:
    """The user of that id, disabled ones too."""
    row = conn.execute(
        "SELECT id, email, display_name, platform_admin, created_at, updated_at, disabled_at FROM users WHERE id = ?",
        (user_id,),
    ).fetchone()
    return None if row is None else _user(row)


def find_by_email(conn: sqlite3.Connection, email: str) -> User | None:
    """The user of that folded e-mail, disabled ones too."""
    row = conn.execute(
        "SELECT id, email, display_name, platform_admin, created_at, updated_at, disabled_at FROM users "
        "WHERE email = ?",
        (email,),
    ).fetchone()
    return None if row is None else _user(row)


def list_before(conn: sqlite3.Connection, before_id: str | None, limit: int) -> list[User]:
    """Users with ids below ``before_id`` (None: from the newest), newest first."""
    rows = conn.execute(
        "SELECT id, email, display_name, platform_admin, created_at, updated_at, disabled_at FROM users "
        "WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
        (before_id, limit),
    )
    return [_user(row) for row in rows]


def list_of_org(conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int) -> list[User]:
    """An organization's members with ids below ``before_id`` (None: from the newest), newest first."""
    rows = conn.execute(
        "SELECT u.id, u.email, u.display_name, u.platform_admin, u.created_at, u.updated_at, u.disabled_at "
        "FROM memberships m JOIN users u ON u.id = m.user_id "
        "WHERE m.org_id = ?1 AND (?2 IS NULL OR m.user_id < ?2) ORDER BY m.user_id DESC LIMIT ?3",
        (org_id, before_id, limit),
    )
    return [_user(row) for row in rows]


def list_memberships(conn: sqlite3.Connection, user_id: str) -> list[Membership]:
    """Where a user is a member."""
    rows = conn.execute("SELECT org_id, user_id, role FROM memberships WHERE user_id = ? ORDER BY org_id", (user_id,))
    return [Membership(row[0], row[1], Role(row[2])) for row in rows]


def update_password(tx: Tx, user_id: str, password_hash: str) -> None:
    """Replace the password's hash."""
    tx.execute("UPDATE users SET password_hash = ?, updated_at = ? WHERE id = ?", (password_hash, tx.now, user_id))


def disable(tx: Tx, user_id: str) -> None:
    """Mark as disabled now."""
    tx.execute("UPDATE users SET disabled_at = ?1, updated_at = ?1 WHERE id = ?2", (tx.now, user_id))


def _user(row: Any) -> User:
    return User(row[0], row[1], row[2], bool(row[3]), row[4], row[5], row[6])
