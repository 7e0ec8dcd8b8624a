"""All SQL of teams and their members."""

from __future__ import annotations

import sqlite3
from typing import Any

from alloyd.db.tx import Tx
from alloyd.domain.teams.model import Team, TeamMember, TeamOf, higher
from alloyd.principal import Role, TeamRole


def insert(tx: Tx, team: Team) -> None:
    """Write a new team. Raises sqlite3.IntegrityError when its slug is taken in the organization."""
    tx.execute(
        "INSERT INTO teams (id, org_id, slug, name, created_by, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (team.id, team.org_id, team.slug, team.name, team.created_by, team.created_at, team.updated_at),
    )


def update_names(tx: Tx, org_id: str, team_id: str, slug: str, name: str) -> None:
    """Rename. Raises sqlite3.IntegrityError when the slug is taken."""
    tx.execute(
        "UPDATE teams SET slug = ?, name = ?, updated_at = ? WHERE org_id = ? AND id = ?",
        (slug, name, tx.now, org_id, team_id),
    )


def delete(tx: Tx, org_id: str, team_id: str) -> None:
    """Remove a team with its memberships."""
    tx.execute("DELETE FROM team_members WHERE org_id = ? AND team_id = ?", (org_id, team_id))
    tx.execute("DELETE FROM teams WHERE org_id = ? AND id = ?", (org_id, team_id))


def find(conn: sqlite3.Connection, org_id: str, team_id: str) -> Team | None:
    """One of an organization's teams."""
    row = conn.execute(
        "SELECT id, org_id, slug, name, created_by, created_at, updated_at FROM teams WHERE org_id = ? AND id = ?",
        (org_id, team_id),
    ).fetchone()
    return None if row is None else Team(*row)


def find_org_id(conn: sqlite3.Connection, team_id: str) -> str | None:
    """The organization that a team belongs to."""
    row = conn.execute("SELECT org_id FROM teams WHERE id = ?", (team_id,)).fetchone()
    return None if row is None else row[0]


def count(tx: Tx, org_id: str) -> int:
    """How many teams an organization has."""
    found: int = tx.execute("SELECT count(*) FROM teams WHERE org_id = ?", (org_id,)).fetchone()[0]
    return found


def list_before(conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int) -> list[Team]:
    """An organization's teams with ids below ``before_id`` (None: from the newest), newest first."""
    rows = conn.execute(
        "SELECT id, org_id, slug, name, created_by, created_at, updated_at FROM teams "
        "WHERE org_id = ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
        (org_id, before_id, limit),
    )
    return [Team(*row) for row in rows]


def list_of_user(conn: sqlite3.Connection, user_id: str, before_id: str | None, limit: int) -> list[TeamOf]:
    """The teams a user is in, in every organization of theirs, newest first."""
    rows = conn.execute(
        "SELECT t.id, t.org_id, t.slug, t.name, t.created_by, t.created_at, t.updated_at, m.role, o.role "
        "FROM team_members m JOIN teams t ON t.id = m.team_id AND t.org_id = m.org_id "
        "JOIN memberships o ON o.org_id = m.org_id AND o.user_id = m.user_id "
        "WHERE m.user_id = ?1 AND (?2 IS NULL OR t.id < ?2) ORDER BY t.id DESC LIMIT ?3",
        (user_id, before_id, limit),
    )
    return [TeamOf(Team(*row[:7]), higher(_role(row[7]), Role(row[8]))) for row in rows]


def list_roles(conn: sqlite3.Connection, user_id: str) -> list[TeamRole]:
    """The roles that a user's team memberships carry themselves, in every organization of theirs."""
    rows = conn.execute(
        "SELECT org_id, team_id, role FROM team_members WHERE user_id = ? AND role IS NOT NULL ORDER BY team_id",
        (user_id,),
    )
    return [TeamRole(row[0], row[1], Role(row[2])) for row in rows]


def put_member(tx: Tx, org_id: str, team_id: str, user_id: str, role: Role | None) -> None:
    """Make a user a member of a team, or give the member another role."""
    tx.execute(
        "INSERT INTO team_members (team_id, user_id, org_id, role, created_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (team_id, user_id) DO UPDATE SET role = excluded.role",
        (team_id, user_id, org_id, None if role is None else role.value, tx.now),
    )


def delete_member(tx: Tx, org_id: str, team_id: str, user_id: str) -> None:
    """Take a user out of a team."""
    tx.execute("DELETE FROM team_members WHERE org_id = ? AND team_id = ? AND user_id = ?", (org_id, team_id, user_id))


def delete_all_of(tx: Tx, org_id: str, user_id: str) -> None:
    """Take a user out of all of an organization's teams."""
    tx.execute("DELETE FROM team_members WHERE org_id = ? AND user_id = ?", (org_id, user_id))


def count_members(tx: Tx, org_id: str, team_id: str) -> int:
    """How many members a team has."""
    found: int = tx.execute(
        "SELECT count(*) FROM team_members WHERE org_id = ? AND team_id = ?", (org_id, team_id)
    ).fetchone()[0]
    return found


def find_member(conn: sqlite3.Connection, org_id: str, team_id: str, user_id: str) -> TeamMember | None:
    """One member of a team."""
    row = conn.execute(
        "SELECT m.team_id, m.user_id, m.org_id, m.role, o.role, u.email, u.display_name, m.created_at "
        "FROM team_members m JOIN memberships o ON o.org_id = m.org_id AND o.user_id = m.user_id "
        "JOIN users u ON u.id = m.user_id WHERE m.org_id = ? AND m.team_id = ? AND m.user_id = ?",
        (org_id, team_id, user_id),
    ).fetchone()
    return None if row is None else _member(row)


def list_members(
    conn: sqlite3.Connection, org_id: str, team_id: str, before_id: str | None, limit: int
) -> list[TeamMember]:
    """A team's members with user ids below ``before_id`` (None: from the newest user), newest first."""
    rows = conn.execute(
        "SELECT m.team_id, m.user_id, m.org_id, m.role, o.role, u.email, u.display_name, m.created_at "
        "FROM team_members m JOIN memberships o ON o.org_id = m.org_id AND o.user_id = m.user_id "
        "JOIN users u ON u.id = m.user_id "
        "WHERE m.org_id = ?1 AND m.team_id = ?2 AND (?3 IS NULL OR m.user_id < ?3) ORDER BY m.user_id DESC LIMIT ?4",
        (org_id, team_id, before_id, limit),
    )
    return [_member(row) for row in rows]


def list_user_ids(tx: Tx, org_id: str, team_id: str) -> list[str]:
    """The users in a team."""
    rows = tx.execute("SELECT user_id FROM team_members WHERE org_id = ? AND team_id = ?", (org_id, team_id))
    return [row[0] for row in rows]


def find_org_role(conn: sqlite3.Connection, org_id: str, user_id: str) -> Role | None:
    """What a user is in an organization, None for who is no member."""
    row = conn.execute("SELECT role FROM memberships WHERE org_id = ? AND user_id = ?", (org_id, user_id)).fetchone()
    return None if row is None else Role(row[0])


def _role(value: str | None) -> Role | None:
    return None if value is None else Role(value)


def _member(row: Any) -> TeamMember:
    return TeamMember(row[0], row[1], row[2], _role(row[3]), Role(row[4]), row[5], row[6], row[7])
