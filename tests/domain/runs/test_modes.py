"""Runs of one concurrency key: how many at a time, in which order, and that no place is lost or taken twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.operations.model import Done
from alloyd.domain.runs.model import RunState, StartRun
from alloyd.domain.runs.service import RunSettings
from alloyd.errors import AlloydError, Code
from tests.engine import Bench, open_bench
from tests.machine import node

ASK = node("a", operation="test.ask")
KEY = "trigger.key"


async def slots(bench: Bench) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = await bench.database.read(
        lambda conn: conn.execute("SELECT run_id, held FROM run_slots ORDER BY seq").fetchall()
    )
    return found


@pytest.mark.parametrize(("mode", "limit"), [("queue", None), ("queue", 2), ("parallel", 2)])
async def test_only_so_many_of_a_key_at_a_time_in_order(tmp_path: Path, mode: str, limit: int | None) -> None:
    async with open_bench(tmp_path) as bench:
        more = {} if limit is None else {"concurrency_limit": limit}
        workflow_id = await bench.publish(ASK, mode=mode, concurrency_key=KEY, **more)
        ids = [await bench.start(workflow_id, {"key": "k"}) for _ in range(5)]
        other = await bench.start(workflow_id, {"key": "other"})
        begun, allowed = [], (limit or 1)
        for _ in range(allowed + 1):
            begun.append(await bench.outside.next())
        assert {asked.context.run_id for asked in begun} == {*ids[:allowed], other}
        running = [asked for asked in begun if asked.context.run_id != other]
        for index in range(allowed, 5):
            await bench.settled_but(allowed + 1)
            assert bench.outside.waiting == 0
            assert await bench.state(ids[index]) == "queued"
            running.pop(0).answer(Done("x"))
            running.append(await bench.outside.next())
            assert running[-1].context.run_id == ids[index]
        for asked in [*running, *(one for one in begun if one.context.run_id == other)]:
            asked.answer()
        await bench.ends([*ids, other])
        await bench.settled()
        assert await slots(bench) == []
        assert bench.engine.held_back == {}


async def test_restart_ends_the_running_one_in_the_same_commit(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        workflow_id = await bench.publish(ASK, mode="restart", concurrency_key=KEY)
        first = await bench.start(workflow_id, {"key": 1})
        asked = await bench.outside.next()
        other = await bench.start(workflow_id, {"key": 2})
        await bench.outside.next()
        second = await bench.start(workflow_id, {"key": 1})
        assert await bench.state(first) == "cancelled"
        assert await bench.state(other) == "running"
        ended = await bench.end(first)
        assert ended.error is not None
        assert "newer run" in ended.error.message
        (await bench.outside.next()).answer(Done("out"))
        assert (await bench.end(second)).output == "out"
        assert asked.interrupted


@pytest.mark.parametrize("which", ["running", "queued"])
async def test_a_cancelled_run_frees_what_it_held_and_no_more(tmp_path: Path, which: str) -> None:
    async with open_bench(tmp_path) as bench:
        workflow_id = await bench.publish(ASK, mode="queue")
        ids = [await bench.start(workflow_id) for _ in range(3)]
        first = await bench.outside.next()
        await bench.runs.cancel(await bench.org(), ids[0] if which == "running" else ids[1])
        if which == "running":
            assert (await bench.outside.next()).context.run_id == ids[1]
        else:
            await bench.settled_but(1)
            assert bench.outside.waiting == 0
            first.answer()
            assert (await bench.outside.next()).context.run_id == ids[2]
        assert bench.engine.queued_of((await bench.org()).org_id) == (1 if which == "running" else 0)


async def test_a_restart_of_the_process_leaks_no_place(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        workflow_id = await bench.publish(ASK, mode="queue")
        ids = [await bench.start(workflow_id) for _ in range(3)]
        await bench.outside.next()
    async with open_bench(tmp_path, clock=bench.clock) as after:
        assert after.engine.held_back == {(await after.org()).org_id: 2}
        for run_id in ids:
            asked = await after.outside.next()
            assert asked.context.run_id == run_id
            await after.settled_but(1)
            assert after.outside.waiting == 0
            asked.answer()
        await after.ends(ids)
        assert await slots(after) == []


async def test_held_back_runs_count_as_queued(tmp_path: Path) -> None:
    async with open_bench(tmp_path, bounds=RunSettings(queued_per_org_max=2)) as bench:
        workflow_id = await bench.publish(ASK, mode="queue")
        await bench.start(workflow_id)
        await bench.outside.next()
        for _ in range(2):
            await bench.start(workflow_id)
        with pytest.raises(AlloydError) as caught:
            await bench.start(workflow_id)
        assert caught.value.code is Code.RATE_LIMITED


async def test_a_key_that_can_not_be_told(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        workflow_id = await bench.publish(ASK, mode="queue", concurrency_key=KEY)
        for payload in ({}, {"key": "x" * 300}):
            with pytest.raises(AlloydError) as caught:
                await bench.start(workflow_id, payload)
            assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "concurrency_key")
        assert await bench.count("runs") == 0


async def test_called_runs_wait_for_their_place_too(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publish(ASK, mode="queue", concurrency_key=KEY, name="sub")
        call = {"operation": "workflow.call", "config": {"workflow": "sub", "input": {"key": 1}}}
        each = {"operation": "workflow.foreach", "config": {"items": [{"key": 1}, {"key": 1}], "workflow": "sub"}}
        run_id = await bench.start(await bench.publish({"key": "c", **call}, {"key": "f", **each}))
        for _ in range(3):
            asked = await bench.outside.next()
            await bench.settled_but(1)
            assert bench.outside.waiting == 0
            asked.answer(Done("x"))
        assert (await bench.end(run_id)).output == {"c": "x", "f": ["x", "x"]}
        await bench.settled()
        assert await slots(bench) == []


async def test_no_run_starts_in_an_archived_organization(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        bench.orgs.on_archive(bench.runs.close_org)
        workflow_id = await bench.publish(ASK)
        other = await bench.publish(ASK, org="globex")
        await bench.orgs.archive((await bench.org()).org_id)
        with pytest.raises(AlloydError) as caught:
            await bench.start(workflow_id)
        assert (caught.value.code, caught.value.field) == (Code.CONFLICT, "organization_id")
        assert await bench.start(other, org="globex")
    async with open_bench(tmp_path, clock=bench.clock) as after:
        with pytest.raises(AlloydError):
            await after.start(workflow_id)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"mode": "other"}, "mode"),
        ({"mode": "queue", "concurrency_limit": 0}, "concurrency_limit"),
        ({"mode": "queue", "concurrency_key": "run.id"}, "concurrency_key"),
        ({"mode": "queue", "concurrency_key": "trigger."}, "concurrency_key"),
        ({"mode": "parallel", "concurrency_key": "trigger.a"}, "concurrency_limit"),
    ],
)
async def test_what_can_not_be_published(tmp_path: Path, more: dict[str, Any], path: str) -> None:
    async with open_bench(tmp_path) as bench:
        with pytest.raises(AlloydError) as caught:
            await bench.publish(ASK, **more)
        assert [fault["path"] for fault in caught.value.details] == [path]


async def test_a_pending_run_takes_its_place_when_it_starts(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        principal = await bench.org()
        workflow_id = await bench.publish(ASK, mode="queue")
        first = await bench.start(workflow_id)
        asked = await bench.outside.next()
        from_command = (await bench.runs.create(principal, StartRun(workflow_id, b"{}", "control"))).run.id
        await bench.runs.start_pending(principal, from_command)
        assert await bench.state(from_command) == "queued"
        asked.answer()
        assert (await bench.end(first)).state is RunState.COMPLETED
        assert (await bench.outside.next()).context.run_id == from_command
