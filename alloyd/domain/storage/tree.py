"""The rules of the tree, as plain functions inside one transaction or snapshot: find, put, move, delete, and tell."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from alloyd.db import Tx
from alloyd.domain.storage import store
from alloyd.domain.storage.model import DEFAULT_MIME_TYPE, ROOT_ID, TRASH_ID, Blob, FileInfo, Item, Node
from alloyd.errors import AlloydError, bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.clock import rfc3339
from alloyd.kit.ids import new_id
from alloyd.kit.paths import NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX, StoragePath, path_bytes


def find_node(conn: sqlite3.Connection, org_id: str, path: StoragePath) -> Node | None:
    """The file or folder at ``path``, which is not the root."""
    chain = store.find_chain(conn, org_id, path.names)
    return chain[-1] if len(chain) == len(path.names) else None


def get_folder_id(conn: sqlite3.Connection, org_id: str, path: StoragePath) -> str:
    """The id of the folder at ``path``. Raises ``not_found``, for a file too."""
    if path.is_root:
        return ROOT_ID
    node = find_node(conn, org_id, path)
    if node is None or node.is_file:
        raise not_found("folder")
    return node.id


def get_file(conn: sqlite3.Connection, org_id: str, path: StoragePath) -> FileInfo:
    """The file at ``path``. Raises ``bad_request`` for a folder, ``not_found``."""
    node = None if path.is_root else find_node(conn, org_id, path)
    if path.is_root or (node is not None and not node.is_file):
        raise bad_request("path: a folder, not a file", "path")
    if node is None:
        raise not_found("file")
    return _info(path, node)


def to_item(folder: StoragePath, node: Node) -> Item:
    """``node`` as a line of the listing of ``folder``."""
    return Item(
        node.name,
        "/".join((*folder.names, node.name)),
        "file" if node.is_file else "folder",
        node.size,
        node.mime_type,
        node.sha256,
        rfc3339(node.created_at),
        rfc3339(node.modified_at),
    )


def put_file(
    tx: Tx,
    org_id: str,
    path: StoragePath,
    blob: Blob,
    mime_type: str,
    on_garbage: Callable[[], None],
    run_id: str | None = None,
    *,
    only_new: bool = False,
) -> FileInfo:
    """Let ``blob`` be the content of the file at ``path``, made with its folders if it is not there.

    ``run_id``, the run whose step does it, is told with the event: triggers end chains by it. Raises ``bad_request``
    when ``path`` is a folder or leads through a file, ``conflict`` when it is there though it is to be ``only_new``.
    """
    parent_id = _make_folders(tx, org_id, path.parent)
    store.insert_blob(tx, org_id, blob)
    old = store.find_child(tx.conn, org_id, parent_id, path.name)
    if old is None:
        node = Node(new_id(), parent_id, path.name, True, blob.size, mime_type, blob.sha256, blob.id, tx.now, tx.now)
        store.insert_node(tx, org_id, node)
        store.add_usage(tx, org_id, blob.size, 1)
        info = _info(path, node)
        tx.emit(Event(org_id, "storage_file.created", str(path), _file_payload(info, run_id)))
        return info
    if not old.is_file:
        raise bad_request("file: a folder has this name", "file")
    if only_new:
        raise conflict("file: a file has this name", "file")
    store.set_content(tx, org_id, old.id, blob, mime_type)
    store.add_usage(tx, org_id, blob.size - old.size, 0)
    if old.blob_id is not None:
        store.let_go_of_blob(tx, org_id, old.blob_id)
        tx.after_commit(on_garbage)
    info = FileInfo(path, blob.size, mime_type, blob.sha256, blob.id, old.created_at, tx.now)
    tx.emit(Event(org_id, "storage_file.updated", str(path), _file_payload(info, run_id)))
    return info


def make_folder(tx: Tx, org_id: str, path: StoragePath) -> StoragePath:
    """The folder at ``path``, made with the ones on the way. Raises ``conflict`` when it is a file."""
    node = find_node(tx.conn, org_id, path)
    if node is not None and node.is_file:
        raise conflict("name: a file has this name", "name")
    _make_folders(tx, org_id, path)
    return path


def rename(tx: Tx, org_id: str, path: StoragePath, name: str) -> StoragePath:
    """Give the node at ``path`` the name ``name``. Raises ``not_found``, ``conflict``, ``bad_request``."""
    node = _get_node(tx.conn, org_id, path, "path")
    target = path.parent.child(name, "new_name")
    if target == path:
        return path
    if store.find_child(tx.conn, org_id, node.parent_id, name) is not None:
        raise conflict("new_name: there is something of this name already", "new_name")
    return _relocate(tx, org_id, node, path, target, node.parent_id, "new_name")


def move(tx: Tx, org_id: str, source: StoragePath, dest: StoragePath) -> StoragePath:
    """Put the node at ``source`` into the folder ``dest``. Raises ``not_found``, ``conflict``, ``bad_request``."""
    node = _get_node(tx.conn, org_id, source, "source_path")
    if not node.is_file and dest.is_within(source):
        raise bad_request("dest_path: a folder can't be moved into itself", "dest_path")
    parent_id = ROOT_ID
    if not dest.is_root:
        folder = _get_node(tx.conn, org_id, dest, "dest_path")
        if folder.is_file:
            raise bad_request("dest_path: a file, not a folder", "dest_path")
        parent_id = folder.id
    if parent_id == node.parent_id:
        return source
    target = dest.child(node.name, "dest_path")
    if store.find_child(tx.conn, org_id, parent_id, node.name) is not None:
        raise conflict("dest_path: there is something of this name already", "dest_path")
    return _relocate(tx, org_id, node, source, target, parent_id, "dest_path")


def delete(tx: Tx, org_id: str, path: StoragePath, on_garbage: Callable[[], None], run_id: str | None = None) -> None:
    """Put the node at ``path``, with all below it, into the trash. Raises ``not_found``."""
    node = _get_node(tx.conn, org_id, path, "path")
    store.set_place(tx, org_id, node.id, TRASH_ID, node.name)
    tx.after_commit(on_garbage)
    if node.is_file:
        tx.emit(Event(org_id, "storage_file.deleted", str(path), _file_payload(_info(path, node), run_id)))
    else:
        tx.emit(Event(org_id, "storage_folder.deleted", str(path), {"path": str(path)}))


def _get_node(conn: sqlite3.Connection, org_id: str, path: StoragePath, field: str) -> Node:
    node = find_node(conn, org_id, path)
    if node is None:
        error: AlloydError = not_found(f"{field}: file or folder")
        error.field = field
        raise error
    return node


def _make_folders(tx: Tx, org_id: str, path: StoragePath) -> str:
    """The id of the folder at ``path``; those that are missing are made, each with its event."""
    names: Sequence[str] = path.names
    chain = store.find_chain(tx.conn, org_id, names)
    if chain and chain[-1].is_file:
        raise bad_request("path: leads through a file", "path")
    parent_id = chain[-1].id if chain else ROOT_ID
    for depth in range(len(chain), len(names)):
        made = Node(new_id(), parent_id, names[depth], False, 0, None, None, None, tx.now, tx.now)
        store.insert_node(tx, org_id, made)
        made_path = "/".join(names[: depth + 1])
        tx.emit(Event(org_id, "storage_folder.created", made_path, {"path": made_path}))
        parent_id = made.id
    return parent_id


def _relocate(
    tx: Tx, org_id: str, node: Node, old: StoragePath, new: StoragePath, parent_id: str, field: str
) -> StoragePath:
    if not node.is_file:
        _check_reach(tx.conn, org_id, node.id, old, new, field)
    store.set_place(tx, org_id, node.id, parent_id, new.name)
    moved: dict[str, Any] = {"from": str(old), "to": str(new)}
    if node.is_file:
        payload = {**_file_payload(_info(new, node)), **moved}
        tx.emit(Event(org_id, "storage_file.moved", str(new), payload))
    else:
        tx.emit(Event(org_id, "storage_folder.moved", str(new), {"path": str(new), **moved}))
    return new


def _check_reach(
    conn: sqlite3.Connection, org_id: str, folder_id: str, old: StoragePath, new: StoragePath, field: str
) -> None:
    """Refuse what would give something below the folder a path that can't be named any more."""
    depth, size = len(new.names), path_bytes(new.names)
    if depth <= len(old.names) and size <= path_bytes(old.names):
        return
    folders = store.measure_folders(conn, org_id, folder_id)
    at_most_bytes = size + folders.path_bytes + 1 + NAME_BYTES_MAX
    if depth + folders.depth + 1 <= PATH_DEPTH_MAX and at_most_bytes <= PATH_BYTES_MAX:
        return  # whatever files there are
    inside = store.measure_all(conn, org_id, folder_id)
    if depth + inside.depth > PATH_DEPTH_MAX:
        raise bad_request(f"{field}: something in the folder would be deeper than {PATH_DEPTH_MAX} folders", field)
    if size + inside.path_bytes > PATH_BYTES_MAX:
        raise bad_request(f"{field}: a path in the folder would be longer than {PATH_BYTES_MAX} bytes", field)


def _info(path: StoragePath, node: Node) -> FileInfo:
    assert node.sha256 is not None
    assert node.blob_id is not None
    mime_type = node.mime_type or DEFAULT_MIME_TYPE
    return FileInfo(path, node.size, mime_type, node.sha256, node.blob_id, node.created_at, node.modified_at)


def _file_payload(info: FileInfo, run_id: str | None = None) -> dict[str, Any]:
    payload = {"path": str(info.path), "size": info.size, "hash": info.sha256, "mime_type": info.mime_type}
    return payload if run_id is None else {**payload, "run_id": run_id}
