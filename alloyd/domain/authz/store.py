"""All SQL of grants."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.authz.model import Effect, StoredGrant, Subject, SubjectKind
from alloyd.principal import Grant, Role


def insert_missing(tx: Tx, grant: StoredGrant) -> bool:
    """Write a new grant, unless there is the same one; whether it was written."""
    cursor = tx.execute(
        "INSERT OR IGNORE INTO grants (id, org_id, principal_kind, principal_id, action, resource_kind, resource_id, "
        "effect, granted_by, granter_role, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            grant.id,
            grant.org_id,
            grant.subject.kind.value,
            grant.subject.id,
            grant.action,
            grant.resource_kind,
            grant.resource_id,
            grant.effect.value,
            grant.granted_by,
            grant.granter_role.value,
            grant.created_at,
        ),
    )
    return cursor.rowcount > 0


def find(conn: sqlite3.Connection, org_id: str, id_: str) -> StoredGrant | None:
    """One of an organization's grants."""
    row = conn.execute(
        "SELECT id, org_id, principal_kind, principal_id, action, resource_kind, resource_id, effect, granted_by, "
        "granter_role, created_at FROM grants WHERE org_id = ? AND id = ?",
        (org_id, id_),
    ).fetchone()
    return None if row is None else _grant(row)


def find_org_id(conn: sqlite3.Connection, id_: str) -> str | None:
    """The organization that a grant belongs to."""
    row = conn.execute("SELECT org_id FROM grants WHERE id = ?", (id_,)).fetchone()
    return None if row is None else row[0]


def list_before(
    conn: sqlite3.Connection, org_id: str, principal_id: str | None, before_id: str | None, limit: int
) -> list[StoredGrant]:
    """An organization's grants, of one principal if named, with ids below ``before_id``, newest first."""
    rows = conn.execute(
        "SELECT id, org_id, principal_kind, principal_id, action, resource_kind, resource_id, effect, granted_by, "
        "granter_role, created_at FROM grants WHERE org_id = ?1 AND (?2 IS NULL OR principal_id = ?2) "
        "AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4",
        (org_id, principal_id, before_id, limit),
    )
    return [_grant(row) for row in rows]


def list_of(conn: sqlite3.Connection, org_id: str, principal_id: str) -> list[StoredGrant]:
    """All grants of one principal in an organization."""
    rows = conn.execute(
        "SELECT id, org_id, principal_kind, principal_id, action, resource_kind, resource_id, effect, granted_by, "
        "granter_role, created_at FROM grants WHERE principal_id = ? AND org_id = ? ORDER BY id",
        (principal_id, org_id),
    )
    return [_grant(row) for row in rows]


def list_carried(conn: sqlite3.Connection, org_ids: Collection[str], principal_id: str) -> list[Grant]:
    """What refines a principal's roles in ``org_ids``."""
    rows = conn.execute(
        "SELECT org_id, action, effect, resource_kind, resource_id FROM grants "
        "WHERE principal_id = ? AND org_id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (principal_id, msgspec.json.encode(sorted(org_ids)).decode()),
    )
    return [Grant(row[0], row[1], row[2] == Effect.ALLOW, row[3], row[4]) for row in rows]


def delete(tx: Tx, org_id: str, id_: str) -> None:
    """Remove one grant."""
    tx.execute("DELETE FROM grants WHERE org_id = ? AND id = ?", (org_id, id_))


def delete_allows(tx: Tx, org_id: str, principal_id: str) -> None:
    """Remove what a principal is allowed beyond the role; denies stay."""
    tx.execute("DELETE FROM grants WHERE org_id = ? AND principal_id = ? AND effect = 'allow'", (org_id, principal_id))


def find_user_role(conn: sqlite3.Connection, org_id: str, user_id: str) -> Role | None:
    """What a user is in an organization, None for who is no member."""
    row = conn.execute("SELECT role FROM memberships WHERE org_id = ? AND user_id = ?", (org_id, user_id)).fetchone()
    return None if row is None else Role(row[0])


def find_key_role(conn: sqlite3.Connection, org_id: str, key_id: str) -> Role | None:
    """The role of an organization's key, None when it has no such key or revoked it."""
    row = conn.execute(
        "SELECT role FROM api_keys WHERE org_id = ? AND id = ? AND revoked_at IS NULL", (org_id, key_id)
    ).fetchone()
    return None if row is None else Role(row[0])


def _grant(row: Any) -> StoredGrant:
    subject = Subject(SubjectKind(row[2]), row[3])
    return StoredGrant(row[0], row[1], subject, row[4], row[5], row[6], Effect(row[7]), row[8], Role(row[9]), row[10])
