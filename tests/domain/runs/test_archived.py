"""What becomes of the runs of an organization that is archived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from alloyd.domain.runs import archived
from alloyd.domain.runs.archived import ArchivedRuns
from alloyd.domain.runs.model import RunState, StartRun
from alloyd.domain.runs.store import LIST_UNFINISHED
from tests.engine import Bench, open_bench
from tests.machine import node

ASK = node("ask", operation="test.ask")
WAIT = node("wait", operation="workflow.wait_event", config={"event": "a.b"})
NAP = node("nap", operation="workflow.delay", config={"for": "1d"})


@asynccontextmanager
async def open_world(directory: Path, *, works: bool = True) -> AsyncIterator[Bench]:
    async with open_bench(directory, starts=works) as bench:
        runs = ArchivedRuns(bench.database, bench.runs)
        bench.orgs.on_archive(bench.runs.close_org)
        bench.orgs.on_archive(runs.end_of_organization)
        loop = asyncio.create_task(runs.run()) if works else None
        try:
            yield bench
        finally:
            if loop is not None:
                loop.cancel()
                await asyncio.gather(loop, return_exceptions=True)


async def start_in_all_states(bench: Bench, org: str = "acme") -> list[str]:
    """A pending run, one that asks, one that waits, one that sleeps, one that is held back, and one that calls them."""
    ids = {}
    for one in (ASK, WAIT, NAP):
        ids[one["key"]] = await bench.publish(one, name=one["key"], org=org)
    queued = await bench.publish(ASK, name="queued", mode="queue", org=org)
    calls = await bench.publish(
        node("call", operation="workflow.call", config={"workflow": "wait"}), name="calls", org=org
    )
    started = [await bench.start(one, org=org) for one in (*ids.values(), queued, queued, calls)]
    for _ in range(2):
        await bench.outside.next()
    pending = await bench.runs.create(await bench.org(org), StartRun(ids["ask"], b"{}", "api"))
    await bench.settled_but(2)
    return [*started, pending.run.id]


async def test_all_unfinished_runs_end_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archived, "RUNS_PER_PAGE", 2)
    async with open_world(tmp_path) as bench:
        mine = await start_in_all_states(bench)
        asked = list(bench.outside.all)
        other = await bench.start(await bench.publish(WAIT, name="w", org="globex"), org="globex")
        await bench.orgs.archive((await bench.org()).org_id)
        for run_id in mine:
            ended = await bench.end(run_id)
            assert ended.state is RunState.CANCELLED
        assert ended.error is not None
        assert ended.error.message == archived.REASON
        await bench.settled()
        assert all(one.interrupted for one in asked)
        org_id = (await bench.org()).org_id
        async with asyncio.timeout(30):  # one that was called has nobody who could be asked for it
            while await bench.database.read(lambda conn: conn.execute(LIST_UNFINISHED, (org_id, 9)).fetchall()):
                await asyncio.sleep(0)
        assert await bench.state(other, "globex") == "waiting"


async def test_the_next_start_ends_what_a_kill_left(tmp_path: Path) -> None:
    async with open_world(tmp_path) as bench:
        run_ids = await start_in_all_states(bench)
    async with open_world(tmp_path, works=False) as bench:
        await bench.orgs.archive((await bench.org()).org_id)
        assert await bench.state(run_ids[1]) == "waiting"
    async with open_world(tmp_path) as bench:
        for run_id in run_ids:
            assert (await bench.end(run_id)).state is RunState.CANCELLED


async def test_a_failure_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archived, "RETRY_S", 0)
    async with open_world(tmp_path) as bench:
        cancel, failures = bench.runs.cancel, ["once"]

        async def failing(principal, run_id, reason):
            if failures:
                failures.pop()
                raise OSError("the disk")
            return await cancel(principal, run_id, reason)

        monkeypatch.setattr(bench.runs, "cancel", failing)
        run_id = await bench.start(await bench.publish(WAIT))
        await bench.orgs.archive((await bench.org()).org_id)
        assert (await bench.end(run_id)).state is RunState.CANCELLED
        assert not failures


async def test_unfinished_runs_are_an_index_look_up(tmp_path: Path) -> None:
    async with open_world(tmp_path) as bench:
        plan = await bench.database.read(
            lambda conn: str([tuple(row) for row in conn.execute(f"EXPLAIN QUERY PLAN {LIST_UNFINISHED}", ("o", 9))])
        )
    assert "SEARCH runs USING INDEX runs_by_state" in plan
