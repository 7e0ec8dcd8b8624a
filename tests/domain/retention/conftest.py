"""Runs, events and keys of many ages, in a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.domain.audit.model import AuditSettings
from alloyd.domain.audit.service import AuditService
from alloyd.domain.retention.model import DAY_MS, RetentionSettings
from alloyd.domain.retention.service import RetentionService
from alloyd.events.hub import Hub
from alloyd.events.model import Event
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock


@dataclass
class Past:
    """What has happened so far. Ages are in days."""

    database: Database
    clock: ManualClock
    log: EventLog
    settings: RetentionSettings = field(default_factory=RetentionSettings)
    count: int = 0

    def __post_init__(self) -> None:
        self.audit = AuditService(self.database, self.clock, AuditSettings)
        self.retention = RetentionService(self.database, self.audit, self.clock, lambda: self.settings)

    async def run(self, age: float, *, ended: bool = True, org: str = "one", steps: int = 2, events: int = 3) -> str:
        """A run that was started ``age`` days ago, and ended then unless it goes on; ``size`` bytes of payload."""
        self.count += 1
        number, run_id = self.count, f"run{self.count}"
        at = self.clock.now_ms() - int(age * DAY_MS)

        def write(tx):
            tx.execute(
                "INSERT INTO runs (seq, id, org_id, workflow_id, version, state, trigger_kind, started_by, steps_total,"
                " created_at, ended_at, payload) VALUES (?, ?, ?, 'w', 1, ?, 'api', 'me', ?, ?, ?, '{}')",
                (number, run_id, org, "completed" if ended else "waiting", steps, at, at if ended else None),
            )
            for key in range(steps):
                tx.execute(
                    "INSERT INTO run_steps (run_id, key, org_id, state, attempt) VALUES (?, ?, ?, 'completed', 1)",
                    (run_id, f"s{key}", org),
                )
            if not ended:
                tx.execute(
                    "INSERT INTO timers (org_id, run_id, step_key, kind, fire_at) VALUES (?, ?, 's0', 'delay', 1)",
                    (org, run_id),
                )
            kinds = ["workflow.run.queued"] + ["workflow.step.completed"] * (events - 2) + ["workflow.run.completed"]
            for kind in kinds[: events if ended else events - 1]:
                tx.emit(Event(org, kind, run_id, run_id=run_id))

        await self.database.write(write)
        await self.age_events(run_id, at)
        return run_id

    async def event(self, age: float, org: str = "one") -> None:
        """An event of no run, ``age`` days ago."""
        self.count += 1
        subject = f"event{self.count}"
        at = self.clock.now_ms() - int(age * DAY_MS)
        await self.database.write(lambda tx: tx.emit(Event(org, "storage.file.created", subject)))
        await self.age_events(subject, at)

    async def age_events(self, subject: str, at: int) -> None:
        await self.database.write(
            lambda tx: tx.execute("UPDATE events SET created_at = ? WHERE subject = ?", (at, subject))
        )

    async def select(self, sql: str) -> list:
        """The first column."""
        return [row[0] for row in await self.database.read(lambda conn: conn.execute(sql).fetchall())]

    async def runs(self) -> list[str]:
        return await self.select("SELECT id FROM runs ORDER BY seq")


@pytest.fixture
async def past(tmp_path: Path) -> AsyncIterator[Past]:
    path = tmp_path / "alloyd.db"
    migrate(path)
    clock = ManualClock()
    database = await Database.open(path, clock)
    log = EventLog(database, Hub())
    await log.start()
    yield Past(database, clock, log)
    await database.close()
