"""Workflows that events start: which, with what, once each, and no circle without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.domain.runs.model import RunFilter
from alloyd.domain.runs.service import RunSettings
from alloyd.domain.triggers.service import REFUSED_KIND, TriggerService
from alloyd.events.model import Event
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock
from tests.engine import Bench, open_bench

LONG_S = 30.0
NODE = {"key": "a", "operation": "workflow.noop"}


@dataclass
class World:
    """One process's life."""

    bench: Bench
    triggers: TriggerService

    async def listen(self, event: str = "order.paid", name: str = "flow", **more: Any) -> str:
        return await self.bench.publish(NODE, name=name, trigger={"type": "event", "event": event, **more})

    async def watch(self, path: str, name: str = "flow", **more: Any) -> str:
        return await self.bench.publish(NODE, name=name, trigger={"type": "storage", "path": path, **more})

    async def tell(self, kind: str, payload: Any = None, org: str = "acme", **more: Any) -> None:
        org_id = (await self.bench.org(org)).org_id
        subject = more.pop("subject", "s")
        await self.bench.database.write(lambda tx: tx.emit(Event(org_id, kind, subject, payload, **more)))

    async def settle(self) -> None:
        async with asyncio.timeout(LONG_S):
            await self.triggers.consumer.settle()

    async def started(self) -> list[tuple[str, str, str]]:
        """``(workflow, trigger kind, kind of the event)`` of each run in the order of their starts."""
        await self.settle()
        rows = await self.bench.database.read(
            lambda conn: conn.execute(
                "SELECT name, trigger_kind, json_extract(payload, '$.event.kind') FROM runs "
                "JOIN workflows ON workflows.id = workflow_id ORDER BY seq"
            ).fetchall()
        )
        return list(rows)

    async def refusals(self) -> list[str]:
        rows = await self.bench.database.read(
            lambda conn: conn.execute(
                "SELECT payload FROM events WHERE kind = ? ORDER BY id", (REFUSED_KIND,)
            ).fetchall()
        )
        return [msgspec.json.decode(row[0])["reason"] for row in rows]


@asynccontextmanager
async def open_world(
    directory: Path,
    clock: ManualClock | None = None,
    *,
    chain_max: int = 3,
    starts: bool = False,
    listens: bool = True,
    bounds: RunSettings | None = None,
) -> AsyncIterator[World]:
    async with open_bench(directory, bounds=bounds, clock=clock, starts=starts) as bench:
        log = EventLog(bench.database, bench.hub)
        await log.start()
        triggers = TriggerService(bench.database, bench.hub, log, bench.workflows, bench.runs, lambda: chain_max)
        await triggers.open()
        task = asyncio.create_task(triggers.run()) if listens else None
        try:
            yield World(bench, triggers)
        finally:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def test_an_event_starts_what_listens_to_it(world: World) -> None:
    await world.listen()
    await world.tell("order.shipped")
    await world.tell("order.paid", {"n": 1}, subject="order-7")
    assert await world.started() == [("flow", "event", "order.paid")]
    (run,) = (await world.bench.runs.list_page(await world.bench.org(), RunFilter(), None, 10)).runs
    detail = await world.bench.detail(run.id)
    event = detail.run.payload["event"]
    assert (event["subject"], event["payload"]) == ("order-7", {"n": 1})
    assert detail.run.payload["n"] == 1  # as in a payload that a request brings
    assert set(event) >= {"id", "kind", "organization_id", "timestamp"}
    assert detail.run.started_by == "system"


async def test_all_that_begins_so(world: World) -> None:
    await world.listen("order.*")
    for kind in ("order.paid", "order", "orders.paid", "order.a.b"):
        await world.tell(kind)
    assert [kind for _name, _trigger, kind in await world.started()] == ["order.paid", "order.a.b"]


