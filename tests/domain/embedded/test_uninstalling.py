"""What runs of an end user become when their workflow is taken away."""

from __future__ import annotations

import asyncio

import pytest

from alloyd.domain.embedded import uninstalling
from alloyd.domain.operations.model import Done
from alloyd.domain.runs.model import RunState
from alloyd.domain.runs.store_end_users import LIST_UNFINISHED
from tests.embedded import Embedded, open_embedded, waits

ASK = {"key": "ask", "operation": "test.ask"}


@pytest.fixture
async def world(tmp_path):
    async with open_embedded(tmp_path) as opened:
        yield opened


async def noted(world: Embedded) -> int:
    found: int = await world.bench.database.read(
        lambda conn: conn.execute("SELECT count(*) FROM uninstalled_workflows").fetchone()[0]
    )
    return found


async def until_done(world: Embedded) -> None:
    async with asyncio.timeout(30):
        while await noted(world):
            await asyncio.sleep(0)


async def test_runs_of_an_uninstalled_workflow_end_and_no_others(world: Embedded):
    workflow_id = await world.offer(waits())
    other_id = await world.offer(waits(), name="other", event="other")
    await world.install(workflow_id)
    await world.install(workflow_id, "bob")
    await world.install(other_id)
    mine = [await world.start_waiting() for _ in range(3)]
    bobs = await world.start_waiting(user="bob")
    (others,) = (await world.tell("other")).started
    await world.bench.until_told(others, "waiting wait")
    await world.uninstall(workflow_id)
    for run_id in mine:
        ended = await world.bench.end(run_id)
        assert (ended.state, ended.error.message) == (RunState.CANCELLED, uninstalling.REASON)
    await until_done(world)
    assert [await world.bench.state(run_id) for run_id in (bobs, others)] == ["waiting", "waiting"]
    assert (await world.tell("go")).resumed == (others,)


async def test_deactivating_ends_nothing(world: Embedded):
    workflow_id = await world.offer(waits())
    await world.install(workflow_id)
    run_id = await world.start_waiting()
    await world.deactivate(workflow_id)
    assert await noted(world) == 0
    assert await world.bench.state(run_id) == "waiting"


async def test_a_running_step_is_interrupted(world: Embedded):
    workflow_id = await world.offer(ASK)
    await world.install(workflow_id)
    (run_id,) = (await world.tell()).started
    asked = await world.bench.outside.next()
    await world.uninstall(workflow_id)
    assert (await world.bench.end(run_id)).state is RunState.CANCELLED
    await world.bench.settled()
    assert asked.interrupted


async def test_nothing_is_noted_where_nothing_runs(world: Embedded):
    workflow_id = await world.offer(ASK)
    await world.install(workflow_id)
    (run_id,) = (await world.tell()).started
    (await world.bench.outside.next()).answer(Done({}))
    await world.bench.end(run_id)
    await world.bench.database.write(
        lambda tx: tx.execute(
            "CREATE TRIGGER none BEFORE INSERT ON uninstalled_workflows BEGIN SELECT RAISE(FAIL, 'noted'); END"
        )
    )
    await world.uninstall(workflow_id)


async def test_what_was_called_ends_too_also_of_a_run_that_has_ended(world: Embedded):
    await world.bench.publish(waits(), name="inner")
    call = {"key": "call", "operation": "workflow.call", "config": {"workflow": "inner", "wait": False}}
    workflow_id = await world.offer(call)
    await world.install(workflow_id)
    (top,) = (await world.tell()).started
    await world.bench.end(top)
    (child,) = await world.bench.database.read(
        lambda conn: conn.execute("SELECT id FROM runs WHERE parent_run_id = ?", (top,)).fetchone()
    )
    await world.bench.until_told(child, "waiting wait")
    await world.uninstall(workflow_id)
    assert (await world.bench.end(child)).state is RunState.CANCELLED


async def test_deleting_the_workflow_ends_the_runs_of_all_who_had_it(world: Embedded):
    workflow_id = await world.offer(waits())
    runs = []
    for user in ("ada", "bob", "eve"):
        await world.install(workflow_id, user)
        runs.append(await world.start_waiting(user=user))
    await world.bench.workflows.delete(await world.bench.org(), workflow_id)
    for run_id in runs:
        assert (await world.bench.end(run_id)).state is RunState.CANCELLED


async def test_a_later_installation_keeps_its_runs(tmp_path):
    async with open_embedded(tmp_path) as world:
        workflow_id = await world.offer(waits())
        await world.install(workflow_id)
        old = await world.start_waiting()
    async with open_embedded(tmp_path, starts=False) as world:  # as when the daemon is killed right after it
        await world.uninstall(workflow_id)
        await world.install(workflow_id)
        (new,) = (await world.tell()).started
        assert await noted(world) == 1
    async with open_embedded(tmp_path) as world:
        assert (await world.bench.end(old)).state is RunState.CANCELLED
        await until_done(world)
        await world.bench.until_told(new, "waiting wait")
        assert (await world.tell("go")).resumed == (new,)


async def test_uninstalled_again_meanwhile_reaches_further(tmp_path):
    async with open_embedded(tmp_path) as world:
        workflow_id = await world.offer(waits())
        await world.install(workflow_id)
        runs = [await world.start_waiting()]
    async with open_embedded(tmp_path, starts=False) as world:
        for _ in range(2):
            await world.uninstall(workflow_id)
            await world.install(workflow_id)
            runs.extend((await world.tell()).started)
        assert await noted(world) == 1
    async with open_embedded(tmp_path) as world:
        for run_id in runs[:2]:
            assert (await world.bench.end(run_id)).state is RunState.CANCELLED
        await until_done(world)
        await world.bench.until_told(runs[2], "waiting wait")


async def test_many_runs_are_taken_page_by_page(world: Embedded, monkeypatch):
    monkeypatch.setattr(uninstalling, "RUNS_PER_PAGE", 3)
    workflow_id = await world.offer(waits())
    other_id = await world.offer(waits(), name="other", event="other")
    for one in (workflow_id, other_id):
        await world.install(one)
    runs = {event: [(await world.tell(event)).started[0] for _ in range(7)] for event in ("begin", "other")}
    await world.uninstall(workflow_id)
    await until_done(world)
    assert {await world.bench.state(run_id) for run_id in runs["begin"]} == {"cancelled"}
    for run_id in runs["other"]:
        await world.bench.until_told(run_id, "waiting wait")


async def test_a_failure_is_tried_again_and_keeps_nobody_waiting(world: Embedded, monkeypatch):
    monkeypatch.setattr(uninstalling, "RETRY_S", 0)
    cancel, failures = world.bench.runs.cancel, ["once"]

    async def failing(principal, run_id, reason):
        if failures:
            failures.pop()
            raise OSError("the disk")
        return await cancel(principal, run_id, reason)

    monkeypatch.setattr(world.bench.runs, "cancel", failing)
    workflow_id = await world.offer(waits())
    await world.install(workflow_id)
    run_id = await world.start_waiting()
    await world.uninstall(workflow_id)
    assert (await world.bench.end(run_id)).state is RunState.CANCELLED
    assert not failures


async def test_unfinished_runs_of_a_user_are_an_index_look_up(world: Embedded):
    plan = await world.bench.database.read(
        lambda conn: str(
            [tuple(row) for row in conn.execute(f"EXPLAIN QUERY PLAN {LIST_UNFINISHED}", ("o", "u", 0, 9))]
        )
    )
    assert "runs_unfinished_of_end_user" in plan
    assert "TEMP B-TREE" not in plan
