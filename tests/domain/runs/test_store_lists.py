"""How the table of runs is read: by an index, whatever the filter."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from alloyd.db.migrate import migrate
from alloyd.domain.runs import store_lists
from alloyd.domain.runs.model import RunFilter, RunState
from tests.engine import open_bench
from tests.machine import node

FILTERS = dict.fromkeys(("org", "state", "workflow", "trigger", "parent", "from", "to", "before", "limit", "slim"), 1)


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (store_lists.LIST_ALL, "runs_by_org (org_id=?)"),
        (store_lists.LIST_OF_STATE, "runs_by_state (org_id=? AND state=?)"),
        (store_lists.LIST_OF_WORKFLOW, "runs_by_workflow (org_id=? AND workflow_id=?)"),
        (store_lists.LIST_OF_PARENT, "runs_by_parent (parent_run_id=?)"),
        (store_lists.LIST_DEAD, "runs_dead (org_id=?)"),
        (store_lists.LIST_TOP_LEVEL, "runs_top_level (org_id=?)"),
        (store_lists.LIST_TOP_LEVEL_OF_STATE, "runs_by_state (org_id=? AND state=?)"),
        (store_lists.LIST_TOP_LEVEL_OF_WORKFLOW, "runs_top_level_by_workflow (org_id=? AND workflow_id=?)"),
    ],
)
def test_a_list_is_read_by_its_index_in_order(tmp_path: Path, sql: str, index: str) -> None:
    migrate(tmp_path / "a.db")
    conn = sqlite3.connect(tmp_path / "a.db")
    plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", FILTERS)]
    conn.close()
    assert f"SEARCH runs USING INDEX {index}" in plan
    assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step]


async def test_top_level_leaves_out_what_other_runs_started(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        config = {"items": "trigger.items", "nodes": [node("x", operation="workflow.noop")]}
        flow = await bench.publish(node("each", operation="workflow.foreach", config=config), name="flow")
        other = await bench.publish(node("a"), name="other")
        first = await bench.start(flow, {"items": [1, 2, 3]})
        second = await bench.start(other)
        for run_id in (first, second):
            assert (await bench.end(run_id)).state is RunState.COMPLETED
        await bench.settled()
        org = await bench.org()

        async def listed(before: str | None = None, limit: int = 50, **wanted: Any) -> list[str]:
            found = await bench.runs.list_page(org, RunFilter(**wanted), before, limit)
            return [run.id for run in found.runs]

        assert len(await listed()) == 5
        assert await listed(top_level=True) == [second, first]
        assert await listed(top_level=True, limit=1) == [second]
        assert await listed(second, top_level=True) == [first]
        assert len(await listed(state=RunState.COMPLETED)) == 5
        assert await listed(top_level=True, state=RunState.COMPLETED) == [second, first]
        assert await listed(top_level=True, state=RunState.FAILED) == []
        assert await listed(top_level=True, workflow_id=flow) == [first]
        assert await listed(top_level=True, workflow_id=flow, state=RunState.FAILED) == []


async def test_a_page_ends_with_what_holds_very_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_bench(tmp_path) as bench:
        flow = await bench.publish(
            node("a", operation="transform", config={"values": {"said": "{{ trigger.said }}"}}), name="flow"
        )
        started = [await bench.start(flow, {"said": str(number) * 1000}) for number in range(4)]
        for run_id in started:
            assert (await bench.end(run_id)).state is RunState.COMPLETED
        org = await bench.org()
        monkeypatch.setattr(store_lists, "PAGE_CHARS_MAX", 2500)
        pages, before = [], None
        while True:
            page = await bench.runs.list_page(org, RunFilter(), before, 50)
            pages.append([run.id for run in page.runs])
            if not page.cut_short:
                break
            before = page.runs[-1].id
        assert [run_id for page in pages for run_id in page] == started[::-1]
        assert all(0 < len(page) < 3 for page in pages)
        slim = await bench.runs.list_page(org, RunFilter(slim=True), None, 50)
        assert not slim.cut_short
        assert [(run.id, run.output, run.context) for run in slim.runs] == [(one, None, {}) for one in started[::-1]]
        monkeypatch.setattr(store_lists, "PAGE_CHARS_MAX", 1)
        assert len((await bench.runs.list_page(org, RunFilter(), None, 50)).runs) == 1
