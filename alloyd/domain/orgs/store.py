"""All SQL of organizations."""

from __future__ import annotations

import sqlite3
from typing import Any

from alloyd.db.tx import Tx
from alloyd.domain.orgs.model import Organization


def insert(tx: Tx, org: Organization) -> None:
    """Write a new organization. Raises sqlite3.IntegrityError when its slug is taken."""
    tx.execute(
        "INSERT INTO organizations (id, slug, name, created_at, updated_at, archived_at) VALUES (?, ?, ?, ?, ?, ?)",
        (org.id, org.slug, org.name, org.created_at, org.updated_at, org.archived_at),
    )


def find(conn: sqlite3.Connection, org_id: str) -> Organization | None:
    """The organization of that id, archived ones too."""
    row = conn.execute(
        "SELECT id, slug, name, created_at, updated_at, archived_at FROM organizations WHERE id = ?", (org_id,)
    ).fetchone()
    return _organization(row)


def find_by_slug(conn: sqlite3.Connection, slug: str) -> Organization | None:
    """The organization of that slug, archived ones too."""
    row = conn.execute(
        "SELECT id, slug, name, created_at, updated_at, archived_at FROM organizations WHERE slug = ?", (slug,)
    ).fetchone()
    return _organization(row)


def find_oldest_active(conn: sqlite3.Connection) -> Organization | None:
    """The first organization that is not archived."""
    row = conn.execute(
        "SELECT id, slug, name, created_at, updated_at, archived_at FROM organizations "
        "WHERE archived_at IS NULL ORDER BY id LIMIT 1"
    ).fetchone()
    return _organization(row)


def exists_any(conn: sqlite3.Connection) -> bool:
    """Whether there is an organization at all, archived ones too."""
    return conn.execute("SELECT 1 FROM organizations LIMIT 1").fetchone() is not None


def count_active(conn: sqlite3.Connection) -> int:
    """How many organizations are not archived."""
    found: int = conn.execute("SELECT count(*) FROM organizations WHERE archived_at IS NULL").fetchone()[0]
    return found


def list_archived(conn: sqlite3.Connection) -> set[str]:
    """Ids of the organizations that are archived."""
    return {row[0] for row in conn.execute("SELECT id FROM organizations WHERE archived_at IS NOT NULL")}


def list_before(conn: sqlite3.Connection, before_id: str | None, limit: int) -> list[Organization]:
    """Organizations with ids below ``before_id`` (None: from the newest), newest first."""
    rows = conn.execute(
        "SELECT id, slug, name, created_at, updated_at, archived_at FROM organizations "
        "WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
        (before_id, limit),
    )
    return [Organization(*row) for row in rows]


def update_names(tx: Tx, org_id: str, slug: str, name: str) -> None:
    """Rename. Raises sqlite3.IntegrityError when the slug is taken."""
    tx.execute("UPDATE organizations SET slug = ?, name = ?, updated_at = ? WHERE id = ?", (slug, name, tx.now, org_id))


def archive(tx: Tx, org_id: str) -> None:
    """Mark as archived now."""
    tx.execute("UPDATE organizations SET archived_at = ?1, updated_at = ?1 WHERE id = ?2", (tx.now, org_id))


def _organization(row: Any) -> Organization | None:
    return None if row is None else Organization(*row)