@pytest.mark.parametrize(
    ("match", "payload", "starts"),
    [
        ("event.payload.n > 1", {"n": 2}, True),
        ("{{ event.payload.n > 1 }}", {"n": 1}, False),
        ("event.payload.n > 1", {}, False),
        ("event.subject == 's'", {}, True),
        ({"n": 1}, {"n": 1, "m": 2}, True),
        ({"n": 1}, {"n": 2}, False),
        ({"n": 1}, {"n": True}, False),
        ({"n": True}, {"n": 1}, False),
        ({"n": None}, {}, False),
        ({"n": None}, {"n": None}, True),
        ({"a": {"b": [1]}}, {"a": {"b": [1], "c": 3}}, True),
        ({"a": {"b": 1}}, {"a": 3}, False),
        ({}, {"a": 3}, True),
    ],
)
async def test_match(world: World, match: Any, payload: dict[str, Any], starts: bool) -> None:
    await world.listen(match=match)
    await world.tell("order.paid", payload)
    assert bool(await world.started()) is starts
    assert await world.refusals() == []


async def test_a_match_that_fails_is_told(world: World) -> None:
    await world.listen(match="event.payload.n + 1 > 2")
    await world.tell("order.paid", {"n": "text"})
    await world.tell("order.paid", {"n": 5})
    assert len(await world.started()) == 1
    (reason,) = await world.refusals()
    assert reason.startswith("match: ")


async def test_organizations_do_not_hear_each_other(world: World) -> None:
    await world.listen()
    await world.tell("order.paid", org="other")
    assert await world.started() == []


async def test_several_workflows_listen(world: World) -> None:
    await world.listen(name="one")
    await world.listen("order.*", name="two")
    await world.listen("order.shipped", name="three")
    await world.tell("order.paid")
    assert sorted(name for name, _trigger, _kind in await world.started()) == ["one", "two"]


async def test_a_new_version_replaces_the_trigger_at_once(world: World) -> None:
    workflow_id = await world.listen()
    await world.listen("order.shipped")
    await world.tell("order.paid")
    await world.tell("order.shipped")
    assert [kind for _name, _trigger, kind in await world.started()] == ["order.shipped"]
    await world.bench.publish(NODE, trigger={"type": "api"})
    await world.tell("order.shipped")
    await world.listen("order.shipped")
    await world.tell("order.shipped")
    assert len(await world.started()) == 2
    await world.bench.workflows.delete(await world.bench.org(), workflow_id)
    await world.tell("order.shipped")
    assert len(await world.started()) == 2


async def test_a_workflow_with_a_trigger_is_started_by_requests_too(world: World) -> None:
    workflow_id = await world.listen()
    await world.bench.start(workflow_id)
    assert [trigger for _name, trigger, _kind in await world.started()] == ["api"]


