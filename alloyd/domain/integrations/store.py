"""All SQL of integrations and installations."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.integrations.model import (
    Installation,
    InstallationFilter,
    Integration,
    OfferedIntegration,
    Spread,
)

# -- integrations ------------------------------------------------------------------------------------------------


def insert(tx: Tx, integration: Integration) -> None:
    """Write a new integration. Raises sqlite3.IntegrityError when its slug is taken in the organization."""
    tx.execute(
        "INSERT INTO integrations "
        "(org_id, slug, name, category, icon_url, description, created_by, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            integration.org_id,
            integration.slug,
            integration.name,
            integration.category,
            integration.icon_url,
            integration.description,
            integration.created_by,
            integration.created_at,
            integration.updated_at,
        ),
    )


def update(tx: Tx, integration: Integration) -> None:
    """Write what may change of an integration."""
    tx.execute(
        "UPDATE integrations SET name = ?, category = ?, icon_url = ?, description = ?, updated_at = ? "
        "WHERE org_id = ? AND slug = ?",
        (
            integration.name,
            integration.category,
            integration.icon_url,
            integration.description,
            integration.updated_at,
            integration.org_id,
            integration.slug,
        ),
    )


def delete(tx: Tx, org_id: str, slug: str) -> None:
    """Remove an integration, not its workflows."""
    tx.execute("DELETE FROM integration_workflows WHERE org_id = ? AND slug = ?", (org_id, slug))
    tx.execute("DELETE FROM integrations WHERE org_id = ? AND slug = ?", (org_id, slug))


def find(conn: sqlite3.Connection, org_id: str, slug: str) -> Integration | None:
    """One of an organization's integrations."""
    row = conn.execute(
        "SELECT org_id, slug, name, category, icon_url, description, created_by, created_at, updated_at "
        "FROM integrations WHERE org_id = ? AND slug = ?",
        (org_id, slug),
    ).fetchone()
    return None if row is None else Integration(*row)


def list_org_ids(conn: sqlite3.Connection, slug: str) -> list[str]:
    """Two, or fewer, of the organizations that have an integration of that slug."""
    rows = conn.execute("SELECT org_id FROM integrations WHERE slug = ? LIMIT 2", (slug,))
    return [row[0] for row in rows]


def count(tx: Tx, org_id: str) -> int:
    """How many integrations an organization has."""
    found: int = tx.execute("SELECT count(*) FROM integrations WHERE org_id = ?", (org_id,)).fetchone()[0]
    return found


def list_before(conn: sqlite3.Connection, org_id: str, before: tuple[int, str] | None, limit: int) -> list[Integration]:
    """An organization's integrations, newest first, from behind the one of that time and slug."""
    created_at, slug = before or (None, None)
    rows = conn.execute(
        "SELECT org_id, slug, name, category, icon_url, description, created_by, created_at, updated_at "
        "FROM integrations WHERE org_id = ?1 AND (?2 IS NULL OR (created_at, slug) < (?2, ?3)) "
        "ORDER BY created_at DESC, slug DESC LIMIT ?4",
        (org_id, created_at, slug, limit),
    )
    return [Integration(*row) for row in rows]


def list_offered(conn: sqlite3.Connection, org_id: str, end_user_id: str) -> list[OfferedIntegration]:
    """All integrations of an organization by name, each with whether that end user has installed any of it."""
    rows = conn.execute(
        "SELECT i.org_id, i.slug, i.name, i.category, i.icon_url, i.description, i.created_by, i.created_at, "
        "i.updated_at, EXISTS (SELECT 1 FROM integration_workflows w JOIN installations n "
        "ON n.org_id = w.org_id AND n.workflow_id = w.workflow_id AND n.end_user_id = ?2 "
        "WHERE w.org_id = i.org_id AND w.slug = i.slug) "
        "FROM integrations i WHERE i.org_id = ?1 ORDER BY i.name, i.slug",
        (org_id, end_user_id),
    )
    return [OfferedIntegration(Integration(*row[:9]), bool(row[9])) for row in rows]


def put_workflow(tx: Tx, org_id: str, slug: str, workflow_id: str) -> bool:
    """Put a workflow into an integration; whether it was not in it before."""
    changed = tx.execute(
        "INSERT INTO integration_workflows (org_id, slug, workflow_id, created_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (org_id, slug, workflow_id, tx.now),
    )
    return changed.rowcount == 1


def delete_workflow(tx: Tx, org_id: str, slug: str, workflow_id: str) -> bool:
    """Take a workflow out of an integration; whether it was in it."""
    changed = tx.execute(
        "DELETE FROM integration_workflows WHERE org_id = ? AND slug = ? AND workflow_id = ?",
        (org_id, slug, workflow_id),
    )
    return changed.rowcount == 1


