"""A gateway over a real database, and played vendors behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.domain.providers.anthropic import AnthropicProvider
from alloyd.domain.providers.echo import EchoProvider
from alloyd.domain.providers.model import Delta, Execute, Model, Origin, Provider, ProviderSettings
from alloyd.domain.providers.openai import OpenAIProvider
from alloyd.domain.providers.service import Executed, Gateway, Streamed
from alloyd.domain.usage.model import Budget, UsageSettings
from alloyd.domain.usage.service import UsageService
from alloyd.egress import EgressLimits, EgressPolicy, Outbound
from alloyd.events.hub import Hub
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock
from alloyd.principal import system_principal
from tests.vendor import Reply, Vendor, open_vendor

ME = system_principal("org")


@dataclass
class World:
    """One gateway. Providers are added with :meth:`add` before the first call."""

    stack: AsyncExitStack
    database: Database
    clock: ManualClock
    usage: UsageService
    outbound: Outbound
    providers: list[Provider] = field(default_factory=list)
    vendors: dict[str, Vendor] = field(default_factory=dict)
    made: Gateway | None = None

    async def add(self, name: str, *replies: Reply, kind: str = "openai", models: Any = None, **more: Any) -> Vendor:
        vendor = await self.stack.enter_async_context(open_vendor(*replies))
        url = vendor.url if kind == "openai" else vendor.url.removesuffix("/v1")
        settings = ProviderSettings(name, kind, url, "the-key", models or (Model("m"),), **more)
        make = OpenAIProvider if kind == "openai" else AnthropicProvider
        self.providers.append(make(settings, self.outbound, self.clock))
        self.vendors[name] = vendor
        return vendor

    @property
    def gateway(self) -> Gateway:
        if self.made is None:
            self.made = Gateway([*self.providers, EchoProvider()], self.usage, self.clock)
        return self.made

    async def ask(self, given: Any = "hi", origin: Origin | None = None, **more: Any) -> Executed:
        request = Execute(more.pop("modality", "text"), given, **more)
        return await self.gateway.execute(ME, request, origin or Origin())

    async def stream(self, given: Any = "hi", **more: Any) -> tuple[list[Delta], Streamed]:
        streamed = Streamed()
        pieces = self.gateway.stream(ME, Execute("text", given, **more), streamed)
        return [delta async for delta in pieces], streamed

    async def records(self) -> list[dict[str, Any]]:
        """Every usage record, oldest first."""

        def read(conn: Any) -> list[dict[str, Any]]:
            cursor = conn.execute("SELECT * FROM usage_records ORDER BY created_at, id")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        return await self.database.read(read)

    def reserved(self) -> int:
        """What is set aside now, in micro-USD."""
        return self.usage.get_budget("org").reserved_micro_usd


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "alloyd.db"
    migrate(path)
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        database = await Database.open(path, clock)
        stack.push_async_callback(database.close)
        await EventLog(database, Hub()).start()
        usage = UsageService(database, clock, UsageSettings(Budget(10_000_000)))
        await usage.open()
        outbound = Outbound(EgressPolicy.parse(["127.0.0.1"]), EgressLimits())
        stack.push_async_callback(outbound.close)
        yield World(stack, database, clock, usage, outbound)


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    client = Outbound(EgressPolicy.parse(["127.0.0.1"]), EgressLimits())
    yield client
    await client.close()


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with open_vendor() as server:
        yield server
