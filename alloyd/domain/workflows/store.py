"""All SQL of workflow definitions."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.workflows.model import Release, Workflow, WorkflowVersion


def insert_workflow(tx: Tx, workflow: Workflow) -> None:
    """A new workflow; its first version follows."""
    tx.execute(
        "INSERT INTO workflows (id, org_id, name, latest_version, published_version, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            workflow.id,
            workflow.org_id,
            workflow.name,
            workflow.version,
            workflow.published_version,
            workflow.created_at,
            workflow.updated_at,
        ),
    )


def update_versions(tx: Tx, workflow: Workflow) -> None:
    """Point the workflow at its newest versions."""
    tx.execute(
        "UPDATE workflows SET latest_version = ?, published_version = ?, updated_at = ? WHERE id = ? AND org_id = ?",
        (workflow.version, workflow.published_version, workflow.updated_at, workflow.id, workflow.org_id),
    )


def insert_version(tx: Tx, version: WorkflowVersion) -> None:
    """Store one immutable content."""
    tx.execute(
        "INSERT INTO workflow_versions "
        "(workflow_id, version, org_id, definition, digest, created_by, created_at, published_at) "
        "VALUES (?, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?)",
        (
            version.workflow.id,
            version.version,
            version.workflow.org_id,
            msgspec.json.encode(version.definition),
            version.digest,
            version.created_by,
            version.created_at,
            version.published_at,
        ),
    )


def mark_deleted(tx: Tx, org_id: str, workflow_id: str) -> bool:
    """Whether there was one to delete; its versions stay for the runs that are pinned to them."""
    changed = tx.execute(
        "UPDATE workflows SET deleted_at = ? WHERE org_id = ? AND id = ? AND deleted_at IS NULL",
        (tx.now, org_id, workflow_id),
    )
    return changed.rowcount == 1


def find_by_name(conn: sqlite3.Connection, org_id: str, name: str) -> Workflow | None:
    """The organization's workflow of that name."""
    row = conn.execute(
        "SELECT id, org_id, name, latest_version, published_version, created_at, updated_at FROM workflows "
        "WHERE org_id = ? AND name = ? AND deleted_at IS NULL",
        (org_id, name),
    ).fetchone()
    return Workflow(*row) if row else None


def find_by_id(conn: sqlite3.Connection, org_id: str, workflow_id: str) -> Workflow | None:
    """The organization's workflow of that id."""
    row = conn.execute(
        "SELECT id, org_id, name, latest_version, published_version, created_at, updated_at FROM workflows "
        "WHERE org_id = ? AND id = ? AND deleted_at IS NULL",
        (org_id, workflow_id),
    ).fetchone()
    return Workflow(*row) if row else None


def find_org_id(conn: sqlite3.Connection, workflow_id: str) -> str | None:
    """The organization that a workflow belongs to."""
    row = conn.execute("SELECT org_id FROM workflows WHERE id = ? AND deleted_at IS NULL", (workflow_id,)).fetchone()
    return None if row is None else row[0]


def find_version(conn: sqlite3.Connection, org_id: str, workflow_id: str, version: int) -> WorkflowVersion | None:
    """One content, also of a deleted workflow: runs that are pinned to it go on."""
    row = conn.execute(
        "SELECT w.id, w.org_id, w.name, w.latest_version, w.published_version, w.created_at, w.updated_at, "
        "v.version, v.definition, v.digest, v.created_by, v.created_at, v.published_at "
        "FROM workflow_versions v JOIN workflows w ON w.id = v.workflow_id "
        "WHERE v.org_id = ? AND w.org_id = v.org_id AND v.workflow_id = ? AND v.version = ?",
        (org_id, workflow_id, version),
    ).fetchone()
    return _version(row) if row else None


def list_versions_after(conn: sqlite3.Connection, workflow_id: str, number: int, limit: int) -> list[WorkflowVersion]:
    """Versions of everybody behind that one, in the order of the table: for a change of the key that seals."""
    rows = conn.execute(
        "SELECT w.id, w.org_id, w.name, w.latest_version, w.published_version, w.created_at, w.updated_at, "
        "v.version, v.definition, v.digest, v.created_by, v.created_at, v.published_at "
        "FROM workflow_versions v JOIN workflows w ON w.id = v.workflow_id "
        "WHERE (v.workflow_id, v.version) > (?, ?) ORDER BY v.workflow_id, v.version LIMIT ?",
        (workflow_id, number, limit),
    )
    return [_version(row) for row in rows]


def replace_definition(tx: Tx, org_id: str, workflow_id: str, number: int, definition: dict[str, Any]) -> None:
    """Write a version's definition with the same content, whose secrets are sealed anew."""
    tx.execute(
        "UPDATE workflow_versions SET definition = CAST(? AS TEXT) "
        "WHERE workflow_id = ? AND version = ? AND org_id = ?",
        (msgspec.json.encode(definition), workflow_id, number, org_id),
    )


def find_published_anywhere(conn: sqlite3.Connection, workflow_id: str) -> WorkflowVersion | None:
    """The newest published content of a workflow, whosever it is: an incoming webhook names nobody."""
    row = conn.execute(
        "SELECT w.id, w.org_id, w.name, w.latest_version, w.published_version, w.created_at, w.updated_at, "
        "v.version, v.definition, v.digest, v.created_by, v.created_at, v.published_at "
        "FROM workflows w JOIN workflow_versions v "
        "ON v.workflow_id = w.id AND v.org_id = w.org_id AND v.version = w.published_version "
        "WHERE w.id = ? AND w.deleted_at IS NULL",
        (workflow_id,),
    ).fetchone()
    return _version(row) if row else None


def list_page(conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int) -> list[Workflow]:
    """Newest first, those with ids below ``before_id``."""
    rows = conn.execute(
        "SELECT id, org_id, name, latest_version, published_version, created_at, updated_at FROM workflows "
        "WHERE org_id = ? AND id < ? AND deleted_at IS NULL ORDER BY id DESC LIMIT ?",
        (org_id, before_id or "g", limit),  # 'g' sorts after every UUID
    )
    return [Workflow(*row) for row in rows]


def _version(row: tuple[Any, ...]) -> WorkflowVersion:
    return WorkflowVersion(Workflow(*row[:7]), row[7], msgspec.json.decode(row[8]), *row[9:])


def insert_release(tx: Tx, org_id: str, release: Release) -> None:
    """A new label."""
    tx.execute(
        "INSERT INTO workflow_releases (workflow_id, label, org_id, version, created_by, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (release.workflow_id, release.label, org_id, release.version, release.created_by, release.created_at),
    )


def find_release(conn: sqlite3.Connection, org_id: str, workflow_id: str, label: str) -> Release | None:
    """What ``label`` names."""
    row = conn.execute(
        "SELECT workflow_id, label, version, created_by, created_at FROM workflow_releases "
        "WHERE workflow_id = ? AND label = ? AND org_id = ?",
        (workflow_id, label, org_id),
    ).fetchone()
    return None if row is None else Release(*row)


def list_releases(conn: sqlite3.Connection, org_id: str, workflow_id: str) -> list[Release]:
    """A workflow's labels, newest first."""
    rows = conn.execute(
        "SELECT workflow_id, label, version, created_by, created_at FROM workflow_releases "
        "WHERE workflow_id = ? AND org_id = ? ORDER BY created_at DESC, version DESC, label DESC",
        (workflow_id, org_id),
    )
    return [Release(*row) for row in rows]
