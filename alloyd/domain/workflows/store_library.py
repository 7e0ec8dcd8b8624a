"""All SQL of what people look up about workflows."""

from __future__ import annotations

import sqlite3

from alloyd.domain.workflows.model import ListedVersion, ListedWorkflow, Workflow


def list_page(
    conn: sqlite3.Connection, org_id: str, named: str | None, before_id: str | None, limit: int
) -> list[ListedWorkflow]:
    """Newest first, those with ids below ``before_id`` and with ``named`` somewhere in their names."""
    rows = conn.execute(
        "SELECT w.id, w.org_id, w.name, w.latest_version, w.published_version, w.created_at, w.updated_at, "
        "json_extract(v.definition, '$.trigger.type') "
        "FROM workflows w JOIN workflow_versions v ON v.workflow_id = w.id AND v.org_id = w.org_id "
        "AND v.version = coalesce(w.published_version, w.latest_version) "
        "WHERE w.org_id = :org AND w.id < :before AND w.deleted_at IS NULL "
        "AND (:named IS NULL OR instr(lower(w.name), lower(:named)) > 0) ORDER BY w.id DESC LIMIT :limit",
        {"org": org_id, "before": before_id or "g", "named": named, "limit": limit},  # 'g' sorts after every UUID
    )
    return [ListedWorkflow(Workflow(*row[:7]), row[7] if isinstance(row[7], str) else "api") for row in rows]


def list_versions(
    conn: sqlite3.Connection, org_id: str, workflow_id: str, before: int | None, limit: int
) -> list[ListedVersion]:
    """A workflow's versions below ``before``, newest first, without what they hold."""
    rows = conn.execute(
        "SELECT version, created_by, created_at, published_at FROM workflow_versions "
        "WHERE org_id = :org AND workflow_id = :workflow AND (:before IS NULL OR version < :before) "
        "ORDER BY version DESC LIMIT :limit",
        {"org": org_id, "workflow": workflow_id, "before": before, "limit": limit},
    )
    return [ListedVersion(*row) for row in rows]
