"""How the table of runs is read: by an index, whatever the filter."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from alloyd.db.migrate import migrate
from alloyd.domain.runs import store

FILTERS = dict.fromkeys(("org", "state", "workflow", "trigger", "parent", "from", "to", "before", "limit"), 1)


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (store.LIST_ALL, "runs_by_org (org_id=?)"),
        (store.LIST_OF_STATE, "runs_by_state (org_id=? AND state=?)"),
        (store.LIST_OF_WORKFLOW, "runs_by_workflow (org_id=? AND workflow_id=?)"),
        (store.LIST_OF_PARENT, "runs_by_parent (parent_run_id=?)"),
        (store.LIST_DEAD, "runs_dead (org_id=?)"),
    ],
)
def test_a_list_is_read_by_its_index_in_order(tmp_path: Path, sql: str, index: str) -> None:
    migrate(tmp_path / "a.db")
    conn = sqlite3.connect(tmp_path / "a.db")
    plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", FILTERS)]
    conn.close()
    assert f"SEARCH runs USING INDEX {index}" in plan
    assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step]
