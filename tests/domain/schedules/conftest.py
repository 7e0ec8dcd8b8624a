"""Schedules over a real engine that does not run: what is started stays queued. Time passes as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.domain.runs.service import RunSettings
from alloyd.domain.schedules.model import CreateSchedule, Schedule, ScheduleSettings
from alloyd.domain.schedules.service import ScheduleService
from alloyd.domain.schedules.worker import ScheduleWorker
from alloyd.kit.clock import ManualClock, rfc3339
from alloyd.principal import Principal
from tests.engine import Bench, open_bench

NODE = {"key": "a", "operation": "workflow.noop"}


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@dataclass
class World:
    """One process's life."""

    bench: Bench
    clock: ManualClock
    schedules: ScheduleService
    worker: ScheduleWorker
    acme: Principal
    bounds: ScheduleSettings = field(default_factory=ScheduleSettings)

    async def publish(self, name: str = "flow", **more: Any) -> str:
        return await self.bench.publish(NODE, name=name, **more)

    async def create(self, cron: str, **more: Any) -> Schedule:
        workflow_id = more.pop("workflow_id", None) or await self.publish()
        return await self.schedules.create(self.acme, CreateSchedule(workflow_id, cron, **more))

    async def go_to(self, text: str) -> None:
        """The clock shows this, and the loop looks."""
        self.clock.advance(ms(text) - self.clock.now_ms())
        await self.worker.turn()

    async def fired(self) -> list[str]:
        """The times of the runs that were started, in the order of their starts."""
        payloads = await self.bench.database.read(
            lambda conn: conn.execute("SELECT payload FROM runs ORDER BY seq").fetchall()
        )
        return [msgspec.json.decode(row[0])["schedule"]["fire_at"][:16].replace("T", " ") for row in payloads]

    async def told(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of the events of a kind."""
        rows = await self.bench.database.read(
            lambda conn: conn.execute("SELECT payload FROM events WHERE kind = ? ORDER BY id", (kind,)).fetchall()
        )
        return [msgspec.json.decode(row[0]) for row in rows]

    async def next_of(self, schedule: Schedule) -> str | None:
        found = (await self.schedules.get(self.acme, schedule.id)).next_fire_at
        return None if found is None else rfc3339(found)[:16].replace("T", " ")

    def bound(self, **bounds: Any) -> None:
        self.bounds = replace(self.bounds, **bounds)


@asynccontextmanager
async def open_world(
    directory: Path, clock: ManualClock | None = None, bounds: RunSettings | None = None
) -> AsyncIterator[World]:
    clock = clock or ManualClock(ms("2026-01-01T00:00:00Z"))
    async with open_bench(directory, bounds=bounds, clock=clock, starts=False) as bench:
        holder: list[World] = []
        worker = ScheduleWorker(bench.database, bench.workflows, bench.runs, clock, lambda: holder[0].bounds)
        schedules = ScheduleService(
            bench.database, bench.workflows, bench.runs, clock, lambda: holder[0].bounds, worker.wake
        )
        holder.append(World(bench, clock, schedules, worker, await bench.org()))
        yield holder[0]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened
