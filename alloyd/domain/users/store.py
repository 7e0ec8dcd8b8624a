"""All SQL of users and memberships."""

from __future__ import annotations

import sqlite3
from typing import Any

from alloyd.db.tx import Tx
from alloyd.domain.users.model import Member, Membership, User
from alloyd.principal import Role, Standing


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


def exists_any(conn: sqlite3.Connection) -> bool:
    """Whether there is any user, disabled ones too."""
    return conn.execute("SELECT 1 FROM users LIMIT 1").fetchone() is not None


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


def list_standings(conn: sqlite3.Connection, user_id: str) -> list[Standing]:
    """What a user is in organizations that are not archived, the oldest membership first."""
    rows = conn.execute(
        "SELECT m.org_id, m.role FROM memberships m JOIN organizations o ON o.id = m.org_id "
        "WHERE m.user_id = ? AND o.archived_at IS NULL ORDER BY m.created_at, m.org_id",
        (user_id,),
    )
    return [Standing(row[0], Role(row[1])) for row in rows]


def find_membership(conn: sqlite3.Connection, org_id: str, user_id: str) -> Membership | None:
    """A user's standing in one organization."""
    row = conn.execute("SELECT role FROM memberships WHERE org_id = ? AND user_id = ?", (org_id, user_id)).fetchone()
    return None if row is None else Membership(org_id, user_id, Role(row[0]))


def find_member(conn: sqlite3.Connection, org_id: str, user_id: str) -> Member | None:
    """One of an organization's members."""
    row = conn.execute(
        "SELECT m.user_id, u.email, u.display_name, m.role, m.created_at, u.disabled_at "
        "FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.org_id = ? AND m.user_id = ?",
        (org_id, user_id),
    ).fetchone()
    return None if row is None else _member(row)


def list_members(conn: sqlite3.Connection, org_id: str, after: tuple[int, str] | None, limit: int) -> list[Member]:
    """An organization's members behind ``after``, (joined_at, user id) (None: from the last to join), newest first."""
    joined_at, user_id = after or (2**63 - 1, "")
    rows = conn.execute(
        "SELECT m.user_id, u.email, u.display_name, m.role, m.created_at, u.disabled_at "
        "FROM memberships m JOIN users u ON u.id = m.user_id "
        "WHERE m.org_id = ?1 AND (m.created_at, m.user_id) < (?2, ?3) "
        "ORDER BY m.created_at DESC, m.user_id DESC LIMIT ?4",
        (org_id, joined_at, user_id, limit),
    )
    return [_member(row) for row in rows]


def list_member_ids(tx: Tx, org_id: str) -> list[str]:
    """The ids of all of an organization's members."""
    return [row[0] for row in tx.execute("SELECT user_id FROM memberships WHERE org_id = ?", (org_id,))]


def count_memberships(tx: Tx, user_id: str, limit: int) -> int:
    """How many organizations a user belongs to; counting stops at ``limit``."""
    row = tx.execute(
        "SELECT count(*) FROM (SELECT 1 FROM memberships WHERE user_id = ? LIMIT ?)", (user_id, limit)
    ).fetchone()
    count: int = row[0]
    return count


def has_other_owner(tx: Tx, org_id: str, user_id: str) -> bool:
    """Whether an organization has an owner besides that user, one who is not disabled."""
    row = tx.execute(
        "SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id "
        "WHERE m.org_id = ? AND m.role = ? AND m.user_id <> ? AND u.disabled_at IS NULL LIMIT 1",
        (org_id, Role.OWNER.value, user_id),
    ).fetchone()
    return row is not None


def update_role(tx: Tx, org_id: str, user_id: str, role: Role) -> None:
    """Give a member another role."""
    tx.execute("UPDATE memberships SET role = ? WHERE org_id = ? AND user_id = ?", (role.value, org_id, user_id))


def delete_membership(tx: Tx, org_id: str, user_id: str) -> None:
    """A user is no member any more."""
    tx.execute("DELETE FROM memberships WHERE org_id = ? AND user_id = ?", (org_id, user_id))


def find_password(conn: sqlite3.Connection, email: str) -> tuple[str, str | None] | None:
    """The id and the password's hash of the user with that folded e-mail, disabled ones too."""
    row = conn.execute("SELECT id, password_hash FROM users WHERE email = ?", (email,)).fetchone()
    return None if row is None else (row[0], row[1])


def find_epoch(conn: sqlite3.Connection, user_id: str) -> int:
    """How often a user's sign-ins were ended so far; the user is there."""
    epoch: int = conn.execute("SELECT session_epoch FROM users WHERE id = ?", (user_id,)).fetchone()[0]
    return epoch


def begin_epoch(tx: Tx, user_id: str) -> None:
    """End all that a user is signed in with."""
    tx.execute("UPDATE users SET session_epoch = session_epoch + 1 WHERE id = ?", (user_id,))


def update_password(tx: Tx, user_id: str, password_hash: str) -> None:
    """Replace the password's hash."""
    tx.execute("UPDATE users SET password_hash = ?, updated_at = ? WHERE id = ?", (password_hash, tx.now, user_id))


def disable(tx: Tx, user_id: str) -> None:
    """Mark as disabled now."""
    tx.execute("UPDATE users SET disabled_at = ?1, updated_at = ?1 WHERE id = ?2", (tx.now, user_id))


def _user(row: Any) -> User:
    return User(row[0], row[1], row[2], bool(row[3]), row[4], row[5], row[6])


def _member(row: Any) -> Member:
    return Member(row[0], row[1], row[2], Role(row[3]), row[4], row[5] is not None)
