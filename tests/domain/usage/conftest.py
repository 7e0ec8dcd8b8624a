"""A usage service over a real database, which a test may close and open again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.usage.model import Budget, NewUsage, UsageSettings
from alloyd.domain.usage.service import UsageService
from alloyd.events.hub import Hub
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock
from alloyd.principal import Principal, system_principal

ORG = "org-1"


@dataclass
class Till:
    """A usage service and what is beneath it."""

    database: Database
    clock: ManualClock
    orgs: OrgService
    usage: UsageService

    async def spend(self, micro_usd: int, org_id: str = ORG, principal: Principal | None = None, **more: object) -> str:
        """One call that costs exactly what was reserved for it."""
        reservation = self.usage.reserve(org_id, micro_usd)
        used = NewUsage("echo", "echo-1", "text", cost_micro_usd=micro_usd, **more)  # type: ignore[arg-type]
        return await self.usage.settle(reservation, principal or system_principal(org_id), used)

    async def settled(self, org_id: str = ORG) -> int:
        """The sum over all records."""
        found: int = await self.database.read(
            lambda conn: conn.execute(
                "SELECT coalesce(sum(cost_micro_usd), 0) FROM usage_records WHERE org_id = ?", (org_id,)
            ).fetchone()[0]
        )
        return found


OpenTill = Callable[..., AbstractAsyncContextManager[Till]]


@asynccontextmanager
async def open_till(path: Path, default: Budget | None = None, clock: ManualClock | None = None) -> AsyncIterator[Till]:
    migrate(path)
    clock = clock or ManualClock()
    database = await Database.open(path, clock)
    await EventLog(database, Hub()).start()
    usage = UsageService(database, clock, UsageSettings(default or Budget(None)))
    await usage.open()
    try:
        yield Till(database, clock, OrgService(database), usage)
    finally:
        await database.close()


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    async with open_till(tmp_path / "alloyd.db") as till:
        yield till
