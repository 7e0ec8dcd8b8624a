"""However many runs there are, jobs are found by their own indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from alloyd.db.migrate import migrate
from alloyd.domain.jobs import store
from alloyd.domain.jobs.model import JobStatus, status_of
from alloyd.domain.runs.model import RunState

PARAMS = {
    "org_id": "o",
    "before": "g",
    "created_from": 0,
    "created_to": 9,
    "limit": 5,
    "status": "failed",
    "modality": "text",
}
# Whatever is asked for, one of these is walked backwards; none is sorted.
INDEXES = {
    (False, False): "runs_jobs",
    (False, True): "runs_jobs",
    (True, False): "runs_jobs_by_status",
    (True, True): "runs_jobs_by_status",
}


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    migrate(tmp_path / "alloyd.db")
    conn = sqlite3.connect(tmp_path / "alloyd.db")
    yield conn
    conn.close()


@pytest.mark.parametrize("asked", store.LISTS)
def test_lists_walk_an_index(conn: sqlite3.Connection, asked: tuple[bool, bool]) -> None:
    plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {store.LISTS[asked]}", PARAMS)]
    assert len(plan) == 1, plan
    assert f"USING INDEX {INDEXES[asked]}" in plan[0], plan


@pytest.mark.parametrize("state", RunState)
def test_index_and_model_agree_on_the_status(conn: sqlite3.Connection, state: RunState) -> None:
    conn.execute(
        "INSERT INTO runs (seq, id, org_id, workflow_id, version, state, trigger_kind, started_by, steps_total, "
        "created_at, metadata) VALUES (1, '0', 'o', 'w', 1, ?, 'job', 'k', 1, 5, '{\"modality\":\"text\"}')",
        (state.value,),
    )
    for status in JobStatus:
        found = conn.execute(store.LISTS[True, False], {**PARAMS, "status": status.value}).fetchall()
        assert bool(found) is (status is status_of(state))
