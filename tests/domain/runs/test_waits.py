"""Steps that wait for events and signals, on a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.operations.model import Done
from alloyd.domain.runs import awaited
from alloyd.domain.runs.event_waits import holds, patterns_of
from alloyd.domain.runs.model import RunState
from alloyd.errors import AlloydError, Code
from alloyd.events.model import Event
from tests.engine import Bench, open_bench
from tests.machine import node


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path) as bench:
        yield bench


def wait_for(event: str, key: str = "w", *depends_on: str, **config: Any) -> dict[str, Any]:
    return node(key, *depends_on, operation="workflow.wait_event", config={"event": event, **config})


async def tell(bench: Bench, kind: str, payload: dict[str, Any] | None = None, org: str = "acme") -> None:
    org_id = (await bench.org(org)).org_id
    await bench.database.write(lambda tx: tx.emit(Event(org_id, kind, "subject", payload or {})))
    await bench.consumer.settle()


async def waiting(bench: Bench, *nodes: dict[str, Any], payload: Any = None) -> str:
    run_id = await bench.start(await bench.publish(*nodes), payload)
    await bench.until_told(run_id, "run waiting")
    await bench.settled()
    return run_id


async def count_waits(bench: Bench) -> int:
    found: int = await bench.database.read(
        lambda conn: conn.execute(
            "SELECT (SELECT count(*) FROM event_waits) + (SELECT count(*) FROM wakeups)"
        ).fetchone()[0]
    )
    return found


@pytest.mark.parametrize("event", ["order.paid", "order.*"])
async def test_the_event_resumes_the_step_once(bench: Bench, event: str) -> None:
    await bench.publish(node("a"), name="other")
    await tell(bench, "order.paid", {"before": True})
    run_id = await waiting(bench, wait_for(event))
    await tell(bench, "order.lost" if event == "order.paid" else "orders.paid")
    await tell(bench, "order.paid", {"n": 1})
    await tell(bench, "order.paid", {"n": 2})
    output = (await bench.end(run_id)).output
    assert (output["kind"], output["payload"], output["subject"]) == ("order.paid", {"n": 1}, "subject")
    assert (await bench.told(run_id)).count("completed w") == 1
    await bench.settled()
    assert await count_waits(bench) == 0
    assert not bench.engine.awaited.has_any((await bench.org()).org_id, patterns_of("order.paid"))


async def test_another_organization_s_event_is_not_ours(bench: Bench) -> None:
    run_id = await waiting(bench, wait_for("order.paid"))
    await tell(bench, "order.paid", org="globex")
    assert await bench.state(run_id) == "waiting"


@pytest.mark.parametrize(
    "match",
    [
        {"order": {"id": "{{ trigger.id }}"}},
        "event.payload.order.id == trigger.id and event.payload.total > 5",
        "{{ event.payload.order.id == trigger.id and event.payload.total > 5 }}",
    ],
)
async def test_only_what_matches(bench: Bench, match: Any) -> None:
    run_id = await waiting(bench, wait_for("order.paid", match=match), payload={"id": 7})
    before = len(await bench.told(run_id))
    for payload in ({}, {"order": {"id": 8}, "total": 9}, {"order": 7}):
        await tell(bench, "order.paid", payload)
        await bench.settled()
        assert await bench.state(run_id) == "waiting"
    assert len(await bench.told(run_id)) == before, "what does not match leaves no trace in the run's story"
    await tell(bench, "order.paid", {"order": {"id": 7, "x": 1}, "total": 9})
    assert (await bench.end(run_id)).output["payload"]["total"] == 9
    await bench.settled()
    assert await count_waits(bench) == 0


async def test_a_run_in_memory_is_resumed_too(bench: Bench) -> None:
    run_id = await bench.start(
        await bench.publish(wait_for("order.paid", match="event.payload.n == 2"), node("x", operation="test.ask"))
    )
    asked = await bench.outside.next()
    await bench.until_told(run_id, "waiting w")
    await tell(bench, "order.paid", {"n": 1})
    await tell(bench, "order.paid", {"n": 2})
    await bench.until_told(run_id, "completed w")
    asked.answer(Done("x"))
    assert (await bench.end(run_id)).output["w"]["payload"] == {"n": 2}


@pytest.mark.parametrize("on_timeout", ["fail", "continue"])
async def test_a_wait_that_takes_too_long(bench: Bench, on_timeout: str) -> None:
    late = node("late", "w.timed_out", operation="transform", config={"values": {"late": True}})
    came = node("came", "w.received", operation="transform", config={"values": {"came": True}})
    run_id = await waiting(bench, wait_for("order.paid", timeout="1h", on_timeout=on_timeout), late, came)
    bench.move(3_599_999)
    await bench.settled()
    assert await bench.state(run_id) == "waiting", "early"
    bench.move(1)
    ended = await bench.end(run_id)
    if on_timeout == "fail":
        assert ended.error is not None
        assert (ended.error.code, ended.error.step) == ("timed_out", "w")
    else:
        assert ended.output == {"late": {"late": True}}
    await tell(bench, "order.paid")
    await bench.settled()
    assert await count_waits(bench) == await bench.count("timers") == 0


async def test_an_event_in_time_clears_the_timer(bench: Bench) -> None:
    run_id = await waiting(bench, wait_for("order.paid", timeout="1h"))
    await tell(bench, "order.paid")
    assert (await bench.end(run_id)).state is RunState.COMPLETED
    assert await bench.count("timers") == 0


async def test_what_happens_while_no_engine_runs_is_not_lost(tmp_path: Path) -> None:
    async with open_bench(tmp_path) as bench:
        run_id = await waiting(bench, wait_for("order.paid", match={"n": 1}))
        other = await waiting(bench, wait_for("order.paid", match="event.payload.n == 1"))
    async with open_bench(tmp_path, clock=bench.clock, starts=False) as down:
        await tell(down, "order.paid", {"n": 1})
    async with open_bench(tmp_path, clock=bench.clock) as after:
        for one in (run_id, other):
            assert (await after.end(one)).output["payload"] == {"n": 1}
            assert (await after.told(one)).count("completed w") == 1


async def test_what_nobody_waits_for_any_more_is_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited, "KNOWN_MIN", 5)
    principal = await bench.org()
    workflow_id = await bench.publish(wait_for("order.{{ trigger.n }}"))
    for n in range(20):
        run_id = await bench.start(workflow_id, {"n": f"n{n}"})
        await bench.until_told(run_id, "run waiting")
        await bench.runs.cancel(principal, run_id)
    assert len(bench.engine.awaited._events[principal.org_id]) <= 6


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["order.paid", "w"])
async def test_a_signal_resumes_the_step(bench: Bench, name: str) -> None:
    run_id = await waiting(bench, wait_for("order.paid", match={"never": True}))
    assert await bench.waits.signal(await bench.org(), run_id, name, {"ok": 1}) == "w"
    output = (await bench.end(run_id)).output
    assert (output["kind"], output["payload"]) == (name, {"ok": 1})
    assert "signaled w" in await bench.told(run_id)


async def test_a_signal_that_nobody_waits_for(bench: Bench) -> None:
    principal = await bench.org()
    run_id = await waiting(bench, wait_for("order.paid"))
    for one, name, code in (
        (run_id, "other", Code.CONFLICT),
        ("nowhere", "order.paid", Code.NOT_FOUND),
    ):
        with pytest.raises(AlloydError) as caught:
            await bench.waits.signal(principal, one, name, None)
        assert caught.value.code is code
    await bench.waits.signal(principal, run_id, "order.paid", None)
    await bench.end(run_id)
    with pytest.raises(AlloydError) as caught:
        await bench.waits.signal(principal, run_id, "order.paid", None)
    assert caught.value.code is Code.CONFLICT


async def test_one_signal_of_two_sent_at_once_counts(bench: Bench) -> None:
    principal = await bench.org()
    run_id = await waiting(bench, wait_for("go"))
    results = await asyncio.gather(
        *(bench.waits.signal(principal, run_id, "go", n) for n in range(2)), return_exceptions=True
    )
    assert [isinstance(result, AlloydError) for result in results] == [False, True]
    assert (await bench.end(run_id)).output["payload"] == 0


async def test_a_signal_before_the_timeout_wins(bench: Bench) -> None:
    run_id = await waiting(bench, wait_for("go", timeout=1000))
    bench.clock.advance(5000)  # the timer is due, and nobody has looked yet
    await bench.waits.signal(await bench.org(), run_id, "go", "in time")
    assert (await bench.end(run_id)).output["payload"] == "in time"


async def test_a_flow_s_user_input_waits_for_a_signal(bench: Bench) -> None:
    flow = {
        "start": {"type": "starting_step", "next": "ask"},
        "ask": {"type": "user_input", "config": {"prompt": "Well?"}, "next": "end"},
        "end": {"type": "finish", "config": {"output": "{{ steps.ask.output.payload.answer }}"}},
    }
    saved = await bench.workflows.save(
        await bench.org(), {"name": "f", "type": "structured", "starting_step_id": "start", "flow": flow}
    )
    run_id = await bench.start(saved.version.workflow.id)
    await bench.until_told(run_id, "run waiting")
    await bench.waits.signal(await bench.org(), run_id, "user_input", {"answer": 42})
    assert (await bench.end(run_id)).output == 42


# -- pure -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "given", "result"),
    [
        ({}, {"a": 1}, True),
        ({}, None, False),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {}, False),
        ({"a": None}, {"a": None}, True),
        ({"a": {"b": [1]}}, {"a": {"b": [1], "c": 0}}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": "1"}, {"a": 1}, False),
    ],
)
def test_what_a_payload_has_to_hold(wanted: Any, given: Any, result: bool) -> None:
    assert holds(wanted, given) is result


def test_patterns() -> None:
    assert patterns_of("a.b.c") == ("a.b.c", "a.b.*", "a.*")
    assert patterns_of("a") == ("a",)


@pytest.mark.parametrize(
    "config", [{"event": "a\nb"}, {"event": "*"}, {"event": ".*"}, {"event": " a"}, {"event": "a", "timeout": "soon"}]
)
async def test_what_can_not_be_published(bench: Bench, config: dict[str, Any]) -> None:
    with pytest.raises(AlloydError) as caught:
        await bench.publish(node("w", operation="workflow.wait_event", config=config))
    assert caught.value.code is Code.UNPROCESSABLE