async def test_what_happened_while_nobody_looked_starts_once(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_world(tmp_path, clock, listens=False) as world:
        await world.tell("order.paid", {"n": 0})
        clock.advance(1)
        await world.listen()
        await world.tell("order.paid", {"n": 1})
    for _life in range(3):
        async with open_world(tmp_path, clock) as world:
            assert await world.started() == [("flow", "event", "order.paid")]
    async with open_world(tmp_path, clock) as world:
        await world.tell("order.paid", {"n": 2})
        assert len(await world.started()) == 2


async def test_a_full_queue_is_told(tmp_path: Path) -> None:
    async with open_world(tmp_path, bounds=RunSettings(queued_per_org_max=0)) as world:
        await world.listen()
        await world.tell("order.paid")
        assert await world.started() == []
        (reason,) = await world.refusals()
        assert "queued runs" in reason


# -- circles -----------------------------------------------------------------------------------------------------------

EMIT = {"key": "a", "operation": "event.emit", "config": {"kind": "order.paid"}}


async def _ended_and_quiet(world: World, runs: int) -> None:
    """Until ``runs`` runs have ended, and nothing they told is still to be looked at."""
    async with asyncio.timeout(LONG_S):
        while await world.bench.database.read(
            lambda conn: conn.execute("SELECT count(*) FROM runs WHERE ended_at IS NOT NULL").fetchone()[0] < runs
        ):
            await asyncio.sleep(0)
    await world.bench.settled()
    await world.settle()


async def test_a_workflow_that_starts_itself_ends_and_says_so(tmp_path: Path) -> None:
    async with open_world(tmp_path, starts=True, chain_max=3) as world:
        await world.bench.publish(EMIT, trigger={"type": "event", "event": "order.paid"})
        await world.tell("order.paid")
        await _ended_and_quiet(world, 4)
        assert len(await world.started()) == 4
        (reason,) = await world.refusals()
        assert "triggers.chain_max is 3" in reason


async def test_two_that_start_each_other_end_too(tmp_path: Path) -> None:
    async with open_world(tmp_path, starts=True, chain_max=2) as world:
        pong = {"key": "a", "operation": "event.emit", "config": {"kind": "order.sent"}}
        await world.bench.publish(EMIT, name="ping", trigger={"type": "event", "event": "order.sent"})
        await world.bench.publish(pong, name="pong", trigger={"type": "event", "event": "order.paid"})
        await world.tell("order.paid")
        await _ended_and_quiet(world, 3)
        assert [name for name, _trigger, _kind in await world.started()] == ["pong", "ping", "pong"]
        assert len(await world.refusals()) == 1


async def test_the_events_of_runs_themselves_make_no_circle(tmp_path: Path) -> None:
    async with open_world(tmp_path, starts=True, chain_max=2) as world:
        await world.listen("workflow.*", name="flow", match="event.kind == 'workflow.run.completed'")
        other = await world.bench.publish(NODE, name="other")
        await world.bench.start(other)
        await _ended_and_quiet(world, 3)
        # The first run is a person's; those after it are each started by the end of the one before.
        assert len(await world.started()) == 3
        assert len(await world.refusals()) == 1


async def test_a_file_written_by_a_run_counts_as_its_event(world: World) -> None:
    workflow_id = await world.watch("inbox")
    run_id = await world.bench.start(workflow_id)
    await world.bench.database.write(
        lambda tx: tx.execute("UPDATE runs SET trigger_depth = 3 WHERE id = ? AND org_id <> ''", (run_id,))
    )
    await world.tell("storage_file.created", {"path": "inbox/a", "run_id": run_id}, subject="inbox/a")
    await world.tell("storage_file.created", {"path": "inbox/b"}, subject="inbox/b")
    assert [trigger for _name, trigger, _kind in await world.started()] == ["api", "storage"]
    assert len(await world.refusals()) == 1


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "kind", "subject", "payload", "starts"),
    [
        ({"path": "inbox"}, "storage_file.created", "inbox/a.csv", {}, True),
        ({"path": "inbox"}, "storage_file.updated", "inbox/a.csv", {}, True),
        ({"path": "inbox"}, "storage_file.deleted", "inbox/a.csv", {}, False),
        ({"path": "inbox"}, "storage_file.created", "other/a.csv", {}, False),
        ({"path": "inbox"}, "storage_folder.created", "inbox/a", {}, False),
        ({"path": "inbox/*.csv", "on": ["deleted"]}, "storage_file.deleted", "inbox/a.csv", {}, True),
        ({"path": "inbox/*.csv", "on": ["deleted"]}, "storage_file.deleted", "inbox/a.txt", {}, False),
        ({"path": "inbox"}, "storage_file.moved", "inbox/a", {"from": "tmp/a", "to": "inbox/a"}, True),
        ({"path": "inbox"}, "storage_file.moved", "inbox/b", {"from": "inbox/a", "to": "inbox/b"}, False),
        ({"path": "inbox"}, "storage_file.moved", "out/a", {"from": "inbox/a", "to": "out/a"}, False),
        ({"path": "inbox", "on": ["updated"]}, "storage_file.moved", "inbox/a", {"from": "x", "to": "inbox/a"}, False),
    ],
)
async def test_files(
    world: World, trigger: dict[str, Any], kind: str, subject: str, payload: dict[str, Any], starts: bool
) -> None:
    await world.watch(**trigger)
    await world.tell(kind, payload, subject=subject)
    assert await world.started() == ([("flow", "storage", kind)] if starts else [])
