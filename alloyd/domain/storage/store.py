"""All SQL of storage. Nodes are an adjacency list, so moving or deleting a folder of any size changes one row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alloyd.db import Tx
from alloyd.domain.storage.model import ROOT_ID, Blob, Node, Position, Usage

# The partial index on names is usable only when the query says that it does not look in the trash.
_SELECT = (
    "SELECT id, parent_id, name, is_file, size, mime_type, sha256, blob_id, created_at, modified_at FROM storage_nodes "
)
FIND_CHILD = _SELECT + "WHERE org_id = ? AND parent_id = ? AND name = ? AND parent_id <> 'trash'"
LIST_CHILDREN = (
    _SELECT + "WHERE org_id = ? AND parent_id = ? AND (is_file, name) > (?, ?) ORDER BY is_file, name LIMIT ?"
)
LIST_MATCHING = (
    _SELECT + "WHERE org_id = ? AND parent_id = ? AND (is_file, name) > (?, ?) AND substr(name, 1, ?) = ? "
    "ORDER BY is_file, name LIMIT ?"
)
FIND_TRASH = "SELECT id, org_id, is_file, size, blob_id FROM storage_nodes WHERE parent_id = 'trash' LIMIT ?"
LIST_UNUSED = "SELECT org_id, id FROM blobs WHERE unused_at IS NOT NULL ORDER BY unused_at LIMIT ?"
_BEFORE_ALL = (0, "")  # no name is empty, so this sorts before every child


def find_child(conn: sqlite3.Connection, org_id: str, parent_id: str, name: str) -> Node | None:
    """The file or folder ``name`` in a folder."""
    row = conn.execute(FIND_CHILD, (org_id, parent_id, name)).fetchone()
    return None if row is None else _node(row)


def find_chain(conn: sqlite3.Connection, org_id: str, names: Sequence[str]) -> list[Node]:
    """The nodes along a path from the root, as far as they exist; a file ends the chain."""
    chain: list[Node] = []
    parent_id = ROOT_ID
    for name in names:
        node = find_child(conn, org_id, parent_id, name)
        if node is None:
            break
        chain.append(node)
        if node.is_file:
            break
        parent_id = node.id
    return chain


def list_children(
    conn: sqlite3.Connection, org_id: str, parent_id: str, after: Position | None, limit: int | None, begins: str = ""
) -> Iterator[Node]:
    """The children of a folder after ``after``, folders first, then by name; all of them without ``limit``.

    Only those whose names begin with ``begins``.
    """
    is_file, name = _BEFORE_ALL if after is None else (int(after.is_file), after.name)
    start, limit = (org_id, parent_id, is_file, name), -1 if limit is None else limit
    if begins:
        rows = conn.execute(LIST_MATCHING, (*start, len(begins), begins, limit))
    else:
        rows = conn.execute(LIST_CHILDREN, (*start, limit))
    return map(_node, rows)


def insert_node(tx: Tx, org_id: str, node: Node) -> None:
    """Add a file or folder; its parent has none of that name."""
    tx.execute(
        "INSERT INTO storage_nodes (id, org_id, parent_id, name, is_file, size, mime_type, sha256, blob_id, "
        "created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            node.id,
            org_id,
            node.parent_id,
            node.name,
            int(node.is_file),
            node.size,
            node.mime_type,
            node.sha256,
            node.blob_id,
            node.created_at,
            node.modified_at,
        ),
    )


def set_content(tx: Tx, org_id: str, node_id: str, blob: Blob, mime_type: str) -> None:
    """Let a file have other content from now on."""
    tx.execute(
        "UPDATE storage_nodes SET size = ?, mime_type = ?, sha256 = ?, blob_id = ?, modified_at = ? "
        "WHERE org_id = ? AND id = ?",
        (blob.size, mime_type, blob.sha256, blob.id, tx.now, org_id, node_id),
    )


def set_place(tx: Tx, org_id: str, node_id: str, parent_id: str, name: str) -> None:
    """Move a node, with all that is below it."""
    tx.execute(
        "UPDATE storage_nodes SET parent_id = ?, name = ? WHERE org_id = ? AND id = ?",
        (parent_id, name, org_id, node_id),
    )


def insert_blob(tx: Tx, org_id: str, blob: Blob) -> None:
    """Name a blob that is durable on the disk."""
    tx.execute(
        "INSERT INTO blobs (id, org_id, size, sha256, created_at) VALUES (?, ?, ?, ?, ?)",
        (blob.id, org_id, blob.size, blob.sha256, tx.now),
    )


def let_go_of_blob(tx: Tx, org_id: str, blob_id: str) -> None:
    """Leave a blob to the sweeper."""
    tx.execute("UPDATE blobs SET unused_at = ? WHERE org_id = ? AND id = ?", (tx.now, org_id, blob_id))


def add_usage(tx: Tx, org_id: str, bytes_more: int, files_more: int) -> None:
    """Count what came, or with negative numbers what went."""
    tx.execute(
        "INSERT INTO storage_usage (org_id, bytes, files) VALUES (?, ?, ?) "
        "ON CONFLICT (org_id) DO UPDATE SET bytes = bytes + excluded.bytes, files = files + excluded.files",
        (org_id, bytes_more, files_more),
    )


def get_usage(conn: sqlite3.Connection, org_id: str) -> Usage:
    """What the organization stores; nothing when it never did."""
    row = conn.execute("SELECT bytes, files FROM storage_usage WHERE org_id = ?", (org_id,)).fetchone()
    return Usage(0, 0) if row is None else Usage(row[0], row[1])


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a folder's inside goes below it: in names, and in bytes of path with the slashes before them."""

    depth: int
    path_bytes: int


