from __future__ import annotations

import pytest

from alloyd.domain.operations.model import Done
from alloyd.domain.runs.store_end_users import ERRORS, LOGS
from tests.embedded import Embedded, open_embedded, waits

ASK = {"key": "ask", "operation": "test.ask"}


@pytest.fixture
async def world(tmp_path):
    async with open_embedded(tmp_path) as opened:
        yield opened


async def run_once(world: Embedded, user: str = "ada", *, fails: bool = False, takes_ms: int = 5) -> str:
    """A run that asks, and ends so; its id."""
    (run_id,) = (await world.tell(user=user)).started
    asked = await world.bench.outside.next()
    world.bench.clock.advance(takes_ms)
    if fails:
        asked.fail()
    else:
        asked.answer(Done({}))
    await world.bench.end(run_id)
    return run_id


async def logs(world: Embedded, workflow_id: str, page: int = 0, limit: int = 10, order="desc", user: str = "ada"):
    return await world.logs.list_logs(await world.bench.org(), await world.user(user), workflow_id, page, limit, order)


async def errors(world: Embedded, workflow_id: str, page: int = 0, limit: int = 10, order="desc", user: str = "ada"):
    return await world.logs.list_errors(
        await world.bench.org(), await world.user(user), workflow_id, page, limit, order
    )


def named(kind: str, run_id: str) -> str:
    return f"{kind}_{run_id.replace('-', '')}"


async def test_a_run_is_logged_as_it_stands(world: Embedded):
    workflow_id = await world.offer(ASK)
    await world.install(workflow_id)
    good = await run_once(world)
    bad = await run_once(world, fails=True, takes_ms=7)
    began = world.bench.clock.now_ms()
    (going,) = (await world.tell()).started
    await world.bench.outside.next()
    world.bench.clock.advance(3)
    found = await logs(world, workflow_id)
    assert [(one.id, one.status.value, one.duration_ms) for one in found] == [
        (named("log", going), "pending", 3),
        (named("log", bad), "failure", 7),
        (named("log", good), "success", 5),
    ]
    assert found[0].executed_at == began
    assert {one.workflow_id for one in found} == {workflow_id}


async def test_failed_runs_are_listed_with_why(world: Embedded):
    workflow_id = await world.offer(ASK)
    await world.install(workflow_id)
    await run_once(world)
    bad = await run_once(world, fails=True)
    (one,) = await errors(world, workflow_id)
    assert (one.id, one.workflow_id, one.occurred_at) == (named("err", bad), workflow_id, world.bench.clock.now_ms())
    assert "it broke" in one.message


async def test_a_step_that_may_fail_and_a_cancelled_run_are_no_errors(world: Embedded):
    workflow_id = await world.offer({**ASK, "policy": {"on_error": "continue"}})
    await world.install(workflow_id)
    await run_once(world, fails=True)
    (run_id,) = (await world.tell()).started
    await world.bench.outside.next()
    await world.bench.runs.cancel(await world.bench.org(), run_id)
    assert await errors(world, workflow_id) == []
    assert [one.status.value for one in await logs(world, workflow_id)] == ["failure", "success"]


async def test_pages_follow_each_other_and_end_with_an_empty_one(world: Embedded):
    workflow_id = await world.offer(ASK)
    await world.install(workflow_id)
    runs = [await run_once(world, fails=True) for _ in range(5)]
    for listing, kind in ((logs, "log"), (errors, "err")):
        newest_first = [named(kind, run_id) for run_id in reversed(runs)]
        pages = [[one.id for one in await listing(world, workflow_id, page, 2)] for page in range(4)]
        assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:], []]
        oldest = [one.id for one in await listing(world, workflow_id, 0, 2, "asc")]
        assert oldest == newest_first[::-1][:2]


async def test_another_users_and_another_workflows_runs_are_not_listed(world: Embedded):
    workflow_id = await world.offer(ASK)
    other = await world.offer({"key": "a", "operation": "workflow.noop"}, name="other", event="else")
    await world.install(workflow_id)
    await world.install(other)
    await world.install(workflow_id, "bob")
    await run_once(world, fails=True)
    await world.bench.end((await world.tell("else")).started[0])
    assert len(await logs(world, workflow_id)) == len(await logs(world, other)) == 1
    assert await logs(world, workflow_id, user="bob") == await errors(world, workflow_id, user="bob") == []


async def test_a_run_that_waits_is_pending_and_stays_one_entry(world: Embedded):
    workflow_id = await world.offer(waits())
    await world.install(workflow_id)
    run_id = await world.start_waiting()
    (before,) = await logs(world, workflow_id)
    await world.tell("go")
    await world.bench.end(run_id)
    (after,) = await logs(world, workflow_id)
    assert (before.id, before.status.value, after.status.value) == (after.id, "pending", "success")


async def test_runs_that_a_run_called_are_no_entries(world: Embedded):
    each = {"key": "each", "operation": "workflow.foreach"}
    each["config"] = {"items": [1, 2], "nodes": [{"key": "a", "operation": "workflow.noop"}]}
    workflow_id = await world.offer(each)
    await world.install(workflow_id)
    await world.bench.end((await world.tell()).started[0])
    assert len(await logs(world, workflow_id)) == 1


async def test_a_page_is_an_index_look_up(world: Embedded):
    def plans(conn):
        statements = [*LOGS.values(), *ERRORS.values()]
        return [conn.execute("EXPLAIN QUERY PLAN " + sql, ("o", "u", "w", 10, 20)).fetchall() for sql in statements]

    for rows in await world.bench.database.read(plans):
        (row,) = rows  # no sorting
        assert "runs_logged" in row[3]
        assert "(org_id=? AND end_user_id=? AND workflow_id=?)" in row[3]
