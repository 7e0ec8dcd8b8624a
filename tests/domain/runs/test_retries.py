"""Ended runs that are run again, and those that failed for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.operations.model import Done
from alloyd.domain.runs.model import RunFilter, RunState, StartRun
from alloyd.errors import AlloydError, Code
from tests.engine import Bench, open_bench
from tests.machine import branch, node


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as bench:
        yield bench


def ask(key: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    return node(key, *depends_on, operation="test.ask", **more)


async def failed_run(bench: Bench, payload: Any = None) -> str:
    """a, then b which fails, then c; d beside them."""
    run_id = await bench.start(
        await bench.publish(ask("a", policy={"max_retries": 1}), ask("b", "a"), ask("c", "b"), ask("d")), payload
    )
    first, second = await bench.outside.next(), await bench.outside.next()
    for asked in (first, second):
        asked.answer(Done(f"old {asked.context.step_key}"))
    (await bench.outside.next()).fail()
    assert (await bench.end(run_id)).state is RunState.FAILED
    return run_id


async def dead(bench: Bench, **wanted: Any) -> list[str]:
    return [run.id for run in (await bench.retries.list_dead(await bench.org(), RunFilter(**wanted), None, 50)).runs]


@pytest.mark.parametrize(
    ("start", "again"),
    [
        ("start", {"a", "b", "c", "d"}),
        ("failed", {"b", "c"}),
        ("a", {"a", "b", "c"}),
        ("d", {"d", "b", "c"}),
        ("c", {"b", "c"}),
    ],
)
async def test_only_what_comes_after_runs_again(bench: Bench, start: str, again: set[str]) -> None:
    run_id = await failed_run(bench, {"n": 1})
    new = await bench.retries.retry(await bench.org(), run_id, start)
    assert (new.run.retry_of, new.run.trigger_kind) == (run_id, "retry")
    assert (await bench.detail(run_id)).run.retried_by == new.run.id
    seen = set()
    for _ in again:
        asked = await bench.outside.next()
        seen.add(asked.context.step_key)
        assert asked.context.names["trigger"] == {"n": 1}
        asked.answer(Done(f"new {asked.context.step_key}"))
    assert seen == again
    ended = await bench.end(new.run.id)
    assert ended.output == {"c": "new c", "d": "new d" if "d" in again else "old d"}
    assert (await bench.detail(run_id)).run.state is RunState.FAILED, "the old one stays as it was"


async def test_a_retry_survives_a_restart(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        run_id = await failed_run(bench)
    async with open_bench(tmp_path, clock=bench.clock, starts=False) as down:
        new = (await down.retries.retry(await down.org(), run_id, "failed")).run.id
    async with open_bench(tmp_path, clock=bench.clock) as after:
        asked = await after.outside.next()
        assert (asked.context.run_id, asked.context.step_key) == (new, "b")
        assert asked.context.names["steps"]["a"]["output"] == "old a"


async def test_a_way_that_was_not_taken_is_not_taken_again(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(branch("if"), ask("no", "if.else"), ask("yes", "if.then")))
    (await bench.outside.next()).fail()
    await bench.end(run_id)
    new = await bench.retries.retry(await bench.org(), run_id, "failed")
    (await bench.outside.next()).answer(Done("out"))
    assert (await bench.end(new.run.id)).output == {"yes": "out"}
    assert await bench.steps(new.run.id) == {"if": "completed", "no": "skipped", "yes": "completed"}


async def test_the_context_is_the_one_it_began_with_or_was_left_with(bench: Bench) -> None:
    merge = node("m", operation="workflow.merge_context", config={"values": {"n": "{{ context.n + 1 }}"}})
    command = StartRun(await bench.publish(merge, ask("a", "m")), b"{}", "api", b'{"n": 1}')
    run_id = (await bench.runs.start(await bench.org(), command)).run_id
    (await bench.outside.next()).fail()
    await bench.end(run_id)
    for start in ("start", "failed"):
        new = await bench.retries.retry(await bench.org(), run_id, start)
        asked = await bench.outside.next()
        assert asked.context.names["context"] == {"n": 2}
        asked.answer()
        await bench.end(new.run.id)


async def test_the_newest_version_may_be_used(bench: Bench) -> None:
    run_id = await failed_run(bench)
    await bench.publish(ask("a"), node("b", "a"), node("z", "b", operation="transform", config={"values": {"v": 2}}))
    new = await bench.retries.retry(await bench.org(), run_id, "failed", "latest")
    assert new.run.version == 2
    assert (await bench.end(new.run.id)).output == {"v": 2}
    await bench.publish(ask("a"))
    with pytest.raises(AlloydError) as caught:
        await bench.retries.retry(await bench.org(), run_id, "b", "latest")
    assert (caught.value.code, caught.value.field) == (Code.UNPROCESSABLE, "from")


async def test_what_can_not_be_run_again(bench: Bench) -> None:
    principal = await bench.org()
    workflow_id = await bench.publish(ask("a"))
    running = await bench.start(workflow_id)
    asked = await bench.outside.next()

    async def refused(run_id: str, start: str) -> Code:
        with pytest.raises(AlloydError) as caught:
            await bench.retries.retry(principal, run_id, start)
        return caught.value.code

    assert await refused(running, "start") is Code.CONFLICT
    asked.answer()
    await bench.end(running)
    assert await refused(running, "failed") is Code.CONFLICT
    assert await refused(running, "nowhere") is Code.UNPROCESSABLE
    assert await refused("nowhere", "start") is Code.NOT_FOUND
    each = node("e", operation="workflow.foreach", config={"items": [1], "nodes": [node("x")]})
    parent = await bench.start(await bench.publish(each, name="each"))
    await bench.end(parent)
    (child,) = (await bench.runs.list_page(principal, RunFilter(parent_run_id=parent), None, 10)).runs
    assert await refused(child.id, "start") is Code.CONFLICT
    await bench.workflows.delete(principal, workflow_id)
    assert await refused(running, "start") is Code.NOT_FOUND


async def test_a_cancelled_run_goes_on_from_where_it_was(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(ask("a"), ask("b", "a")))
    (await bench.outside.next()).answer(Done("old"))
    await bench.outside.next()
    await bench.runs.cancel(await bench.org(), run_id)
    assert await dead(bench) == []
    new = await bench.retries.retry(await bench.org(), run_id, "failed")
    asked = await bench.outside.next()
    assert asked.context.step_key == "b"
    asked.answer(Done("new"))
    assert (await bench.end(new.run.id)).output == "new"


# -- dead letters -----------------------------------------------------------------------------------------------------


async def test_a_failed_run_is_a_dead_letter_until_it_is_dealt_with(bench: Bench) -> None:
    principal = await bench.org()
    first, second, third = [await failed_run(bench) for _ in range(3)]
    assert await dead(bench) == [third, second, first]
    assert await dead(bench, workflow_id="other") == []
    new = await bench.retries.requeue(principal, first)
    await bench.retries.discard(principal, second)
    await bench.retries.retry(principal, third, "start")
    assert await dead(bench) == []
    assert new.run.retry_of == first
    for once_more in (bench.retries.requeue, bench.retries.discard):
        with pytest.raises(AlloydError) as caught:
            await once_more(principal, first)
        assert (caught.value.code, caught.value.message) == (Code.NOT_FOUND, "dead letter not found")


async def test_a_run_that_another_one_waits_for_is_none(bench: Bench) -> None:
    await bench.publish(ask("x"), name="sub")
    run_id = await bench.start(await bench.publish(node("c", operation="workflow.call", config={"workflow": "sub"})))
    (await bench.outside.next()).fail()
    await bench.end(run_id)
    assert await dead(bench) == [run_id]