def measure_folders(conn: sqlite3.Connection, org_id: str, folder_id: str) -> Reach:
    """The reach of the folders below a folder. Files are not looked at, so it is cheap however many there are."""
    row = conn.execute(
        "WITH RECURSIVE below (id, depth, bytes) AS ("
        "  SELECT ?2, 0, 0"
        "  UNION ALL"
        "  SELECT node.id, below.depth + 1, below.bytes + 1 + length(CAST(node.name AS BLOB))"
        "  FROM below JOIN storage_nodes AS node ON node.org_id = ?1 AND node.parent_id = below.id AND node.is_file = 0"
        ") SELECT max(depth), max(bytes) FROM below",
        (org_id, folder_id),
    ).fetchone()
    return Reach(row[0], row[1])


def measure_all(conn: sqlite3.Connection, org_id: str, folder_id: str) -> Reach:
    """The reach of everything below a folder."""
    row = conn.execute(
        "WITH RECURSIVE below (id, depth, bytes) AS ("
        "  SELECT ?2, 0, 0"
        "  UNION ALL"
        "  SELECT node.id, below.depth + 1, below.bytes + 1 + length(CAST(node.name AS BLOB))"
        "  FROM below JOIN storage_nodes AS node ON node.org_id = ?1 AND node.parent_id = below.id"
        ") SELECT max(depth), max(bytes) FROM below",
        (org_id, folder_id),
    ).fetchone()
    return Reach(row[0], row[1])


# -- the sweeper: alloyd's own work, over all organizations ------------------------------------------------------


def take_apart_trash(tx: Tx, rows_max: int) -> int:
    """Take the next ``rows_max`` rows out of the trash; how many rows changed, 0 when it is empty.

    A trashed folder's children become trash themselves, then it goes; a file's blob is let go of.
    """
    trashed = tx.execute(FIND_TRASH, (rows_max,)).fetchall()
    changed = 0
    for node_id, org_id, is_file, size, blob_id in trashed:
        if changed >= rows_max:
            break
        if not is_file:
            freed = _free_children(tx, org_id, node_id, rows_max - changed)
            changed += freed
            if changed >= rows_max:
                break  # there may be more children
        else:
            let_go_of_blob(tx, org_id, blob_id)
            add_usage(tx, org_id, -size, -1)
        tx.execute("DELETE FROM storage_nodes WHERE org_id = ? AND id = ?", (org_id, node_id))
        changed += 1
    return changed


def _free_children(tx: Tx, org_id: str, folder_id: str, rows_max: int) -> int:
    return tx.execute(
        "UPDATE storage_nodes SET parent_id = 'trash' WHERE id IN "
        "(SELECT id FROM storage_nodes WHERE org_id = ? AND parent_id = ? LIMIT ?)",
        (org_id, folder_id, rows_max),
    ).rowcount


def list_unused_blobs(conn: sqlite3.Connection, limit: int) -> list[tuple[str, str]]:
    """``(org_id, id)`` of blobs that no row names any more, the longest unused first."""
    return conn.execute(LIST_UNUSED, (limit,)).fetchall()


def delete_blobs(tx: Tx, blobs: Sequence[tuple[str, str]]) -> None:
    """Forget blobs, ``(org_id, id)``, whose files are gone."""
    tx.executemany("DELETE FROM blobs WHERE org_id = ? AND id = ? AND unused_at IS NOT NULL", blobs)


def find_named_blobs(conn: sqlite3.Connection, blob_ids: Sequence[str]) -> set[str]:
    """Which of ``blob_ids`` have a row, of whatever organization (org_id): for files found on the disk."""
    rows = conn.execute("SELECT id FROM blobs WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(blob_ids),))
    return {row[0] for row in rows}


def _node(row: tuple[str, str, str, int, int, str | None, str | None, str | None, int, int]) -> Node:
    return Node(row[0], row[1], row[2], bool(row[3]), *row[4:])