def delete_workflow_everywhere(tx: Tx, org_id: str, workflow_id: str) -> None:
    """Take a workflow out of all integrations."""
    tx.execute("DELETE FROM integration_workflows WHERE org_id = ? AND workflow_id = ?", (org_id, workflow_id))


def find_workflow_added_at(conn: sqlite3.Connection, org_id: str, slug: str, workflow_id: str) -> int | None:
    """When a workflow came into an integration, None when it is not in it."""
    row = conn.execute(
        "SELECT created_at FROM integration_workflows WHERE org_id = ? AND slug = ? AND workflow_id = ?",
        (org_id, slug, workflow_id),
    ).fetchone()
    return None if row is None else row[0]


def count_workflows(tx: Tx, org_id: str, slug: str) -> int:
    """How many workflows an integration has."""
    found: int = tx.execute(
        "SELECT count(*) FROM integration_workflows WHERE org_id = ? AND slug = ?", (org_id, slug)
    ).fetchone()[0]
    return found


def list_workflows(
    conn: sqlite3.Connection, org_id: str, slug: str, before_id: str | None, limit: int
) -> list[tuple[str, int]]:
    """Ids of an integration's workflows below ``before_id`` (None: from the newest workflow), newest first, and when
    each came into it."""
    rows = conn.execute(
        "SELECT workflow_id, created_at FROM integration_workflows "
        "WHERE org_id = ?1 AND slug = ?2 AND (?3 IS NULL OR workflow_id < ?3) ORDER BY workflow_id DESC LIMIT ?4",
        (org_id, slug, before_id, limit),
    )
    return [(row[0], row[1]) for row in rows]


def list_integration_slugs(conn: sqlite3.Connection, org_id: str, workflow_id: str) -> list[str]:
    """The integrations that a workflow is in."""
    rows = conn.execute(
        "SELECT slug FROM integration_workflows WHERE org_id = ? AND workflow_id = ? ORDER BY slug",
        (org_id, workflow_id),
    )
    return [row[0] for row in rows]


def list_offered_ids(conn: sqlite3.Connection, org_id: str) -> list[str]:
    """The workflows that are in any of an organization's integrations, each once."""
    rows = conn.execute("SELECT DISTINCT workflow_id FROM integration_workflows WHERE org_id = ?", (org_id,))
    return [row[0] for row in rows]


# -- installations -----------------------------------------------------------------------------------------------


def insert_installation(tx: Tx, installation: Installation, configuration: bytes) -> None:
    """Write a new installation; ``configuration`` is it as JSON."""
    tx.execute(
        "INSERT INTO installations (id, org_id, end_user_id, workflow_id, release, version, event, configuration, "
        "active, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?)",
        (
            installation.id,
            installation.org_id,
            installation.end_user_id,
            installation.workflow_id,
            installation.release,
            installation.version,
            installation.event,
            configuration,
            int(installation.active),
            installation.created_at,
            installation.updated_at,
        ),
    )


def update_active(tx: Tx, org_id: str, installation_id: str, active: bool) -> None:
    """Switch an installation on or off."""
    tx.execute(
        "UPDATE installations SET active = ?, updated_at = ? WHERE org_id = ? AND id = ?",
        (int(active), tx.now, org_id, installation_id),
    )


def update_version(tx: Tx, org_id: str, installation_id: str, release: str, version: int, event: str | None) -> None:
    """Move an installation to another version, which ``event`` starts."""
    tx.execute(
        "UPDATE installations SET release = ?, version = ?, event = ?, updated_at = ? WHERE org_id = ? AND id = ?",
        (release, version, event, tx.now, org_id, installation_id),
    )


def update_configuration(tx: Tx, org_id: str, installation_id: str, configuration: bytes) -> None:
    """Give an installation another configuration, as JSON."""
    tx.execute(
        "UPDATE installations SET configuration = CAST(? AS TEXT), updated_at = ? WHERE org_id = ? AND id = ?",
        (configuration, tx.now, org_id, installation_id),
    )


def delete_installation(tx: Tx, org_id: str, installation_id: str) -> None:
    """Remove an installation."""
    tx.execute("DELETE FROM installations WHERE org_id = ? AND id = ?", (org_id, installation_id))


def delete_installations_of_workflow(tx: Tx, org_id: str, workflow_id: str) -> int:
    """Remove all installations of a workflow; how many there were."""
    return tx.execute("DELETE FROM installations WHERE org_id = ? AND workflow_id = ?", (org_id, workflow_id)).rowcount


def find_installation(conn: sqlite3.Connection, org_id: str, installation_id: str) -> Installation | None:
    """One of an organization's installations."""
    row = conn.execute(
        "SELECT id, org_id, end_user_id, workflow_id, release, version, event, configuration, active, created_at, "
        "updated_at FROM installations WHERE org_id = ? AND id = ?",
        (org_id, installation_id),
    ).fetchone()
    return None if row is None else _installation(row)


