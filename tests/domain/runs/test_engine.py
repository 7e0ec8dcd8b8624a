"""The engine on a real database: what it records, when, and what comes of a run in every circumstance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.operations.model import Done, WaitUntil
from alloyd.domain.runs import driver
from alloyd.domain.runs.model import RunState, StartRun
from alloyd.domain.runs.worker import EngineSettings
from tests.engine import Bench, open_bench
from tests.machine import node


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as bench:
        yield bench


def ask(key: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    """A step whose end the test decides."""
    return node(key, *depends_on, operation="test.ask", **more)


def transform(key: str, *depends_on: str, values: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return node(key, *depends_on, operation="transform", config={"values": values or {"n": 1}}, **more)


# -- recording --------------------------------------------------------------------------------------------------------


async def test_three_pure_steps_take_two_commits(bench: Bench) -> None:
    workflow_id = await bench.publish(transform("a"), transform("b", "a"), transform("c", "b"))
    await bench.end(await bench.start(workflow_id))  # what is made once for a workflow is made
    await bench.settled()
    before = bench.database.stats.commits
    run_id = await bench.start(workflow_id)
    await bench.end(run_id)
    await bench.settled()  # by a commit of its own
    assert bench.database.stats.commits - before - 1 == 2, "the start and the end, and nothing in between"
    assert await bench.told(run_id) == [
        "run queued",
        "run started",
        "started a",
        "completed a",
        "started b",
        "completed b",
        "started c",
        "completed c",
        "run completed",
    ]


async def test_a_step_with_effects_begins_only_after_what_it_rests_on_is_recorded(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(transform("a"), ask("b", "a"), transform("c", "b")))
    asked = await bench.outside.next()
    assert await bench.steps(run_id) == {"a": "completed", "b": "running", "c": "waiting"}
    assert await bench.state(run_id) == "running"
    asked.answer(Done({"x": 1}))
    ended = await bench.end(run_id)
    assert (ended.state, ended.output) == (RunState.COMPLETED, {"n": 1})
    assert await bench.steps(run_id) == {"a": "completed", "b": "completed", "c": "completed"}


async def test_steps_side_by_side(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(ask("a"), ask("b"), transform("c", "a", "b")))
    first, second = await bench.outside.next(), await bench.outside.next()
    second.answer(Done(2))
    await bench.until_told(run_id, "completed b")
    first.answer(Done(1))
    assert (await bench.end(run_id)).state is RunState.COMPLETED


async def test_nothing_is_left_in_memory(bench: Bench) -> None:
    ids = await bench.start_many(300, await bench.publish(transform("a")))
    await bench.ends(ids)
    await bench.settled()
    assert bench.engine.running_count == 0
    assert bench.engine.queue.queued_count == 0
    assert bench.engine.queue.orgs() == []
    assert bench.engine._waiters == {}
    assert bench.engine.queue._known == set()
    assert bench.runs.admission.coming == {}
    assert bench.engine.ended_total == 300


async def test_a_full_disk_while_recording_holds_the_run_and_touches_nothing_outside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_RECORD_RETRY_S", 0.0)
    workflow_id = await bench.publish(
        ask("a"), transform("b", "a", values={"big": "{{ steps.a.output }}"}), ask("c", "b")
    )
    run_id = await bench.start(workflow_id)
    first = await bench.outside.next()
    pages = await bench.database.run_maintenance(lambda conn: conn.execute("PRAGMA page_count").fetchone()[0])
    await bench.database.run_maintenance(lambda conn: conn.execute(f"PRAGMA max_page_count={pages}").fetchone())
    failures = bench.database.stats.failures
    first.answer(Done("x" * 500_000))
    async with asyncio.timeout(30):
        while bench.database.stats.failures < failures + 3:
            await asyncio.sleep(0)
    assert bench.outside.waiting == 0, "a step began on the strength of what is not recorded"
    assert await bench.steps(run_id) == {"a": "running", "b": "waiting", "c": "waiting"}
    await bench.database.run_maintenance(lambda conn: conn.execute("PRAGMA max_page_count=1000000").fetchone())
    (await bench.outside.next()).answer()
    assert (await bench.end(run_id)).state is RunState.COMPLETED
    assert len(bench.outside.all) == 2, "no step ran twice"
    assert (await bench.told(run_id)).count("completed a") == 1


# -- failing ----------------------------------------------------------------------------------------------------------


async def test_a_failed_step_fails_the_run_and_says_which(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(ask("a"), transform("b", "a")))
    (await bench.outside.next()).fail()
    ended = await bench.end(run_id)
    assert ended.state is RunState.FAILED
    assert ended.error is not None
    assert (ended.error.code, ended.error.message, ended.error.step) == ("broken", "it broke", "a")
    assert await bench.steps(run_id) == {"a": "failed", "b": "skipped"}


async def test_an_operation_that_breaks_fails_its_step_without_telling_the_inside(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(ask("a", policy={"max_retries": 5})))
    (await bench.outside.next()).outcome.set_exception(RuntimeError("/secret/path"))
    ended = await bench.end(run_id)
    assert ended.error is not None
    assert ended.error.code == "internal"
    assert "secret" not in ended.error.message


async def test_a_retry_waits_its_backoff_and_gets_the_same_idempotency_key(bench: Bench) -> None:
    policy = {"max_retries": 2, "backoff": "exponential", "initial_delay_ms": 1000}
    run_id = await bench.start(await bench.publish(ask("a", policy=policy)))
    keys = []
    for delay_ms in (1000, 2000):
        asked = await bench.outside.next()
        keys.append(asked.context.idempotency_key)
        asked.fail(retryable=True)
        await bench.until_told(run_id, "run waiting", len(keys))
        await bench.settled()
        assert bench.engine.running_count == 0, "a waiting run is not in memory"
        bench.move(delay_ms - 1)
        await bench.settled()
        assert bench.outside.waiting == 0, "early"
        bench.move(1)
    asked = await bench.outside.next()
    assert asked.context.attempt == 3
    asked.answer()
    assert (await bench.end(run_id)).state is RunState.COMPLETED
    assert {*keys, asked.context.idempotency_key} == {f"{run_id}:a"}
    (step,) = (await bench.detail(run_id)).steps
    assert [entry.error.code for entry in step.attempts] == ["broken", "broken"]


async def test_retry_after_is_kept(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(ask("a")))
    (await bench.outside.next()).fail(retryable=True, retry_after_ms=50_000)
    await bench.until_told(run_id, "run waiting")
    bench.move(49_999)
    await bench.settled()
    assert bench.outside.waiting == 0
    bench.move(1)
    (await bench.outside.next()).answer()
    await bench.end(run_id)


async def test_a_timeout_interrupts_the_step(bench: Bench) -> None:
    policy = {"timeout_ms": 1, "max_retries": 0}
    run_id = await bench.start(await bench.publish(ask("a", policy=policy)))
    ended = await bench.end(run_id)
    assert ended.error is not None
    assert (ended.error.code, ended.error.step) == ("timeout", "a")
    assert bench.outside.all[0].interrupted


async def test_a_timeout_is_tried_again(bench: Bench) -> None:
    policy = {"timeout_ms": 1, "max_retries": 1, "initial_delay_ms": 0}
    run_id = await bench.start(await bench.publish(ask("a", policy=policy)))
    assert (await bench.end(run_id)).state is RunState.FAILED
    assert [asked.context.attempt for asked in bench.outside.all] == [1, 2]


@pytest.mark.parametrize(
    ("nodes", "code", "path"),
    [
        ([transform("a", values={"x": "{{ trigger.missing }}"})], "expression", "config.values.x"),
        ([transform("a", when="trigger.missing > 1")], "expression", "when"),
        ([transform("a"), transform("b", "a", inputs={"x": "$context.missing"})], "expression", "inputs.x"),
        (
            [transform("a", values={"x": "{{ [i * j for i in range(1000) for j in range(1000)] }}"})],
            "expression",
            "config.values.x",
        ),
        ([transform("a", values={"x": "{{ join(['x' * 1000000] * 4, '') }}"})], None, None),
    ],
)
async def test_expressions_that_can_not_be_worked_out_fail_their_step(
    bench: Bench, nodes: list[dict[str, Any]], code: str | None, path: str | None
) -> None:
    run_id = await bench.start(await bench.publish(*nodes))
    ended = await bench.end(run_id)
    assert ended.state is RunState.FAILED
    assert ended.error is not None
    if code is not None:
        assert ended.error.code == code
    if path is not None:
        assert ended.error.path == path
    assert ended.error.step == nodes[-1]["key"]


async def test_outputs_and_contexts_have_their_bounds(tmp_path: Path) -> None:
    settings = EngineSettings(step_output_bytes_max=1000, context_bytes_max=2000)
    async with open_bench(tmp_path, settings) as bench:
        cases = [
            ([ask("a")], Done("x" * 998), None),
            ([ask("a")], Done("x" * 999), "output_too_large"),
            ([ask("a")], WaitUntil(0, "x" * 999), "output_too_large"),
            ([ask("a")], Done(1, context={"k": "x" * 1992}), None),
            ([ask("a")], Done(1, context={"k": "x" * 1993}), "context_too_large"),
            ([ask("a")], Done(object()), "bad_output"),
            ([ask("a")], Done(1, context={"k": object()}), "bad_output"),
            ([ask("a", outputs={"n": "$context.n"})], Done({"n": "x", "rest": "y" * 900}), None),
        ]
        for number, (nodes, outcome, code) in enumerate(cases):
            run_id = await bench.start(await bench.publish(*nodes, name=f"flow {number}"))
            (await bench.outside.next()).answer(outcome)
            ended = await bench.end(run_id)
            assert (ended.error and ended.error.code) == code, number


async def test_a_context_that_grew_is_kept_over_steps(bench: Bench) -> None:
    workflow_id = await bench.publish(
        transform("a", values={"n": 5}, outputs={"n": "$context.deep.n"}),
        transform("b", "a", values={"x": "{{ context.deep.n + context.start }}"}),
    )
    run_id = await bench.start(workflow_id, context=b'{"start": 1}')
    assert (await bench.end(run_id)).output == {"x": 6}
    assert (await bench.detail(run_id)).run.context == {"start": 1, "deep": {"n": 5}}


# -- cancelling -------------------------------------------------------------------------------------------------------


async def test_cancel_interrupts_what_runs(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(ask("a"), ask("w"), transform("b", "a")))
    first, second = await bench.outside.next(), await bench.outside.next()
    second.answer(WaitUntil(bench.clock.now_ms() + 5000, None))
    await bench.until_told(run_id, "waiting w")
    detail = await bench.runs.cancel(await bench.org(), run_id)
    assert detail.run.state is RunState.CANCELLED
    assert await bench.steps(run_id) == {"a": "cancelled", "w": "skipped", "b": "skipped"}
    await bench.settled()
    assert first.interrupted
    assert await bench.count("timers") == 0
    assert (await bench.told(run_id))[-1] == "run cancelled"
    bench.move(10_000)
    await bench.settled()
    assert (await bench.told(run_id))[-1] == "run cancelled"


async def test_cancel_while_it_waits_for_a_timer(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(node("a", operation="workflow.delay", config={"for": 5000})))
    await bench.until_told(run_id, "run waiting")
    await bench.runs.cancel(await bench.org(), run_id)
    assert await bench.steps(run_id) == {"a": "skipped"}
    assert await bench.count("timers") == 0
    bench.move(10_000)
    await bench.settled()
    assert (await bench.told(run_id))[-1] == "run cancelled"


async def test_cancel_while_it_is_pending(bench: Bench) -> None:
    principal = await bench.org()
    command = StartRun(await bench.publish(ask("a")), b"{}", "control")
    run_id = (await bench.runs.create(principal, command)).run.id
    assert (await bench.runs.cancel(principal, run_id)).run.state is RunState.CANCELLED
    assert await bench.told(run_id) == ["run created", "skipped a", "run cancelled"]


@pytest.mark.parametrize("in_memory", [True, False])
async def test_cancel_while_it_is_queued(tmp_path: Path, in_memory: bool) -> None:
    settings = EngineSettings(running_max=1, seeds_per_org_max=10 if in_memory else 1)
    async with open_bench(tmp_path, settings) as bench:
        workflow_id = await bench.publish(ask("a"))
        ids = [await bench.start(workflow_id) for _ in range(5)]
        first = await bench.outside.next()
        queue = bench.engine.queue.org((await bench.org()).org_id)
        assert queue.overflow is not in_memory
        for run_id in (ids[1], ids[3]):
            await bench.runs.cancel(await bench.org(), run_id)
            assert await bench.told(run_id) == ["run queued", "skipped a", "run cancelled"]
        assert queue.queued == 2
        first.answer()
        for run_id in (ids[2], ids[4]):
            asked = await bench.outside.next()
            assert asked.context.run_id == run_id
            asked.answer()
            await bench.end(run_id)
        await bench.settled()
        assert (queue.queued, queue.running) == (0, 0)
        assert len(bench.outside.all) == 3


async def test_whoever_cancels_may_hang_up(bench: Bench) -> None:
    """What follows a cancel hangs on its commit, not on the caller."""
    run_id = await bench.start(await bench.publish(ask("a")))
    asked = await bench.outside.next()
    principal = await bench.org()
    cancelling = asyncio.create_task(bench.runs.cancel(principal, run_id))
    async with asyncio.timeout(30):
        while not bench.database.queue_length:
            await asyncio.sleep(0)
    cancelling.cancel()
    ended = await bench.end(run_id)
    assert ended.state is RunState.CANCELLED
    await bench.settled()
    assert asked.interrupted


async def test_what_ends_late_does_not_undo_a_cancel(bench: Bench) -> None:
    """The step ends in the very group of commits in which the run is cancelled."""
    run_id = await bench.start(await bench.publish(ask("a")))
    asked = await bench.outside.next()
    waiting = asyncio.create_task(bench.end(run_id))
    cancelling = asyncio.create_task(bench.runs.cancel(await bench.org(), run_id))
    async with asyncio.timeout(30):
        while not bench.database.queue_length:
            await asyncio.sleep(0)
    asked.answer()
    await cancelling
    assert (await waiting).state is RunState.CANCELLED
    await bench.settled()
    assert await bench.state(run_id) == "cancelled"
    assert [told for told in await bench.told(run_id) if told.startswith("run ")] == [
        "run queued",
        "run started",
        "run cancelled",
    ]


# -- stopping and starting again --------------------------------------------------------------------------------------


async def test_interrupted_steps_run_again_with_the_same_key(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        run_id = await bench.start(await bench.publish(ask("a"), ask("b", "a")))
        (await bench.outside.next()).answer(Done({"from": "before"}))
        asked = await bench.outside.next()
        key = asked.context.idempotency_key
    assert asked.interrupted
    async with open_bench(tmp_path, clock=bench.clock) as after:
        again = await after.outside.next()
        assert (again.context.step_key, again.context.attempt) == ("b", 2)
        assert again.context.idempotency_key == key
        assert again.context.names["steps"]["a"]["output"] == {"from": "before"}
        again.answer(Done("end"))
        ended = await after.end(run_id)
        assert (ended.state, ended.output) == (RunState.COMPLETED, "end")
        assert len(after.outside.all) == 1, "a step whose result is recorded ran again"
        assert [entry.error.code for entry in (await after.detail(run_id)).steps[1].attempts] == ["interrupted"]
        assert "run resumed" in await after.told(run_id)


async def test_stop_lets_steps_end_within_the_grace(tmp_path: Path) -> None:
    async with open_bench(tmp_path, grace_s=30) as bench:
        run_id = await bench.start(await bench.publish(ask("a"), ask("b")))
        asked = [await bench.outside.next(), await bench.outside.next()]
        stopping = asyncio.create_task(bench.engine.stop(30))
        for one in asked:
            await asyncio.sleep(0)
            assert not stopping.done()
            one.answer()
        await stopping
        assert await bench.state(run_id) == "completed"
        assert await bench.start(await bench.publish(ask("a"), name="other"))
        await bench.settled()
        assert bench.outside.waiting == 0, "nothing new is taken"


async def test_what_was_queued_is_begun_after_a_restart(tmp_path: Path) -> None:
    async with open_bench(tmp_path, starts=False) as bench:
        ids = await bench.start_many(700, await bench.publish(transform("a")))
        assert await bench.state(ids[0]) == "queued"
    async with open_bench(tmp_path) as after:
        ends = await after.ends(ids)
        assert {ended.state for ended in ends} == {RunState.COMPLETED}
        await after.settled()
        assert after.engine.ended_total == 700
        assert after.engine.queue.queued_count == 0


async def test_a_large_payload_waits_on_the_disk(tmp_path: Path) -> None:
    async with open_bench(tmp_path, EngineSettings(seed_bytes_max=100)) as bench:
        workflow_id = await bench.publish(transform("a", values={"n": "{{ len(trigger.x) }}"}))
        run_id = await bench.start(workflow_id, {"x": "y" * 5000})
        assert (await bench.end(run_id)).output == {"n": 5000}


async def test_a_run_whose_definition_can_not_be_compiled_any_more_ends_and_says_why(tmp_path: Path) -> None:
    async with open_bench(tmp_path, starts=False) as bench:
        workflow_id = await bench.publish(ask("a"))
        run_id = await bench.start(workflow_id)
        await bench.database.write(
            lambda tx: tx.execute(
                "UPDATE workflow_versions SET definition = replace(definition, 'test.ask', 'test.gone')"
            )
        )
    async with open_bench(tmp_path) as after:
        ended = await after.end(run_id)
        assert ended.state is RunState.FAILED
        assert ended.error is not None
        assert (ended.error.code, "test.gone" in ended.error.message) == ("unprocessable", True)
        detail = await after.detail(run_id)
        assert (detail.run.state, detail.steps) == (RunState.FAILED, [])


# -- waiting for the end ----------------------------------------------------------------------------------------------


async def test_waiting_for_the_end(bench: Bench) -> None:
    principal = await bench.org()
    command = StartRun(await bench.publish(ask("a")), b"{}", "api")
    waiting = asyncio.create_task(bench.runs.start_and_wait(principal, command, 30))
    (await bench.outside.next()).answer(Done("out"))
    started, ended = await waiting
    assert ended is not None
    assert (ended.state, ended.output) == (RunState.COMPLETED, "out")
    assert (await bench.end(started.run_id)).output == "out"


async def test_waiting_in_vain_leaves_nothing_behind(bench: Bench) -> None:
    command = StartRun(await bench.publish(ask("a")), b"{}", "api")
    started, ended = await bench.runs.start_and_wait(await bench.org(), command, 0)
    assert ended is None
    assert bench.engine._waiters == {}
    (await bench.outside.next()).answer()
    await bench.end(started.run_id)


async def test_a_stop_keeps_nobody_waiting_for_what_no_longer_moves(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        principal = await bench.org()
        napping = StartRun(
            await bench.publish(node("a", operation="workflow.delay", config={"for": "1h"})), b"{}", "api"
        )
        asking = StartRun(await bench.publish(ask("a"), name="other"), b"{}", "api")
        waiting = [asyncio.create_task(bench.runs.start_and_wait(principal, one, 30)) for one in (napping, asking)]
        asked = await bench.outside.next()
        await bench.settled_but(1)
        stopping = asyncio.create_task(bench.engine.stop(30))
        _started, ended = await waiting[0]
        assert ended is None
        assert not stopping.done()
        late = await bench.runs.start_and_wait(principal, napping, 30)
        assert (late[0].created, late[1]) == (True, None)
        asked.answer(Done("out"))  # within the grace: whoever waits for it is told
        _started, ended = await waiting[1]
        assert ended is not None
        assert ended.output == "out"
        await stopping


async def test_whoever_waits_for_an_interrupted_run_is_let_go(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        command = StartRun(await bench.publish(ask("a")), b"{}", "api")
        waiting = asyncio.create_task(bench.runs.start_and_wait(await bench.org(), command, 30))
        await bench.outside.next()
        await bench.engine.stop(0)
        _started, ended = await waiting
        assert ended is None
        assert bench.engine._waiters == {}


async def test_many_may_wait_for_one_run(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(ask("a")))
    waiting = [asyncio.create_task(bench.end(run_id)) for _ in range(10)]
    (await bench.outside.next()).answer()
    assert {ended.state for ended in await asyncio.gather(*waiting)} == {RunState.COMPLETED}
