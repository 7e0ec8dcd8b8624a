"""All SQL of assets."""

from __future__ import annotations

import sqlite3

from alloyd.db import Tx
from alloyd.domain.assets.model import Asset

_SELECT = (
    "SELECT id, org_id, filename, content_type, size, sha256, blob_id, created_by, created_at FROM assets "
    "WHERE org_id = ? "
)
FIND = _SELECT + "AND id = ?"
LIST_PAGE = _SELECT + "AND id < ? ORDER BY id DESC LIMIT ?"


def insert_asset(tx: Tx, asset: Asset) -> None:
    """A new asset, whose content is durable."""
    tx.execute(
        "INSERT INTO assets (id, org_id, filename, content_type, size, sha256, blob_id, created_by, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            asset.id,
            asset.org_id,
            asset.filename,
            asset.content_type,
            asset.size,
            asset.sha256,
            asset.blob_id,
            asset.created_by,
            asset.created_at,
        ),
    )


def find_asset(conn: sqlite3.Connection, org_id: str, asset_id: str) -> Asset | None:
    """The organization's asset of that id."""
    row = conn.execute(FIND, (org_id, asset_id)).fetchone()
    return None if row is None else Asset(*row)


def list_page(conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int) -> list[Asset]:
    """Newest first, those with ids below ``before_id``."""
    rows = conn.execute(LIST_PAGE, (org_id, before_id or "g", limit))  # 'g' sorts after every UUID
    return [Asset(*row) for row in rows]


def delete_asset(tx: Tx, org_id: str, asset_id: str) -> None:
    """Forget an asset."""
    tx.execute("DELETE FROM assets WHERE org_id = ? AND id = ?", (org_id, asset_id))


def find_organization(conn: sqlite3.Connection, asset_id: str) -> str | None:
    """Whose asset it is."""
    row = conn.execute("SELECT org_id FROM assets WHERE id = ?", (asset_id,)).fetchone()
    return None if row is None else row[0]