def find_installation_of(
    conn: sqlite3.Connection, org_id: str, end_user_id: str, workflow_id: str
) -> Installation | None:
    """An end user's installation of a workflow."""
    row = conn.execute(
        "SELECT id, org_id, end_user_id, workflow_id, release, version, event, configuration, active, created_at, "
        "updated_at FROM installations WHERE org_id = ? AND end_user_id = ? AND workflow_id = ?",
        (org_id, end_user_id, workflow_id),
    ).fetchone()
    return None if row is None else _installation(row)


def find_installation_org_id(conn: sqlite3.Connection, installation_id: str) -> str | None:
    """The organization that an installation belongs to."""
    row = conn.execute("SELECT org_id FROM installations WHERE id = ?", (installation_id,)).fetchone()
    return None if row is None else row[0]


def list_active_for_event(conn: sqlite3.Connection, org_id: str, end_user_id: str, event: str) -> list[Installation]:
    """An end user's active installations whose version is started by ``event``, oldest first; an index has them."""
    rows = conn.execute(
        "SELECT id, org_id, end_user_id, workflow_id, release, version, event, configuration, active, created_at, "
        "updated_at FROM installations WHERE org_id = ? AND end_user_id = ? AND event = ? AND active = 1 ORDER BY id",
        (org_id, end_user_id, event),
    )
    return [_installation(row) for row in rows]


def list_of_user(conn: sqlite3.Connection, org_id: str, end_user_id: str) -> list[Installation]:
    """All installations of an end user, oldest first."""
    rows = conn.execute(
        "SELECT id, org_id, end_user_id, workflow_id, release, version, event, configuration, active, created_at, "
        "updated_at FROM installations WHERE org_id = ? AND end_user_id = ? ORDER BY id",
        (org_id, end_user_id),
    )
    return [_installation(row) for row in rows]


def list_workflow_before(
    conn: sqlite3.Connection, org_id: str, workflow_id: str, before_id: str | None, limit: int
) -> list[Installation]:
    """A workflow's installations with ids below ``before_id`` (None: from the newest), newest first."""
    rows = conn.execute(
        "SELECT id, org_id, end_user_id, workflow_id, release, version, event, configuration, active, created_at, "
        "updated_at FROM installations WHERE org_id = ?1 AND workflow_id = ?2 AND (?3 IS NULL OR id < ?3) "
        "ORDER BY id DESC LIMIT ?4",
        (org_id, workflow_id, before_id, limit),
    )
    return [_installation(row) for row in rows]


def list_installations_before(
    conn: sqlite3.Connection, org_id: str, wanted: InstallationFilter, before_id: str | None, limit: int
) -> list[Installation]:
    """An organization's installations with ids below ``before_id`` (None: from the newest), newest first. ``wanted``
    has ids, and the integration's slug."""
    rows = conn.execute(
        _statement_for(wanted),
        {
            "org": org_id,
            "user": wanted.end_user_id,
            "workflow": wanted.workflow_id,
            "slug": wanted.integration_id,
            "active": wanted.active,
            "before": before_id,
            "limit": limit,
        },
    )
    return [_installation(row) for row in rows]


_LIST = (
    "SELECT id, org_id, end_user_id, workflow_id, release, version, event, configuration, active, created_at, "
    "updated_at FROM installations i "
)
_NARROWED = (
    "AND (:workflow IS NULL OR workflow_id = :workflow) AND (:active IS NULL OR active = :active) "
    "AND (:slug IS NULL OR EXISTS (SELECT 1 FROM integration_workflows w "
    "WHERE w.org_id = :org AND w.slug = :slug AND w.workflow_id = i.workflow_id)) "
    "AND (:before IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit"
)
# What an index serves stands bare, so that SQLite can use it.
_ALL = _LIST + "WHERE org_id = :org " + _NARROWED
_OF_USER = _LIST + "WHERE org_id = :org AND end_user_id = :user " + _NARROWED
_OF_WORKFLOW = _LIST + "WHERE org_id = :org AND workflow_id = :workflow " + _NARROWED


def _statement_for(wanted: InstallationFilter) -> str:
    if wanted.end_user_id is not None:
        return _OF_USER
    return _ALL if wanted.workflow_id is None else _OF_WORKFLOW


def list_spread(conn: sqlite3.Connection, org_id: str, workflow_id: str) -> list[Spread]:
    """At which releases a workflow is installed, the newest version first."""
    rows = conn.execute(
        "SELECT release, version, count(*), sum(active) FROM installations WHERE org_id = ? AND workflow_id = ? "
        "GROUP BY release, version ORDER BY version DESC, release DESC",
        (org_id, workflow_id),
    )
    return [Spread(*row) for row in rows]


def _installation(row: tuple[Any, ...]) -> Installation:
    return Installation(
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        row[6],
        msgspec.json.decode(row[7]),
        bool(row[8]),
        row[9],
        row[10],
    )
