"""Query plans and row counts: what must stay cheap however large a folder is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from alloyd.db import Tx
from alloyd.db.migrate import migrate
from alloyd.domain.storage import store, tree
from alloyd.domain.storage.model import ROOT_ID, Node
from alloyd.kit.paths import parse_path

MANY = 100_000


@pytest.fixture
def conn(tmp_path: Path) -> sqlite3.Connection:
    path = tmp_path / "alloyd.db"
    migrate(path)
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("BEGIN")
    return conn


def plan_of(conn: sqlite3.Connection, sql: str, count: int) -> str:
    return " / ".join(row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", ("x",) * count))


@pytest.mark.parametrize(
    ("sql", "count", "index"),
    [
        (store.FIND_CHILD, 3, "storage_nodes_by_name (org_id=? AND parent_id=? AND name=?)"),
        (store.LIST_CHILDREN, 5, "storage_nodes_listing (org_id=? AND parent_id=? AND (is_file,name)>(?,?))"),
        (store.LIST_MATCHING, 7, "storage_nodes_listing (org_id=? AND parent_id=? AND (is_file,name)>(?,?))"),
        (store.FIND_TRASH, 1, "storage_nodes_trash (parent_id=?)"),
        (store.LIST_UNUSED, 1, "blobs_unused"),
    ],
)
def test_plans(conn: sqlite3.Connection, sql: str, count: int, index: str) -> None:
    plan = plan_of(conn, sql, count)
    assert index in plan
    assert "TEMP B-TREE" not in plan
    assert "SCAN" not in plan


def test_large_folder_moves_and_goes_as_one_row(conn: sqlite3.Connection) -> None:
    tx = Tx(conn, 1)
    for name in ("big", "other"):
        tree.make_folder(tx, "org", parse_path(name))
    big = tree.get_folder_id(conn, "org", parse_path("big"))
    tx.executemany(
        "INSERT INTO storage_nodes (id, org_id, parent_id, name, is_file, size, created_at, modified_at) "
        "VALUES (?, 'org', ?, ?, 1, 0, 1, 1)",
        ((f"id{n}", big, f"{n:06}") for n in range(MANY)),
    )
    for change in (
        lambda: tree.rename(tx, "org", parse_path("big"), "bigger than before"),
        lambda: tree.move(tx, "org", parse_path("bigger than before"), parse_path("other")),
        lambda: tree.delete(tx, "org", parse_path("other"), lambda: None),
    ):
        before = conn.total_changes
        change()
        assert conn.total_changes == before + 1
    steps = 0
    while changed := store.take_apart_trash(tx, 1000):
        assert changed <= 1000
        steps += 1
        if steps == 3:
            break
    assert steps == 3


def test_children_come_in_order_and_from_a_position(conn: sqlite3.Connection) -> None:
    tx = Tx(conn, 1)
    for number, (name, is_file) in enumerate([("b", True), ("a", True), ("z", False), ("c", False)]):
        store.insert_node(tx, "org", Node(str(number), ROOT_ID, name, is_file, 0, None, None, None, 1, 1))
    assert [node.name for node in store.list_children(conn, "org", ROOT_ID, None, None)] == ["c", "z", "a", "b"]
    assert [node.name for node in store.list_children(conn, "org", ROOT_ID, None, 2)] == ["c", "z"]
    for is_file, name, rest in [(False, "c", "zab"), (False, "z", "ab"), (True, "a", "b"), (True, "b", "")]:
        after = store.Position(is_file, name)
        assert "".join(node.name for node in store.list_children(conn, "org", ROOT_ID, after, None)) == rest
