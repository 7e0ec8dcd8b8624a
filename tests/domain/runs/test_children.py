"""Runs that steps start: calls and foreach, on a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.domain.operations.model import Done
from alloyd.domain.runs.model import RunFilter, RunState, RunView
from alloyd.domain.runs.service import RunSettings
from alloyd.domain.runs.worker import EngineSettings
from alloyd.errors import AlloydError
from tests.engine import Bench, open_bench
from tests.machine import node


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as bench:
        yield bench


def ask(key: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    return node(key, *depends_on, operation="test.ask", **more)


def transform(key: str, *depends_on: str, **values: Any) -> dict[str, Any]:
    return node(key, *depends_on, operation="transform", config={"values": values})


def call(key: str, workflow: str, *depends_on: str, **config: Any) -> dict[str, Any]:
    return node(key, *depends_on, operation="workflow.call", config={"workflow": workflow, **config})


def foreach(key: str, items: Any, *depends_on: str, **config: Any) -> dict[str, Any]:
    return node(key, *depends_on, operation="workflow.foreach", config={"items": items, **config})


async def children(bench: Bench, run_id: str) -> list[RunView]:
    """Oldest first."""
    found = await bench.runs.list_page(await bench.org(), RunFilter(parent_run_id=run_id), None, 200)
    return found.runs[::-1]


async def left(bench: Bench) -> dict[str, int]:
    """Rows that belong to waits."""

    def read(conn: Any) -> dict[str, int]:
        tables = ("wakeups", "event_waits", "foreach_items", "run_slots", "timers")
        return {table: conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}

    return {table: count for table, count in (await bench.database.read(read)).items() if count}


# -- call -------------------------------------------------------------------------------------------------------------


async def test_a_call_gives_the_output_of_the_run_it_started(bench: Bench) -> None:
    await bench.publish(transform("double", n="{{ trigger.n * 2 }}"), name="double")
    run_id = await bench.start(
        await bench.publish(
            call("a", "double", input={"n": "{{ trigger.n }}"}), transform("b", "a", n="{{ steps.a.output.n + 1 }}")
        ),
        {"n": 4},
    )
    assert (await bench.end(run_id)).output == {"n": 9}
    (child,) = await children(bench, run_id)
    assert (child.parent_run_id, child.parent_step, child.depth, child.trigger_kind) == (run_id, "a", 1, "workflow")
    await bench.settled()
    assert await left(bench) == {}


async def test_a_waiting_caller_is_not_in_memory(bench: Bench) -> None:
    await bench.publish(ask("x"), name="asks")
    run_id = await bench.start(await bench.publish(call("a", "asks")))
    asked = await bench.outside.next()
    await bench.settled_but(1)
    assert await bench.state(run_id) == "waiting"
    asked.answer(Done("out"))
    assert (await bench.end(run_id)).output == "out"
    assert (await bench.told(run_id))[-5:] == [
        "waiting a",
        "run waiting",
        "run resumed",
        "completed a",
        "run completed",
    ]


async def test_a_call_that_does_not_wait_leaves_the_run_to_itself(bench: Bench) -> None:
    await bench.publish(ask("x"), name="asks")
    run_id = await bench.start(await bench.publish(call("a", "asks", wait=False)))
    ended = await bench.end(run_id)
    (child,) = await children(bench, run_id)
    assert ended.output == {"run_id": child.id, "workflow_id": child.workflow_id}
    (await bench.outside.next()).answer(Done("later"))
    assert (await bench.end(child.id)).output == "later"


async def test_a_failed_run_fails_its_caller_with_its_error(bench: Bench) -> None:
    await bench.publish(ask("x"), name="asks")
    run_id = await bench.start(await bench.publish(call("a", "asks")))
    (await bench.outside.next()).fail()
    ended = await bench.end(run_id)
    assert ended.error is not None
    assert (ended.state, ended.error.code, ended.error.message, ended.error.step) == (
        RunState.FAILED,
        "broken",
        "it broke",
        "a",
    )
    (child,) = await children(bench, run_id)
    assert ended.error.details == {"run_id": child.id, "step": "x"}


async def test_a_cancelled_caller_cancels_what_it_waits_for_all_the_way_down(bench: Bench) -> None:
    await bench.publish(ask("x"), name="bottom")
    await bench.publish(call("m", "bottom"), name="middle")
    run_id = await bench.start(await bench.publish(call("a", "middle")))
    asked = await bench.outside.next()
    (middle,) = await children(bench, run_id)
    (bottom,) = await children(bench, middle.id)
    await bench.runs.cancel(await bench.org(), run_id)
    assert [ended.state for ended in await bench.ends([middle.id, bottom.id])] == [RunState.CANCELLED] * 2
    await bench.settled()
    assert asked.interrupted
    assert await left(bench) == {}


async def test_calls_go_only_so_deep(bench: Bench) -> None:
    workflow_id = await bench.publish(call("again", "flow", input={"n": "{{ trigger.n + 1 }}"}))
    ended = await bench.end(await bench.start(workflow_id, {"n": 0}))
    assert ended.error is not None
    assert (ended.state, ended.error.code) == (RunState.FAILED, "too_deep")
    assert await bench.count("runs") == 17


@pytest.mark.parametrize("config", [{"workflow": "nowhere"}, {"workflow": "flow", "version": 7}])
async def test_what_is_not_there_can_not_be_called(bench: Bench, config: dict[str, Any]) -> None:
    workflow_id = await bench.publish(node("a", operation="workflow.call", config=config))
    ended = await bench.end(await bench.start(workflow_id))
    assert ended.error is not None
    assert (ended.error.code, ended.error.path) == ("not_found", "workflow")


async def test_an_older_version_can_be_called(bench: Bench) -> None:
    await bench.publish(transform("x", v=1), name="sub")
    await bench.publish(transform("x", v=2), name="sub")
    run_id = await bench.start(await bench.publish(call("a", "sub", version=1), call("b", "sub")))
    assert (await bench.end(run_id)).output == {"a": {"v": 1}, "b": {"v": 2}}


async def test_a_full_queue_lets_the_call_be_tried_again(tmp_path: Path) -> None:
    async with open_bench(tmp_path, bounds=RunSettings(queued_per_org_max=1)) as bench:
        await bench.publish(ask("x"), name="asks")
        workflow_id = await bench.publish(call("a", "asks"))
        bench.runs.set_bounds(RunSettings(queued_per_org_max=1))
        run_id = await bench.start(workflow_id)
        bench.engine.queued_per_org_max = 0
        await bench.until_told(run_id, "retrying a")
        bench.engine.queued_per_org_max = 1
        await bench.settled()
        bench.move(10_000)
        (await bench.outside.next()).answer(Done("out"))
        assert (await bench.end(run_id)).output == "out"


async def test_a_restart_loses_no_call_and_makes_none_twice(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publish(ask("x"), name="asks")
        ids = [await bench.start(await bench.publish(call("a", "asks"))) for _ in range(3)]
        for _ in ids:
            await bench.outside.next()
        await bench.until_told(ids[-1], "run waiting")
    async with open_bench(tmp_path, clock=bench.clock) as after:
        for _ in ids:
            (await after.outside.next()).answer(Done("out"))
        assert [ended.output for ended in await after.ends(ids)] == ["out"] * 3
        assert await after.count("runs") == 6


# -- foreach ----------------------------------------------------------------------------------------------------------


async def test_inline_nodes_run_for_each_item(bench: Bench) -> None:
    inline = [
        transform("x", n="{{ item * trigger.by + index }}"),
        transform("y", "x", n="{{ steps.x.output.n }}", seen="{{ context.seen }}"),
    ]
    merge = node("begin", operation="workflow.merge_context", config={"values": {"seen": "yes"}})
    workflow_id = await bench.publish(merge, foreach("each", "trigger.items", "begin", nodes=inline, concurrency=2))
    run_id = await bench.start(workflow_id, {"items": [1, 2, 3, 4, 5], "by": 10})
    ended = await bench.end(run_id)
    assert ended.output == [{"n": 10 * (index + 1) + index, "seen": "yes"} for index in range(5)]
    found = await children(bench, run_id)
    assert [(child.scope, child.item_index) for child in found] == [("each", index) for index in range(5)]
    detail = await bench.detail(run_id)
    assert (detail.run.steps_total, detail.run.steps_done) == (2, 2)
    assert [step.key for step in (await bench.detail(found[0].id)).steps] == ["x", "y"]
    await bench.settled()
    assert await left(bench) == {}


async def test_a_workflow_runs_for_each_item_with_its_input(bench: Bench) -> None:
    await bench.publish(transform("x", got="{{ trigger }}"), name="sub")
    plain = foreach("plain", [1, {"a": 2}], workflow="sub")
    given = foreach("given", [1, 2], workflow="sub", input={"i": "{{ index }}", "t": "{{ trigger.t }}{{ item }}"})
    ended = await bench.end(await bench.start(await bench.publish(plain, given), {"t": "x"}))
    assert ended.output == {
        "plain": [{"got": 1}, {"got": {"a": 2}}],
        "given": [{"got": {"i": 0, "t": "x1"}}, {"got": {"i": 1, "t": "x2"}}],
    }


async def test_foreach_within_foreach(bench: Bench) -> None:
    inner = foreach("in", "item", nodes=[transform("x", n="{{ item * trigger.by }}")])
    run_id = await bench.start(
        await bench.publish(foreach("out", "trigger.rows", nodes=[inner])), {"rows": [[1, 2], [3]], "by": 2}
    )
    assert (await bench.end(run_id)).output == [[{"n": 2}, {"n": 4}], [{"n": 6}]]


async def test_only_so_many_at_a_time_and_all_in_order(bench: Bench) -> None:
    workflow_id = await bench.publish(foreach("each", list(range(7)), nodes=[ask("x")], concurrency=3))
    run_id = await bench.start(workflow_id)
    first = [await bench.outside.next() for _ in range(3)]
    await bench.settled_but(3)
    assert bench.outside.waiting == 0
    for asked in reversed(first):
        asked.answer(Done(asked.context.names["item"]))
    for _ in range(4):
        asked = await bench.outside.next()
        asked.answer(Done(asked.context.names["item"]))
    assert (await bench.end(run_id)).output == list(range(7))


@pytest.mark.parametrize("collect", [True, False])
async def test_no_items(bench: Bench, collect: bool) -> None:
    workflow_id = await bench.publish(foreach("each", "trigger.items", nodes=[ask("x")], collect=collect))
    ended = await bench.end(await bench.start(workflow_id, {"items": []}))
    assert ended.output == ([] if collect else {"total": 0, "completed": 0, "failed": 0})


async def test_a_failed_item_ends_the_others(bench: Bench) -> None:
    run_id = await bench.start(await bench.publish(foreach("each", [0, 1, 2], nodes=[ask("x")], concurrency=2)))
    first, second = await bench.outside.next(), await bench.outside.next()
    (second if second.context.names["index"] == 1 else first).fail()
    ended = await bench.end(run_id)
    assert ended.error is not None
    assert (ended.error.code, ended.error.step, ended.error.details["index"]) == ("broken", "each", 1)
    states = [(await bench.end(child.id)).state for child in await children(bench, run_id)]
    assert states == [RunState.CANCELLED, RunState.FAILED]
    await bench.settled()
    assert await left(bench) == {}


async def test_a_failed_item_may_be_left_behind(bench: Bench) -> None:
    each = foreach("each", [0, 1, 2], nodes=[ask("x")], on_error="continue")
    counted = foreach(
        "counted", [0, 1], nodes=[transform("y", n="{{ item / item }}")], on_error="continue", collect=False
    )
    run_id = await bench.start(await bench.publish(each, counted))
    for _ in range(3):
        asked = await bench.outside.next()
        if asked.context.names["index"] == 1:
            asked.fail()
        else:
            asked.answer(Done(asked.context.names["index"]))
    output = (await bench.end(run_id)).output
    assert output["each"][0] == 0
    assert output["each"][1]["error"]["code"] == "broken"
    assert output["each"][2] == 2
    assert output["counted"] == {"total": 2, "completed": 1, "failed": 1}


async def test_outputs_that_are_too_large_together(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        big = [transform("x", t="{{ trigger.t }}")]
        workflow_id = await bench.publish(foreach("each", [1, 2], nodes=big))
        ended = await bench.end(await bench.start(workflow_id, {"t": "x" * 600_000}))
        assert ended.error is not None
        assert (ended.error.code, ended.error.step) == ("output_too_large", "each")
        await bench.settled()
        assert await left(bench) == {}


async def test_the_bound_is_of_the_whole_list_as_json(tmp_path: Path) -> None:
    outputs = ["\u2603", None, {"a": [1, 2.5]}, "x" * 200]

    async def gather(name: str, bytes_max: int) -> Any:
        (tmp_path / name).mkdir()
        async with open_bench(tmp_path / name, EngineSettings(step_output_bytes_max=bytes_max)) as bench:
            each = foreach("each", [0, 1, 2, 3, 4], nodes=[ask("x")], on_error="continue", concurrency=5)
            run_id = await bench.start(await bench.publish(each))
            for _ in range(5):
                asked = await bench.outside.next()
                index = asked.context.names["index"]
                if index == 4:
                    asked.fail()
                else:
                    asked.answer(Done(outputs[index]))
            ended = await bench.end(run_id)
            return ended.output if ended.error is None else ended.error.code

    whole = await gather("whole", 10_000)
    assert whole[:4] == outputs
    assert whole[4]["error"]["code"] == "broken"
    size = len(msgspec.json.encode(whole))
    assert await gather("exact", size) == whole
    assert await gather("over", size - 1) == "output_too_large"


async def test_too_many_items(bench: Bench) -> None:
    workflow_id = await bench.publish(foreach("each", "trigger.i", nodes=[ask("x")]))
    ended = await bench.end(await bench.start(workflow_id, {"i": [0] * 10_001}))
    assert ended.error is not None
    assert (ended.error.code, ended.error.path) == ("too_many_items", "items")


async def test_the_end_of_the_run_ends_the_items(bench: Bench) -> None:
    finish = node("stop", "first", operation="workflow.finish", config={"output": "enough"})
    run_id = await bench.start(await bench.publish(foreach("each", [1, 2], nodes=[ask("x")]), ask("first"), finish))
    asked = [await bench.outside.next() for _ in range(3)]
    next(one for one in asked if one.context.step_key == "first").answer()
    assert (await bench.end(run_id)).output == "enough"
    for child in await children(bench, run_id):
        assert (await bench.end(child.id)).state is RunState.CANCELLED
    await bench.settled()
    assert await left(bench) == {}


async def test_a_restart_goes_on_in_the_middle(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        run_id = await bench.start(
            await bench.publish(foreach("each", list(range(6)), nodes=[ask("x")], concurrency=2))
        )
        done = []
        for _ in range(3):
            asked = await bench.outside.next()
            asked.answer(Done(asked.context.names["item"]))
            done.append(asked.context.names["item"])
        await bench.outside.next()
    async with open_bench(tmp_path, clock=bench.clock) as after:
        again = []
        for _ in range(3):
            asked = await after.outside.next()
            asked.answer(Done(asked.context.names["item"]))
            again.append(asked.context.names["item"])
        assert (await after.end(run_id)).output == list(range(6))
        assert sorted(done + again) == list(range(6)), "an item ran twice, or was lost"
        assert await after.count("runs") == 7
        await after.settled()
        assert await left(after) == {}


async def test_children_left_by_a_crash_are_ended_at_the_start(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publish(ask("x"), name="asks")
        run_id = await bench.start(await bench.publish(call("a", "asks")))
        await bench.outside.next()
        (child,) = await children(bench, run_id)
        bench.engine.end_child = None  # the process dies right after the commit
        await bench.runs.cancel(await bench.org(), run_id)
    async with open_bench(tmp_path, clock=bench.clock) as after:
        assert (await after.end(child.id)).state is RunState.CANCELLED


@pytest.mark.parametrize(
    ("config", "path", "says"),
    [
        ({"items": [1]}, "nodes[0].config", "give `workflow` or `nodes`"),
        ({"items": [1], "nodes": [], "workflow": "x"}, "nodes[0].config", "not both"),
        ({"items": [1], "nodes": []}, "nodes[0].config.nodes", "at least one step"),
        ({"items": [1], "nodes": [{"key": "x"}]}, "nodes[0].config.nodes[0]", "operation"),
        (
            {"items": [1], "nodes": [{"key": "x!", "operation": "workflow.noop"}]},
            "nodes[0].config.nodes[0].key",
            "letters",
        ),
        (
            {"items": [1], "nodes": [{"key": "x", "operation": "no.such"}]},
            "nodes[0].config.nodes[0].operation",
            "no operation",
        ),
        (
            {"items": [1], "nodes": [transform("x", n="{{ nowhere }}")]},
            "nodes[0].config.nodes[0].config",
            "no name",
        ),
        ({"items": "{{ item }}", "workflow": "x"}, "nodes[0].config", "no name 'item'"),
        ({"items": [1], "workflow": "x", "concurrency": 101}, "nodes[0].config.concurrency", "100"),
        ({"items": [1], "workflow": "x", "input": "{{ nothing }}"}, "nodes[0].config.input", "no name 'nothing'"),
    ],
)
async def test_what_can_not_be_published(bench: Bench, config: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(AlloydError) as caught:
        await bench.publish(node("each", operation="workflow.foreach", config=config))
    faults = {fault["path"]: fault["message"] for fault in caught.value.details}
    assert any(place.startswith(path) and says in message for place, message in faults.items()), faults


async def test_many_items_are_never_all_in_memory(bench: Bench) -> None:
    run_id = await bench.start(
        await bench.publish(foreach("each", "trigger.i", nodes=[transform("x", n="{{ item }}")], concurrency=5)),
        {"i": list(range(300))},
    )
    peak = 0
    ending = asyncio.create_task(bench.end(run_id))
    while not ending.done():
        peak = max(peak, bench.engine.running_count + bench.engine.queue.queued_count)
        await asyncio.sleep(0)
    assert [entry["n"] for entry in (await ending).output] == list(range(300))
    assert peak <= 7
