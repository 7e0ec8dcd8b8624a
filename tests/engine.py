"""A real engine over a real database, with a clock that stands still and operations whose end a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.domain.operations import catalogue
from alloyd.domain.operations.model import Config, Done, Operation, OperationError, Outcome, Services, StepContext
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.runs.event_waits import CONSUMER, EventWaits
from alloyd.domain.runs.model import Ended, RunDetail, StartRun
from alloyd.domain.runs.retries import RetryService
from alloyd.domain.runs.service import RunService, RunSettings
from alloyd.domain.runs.worker import Engine, EngineSettings
from alloyd.domain.workflows import compile as workflow_compile
from alloyd.domain.workflows.secrets import DefinitionSecrets
from alloyd.domain.workflows.service import WorkflowService, WorkflowSettings
from alloyd.egress import EgressLimits, EgressPolicy, Outbound
from alloyd.events.consumer import EventConsumer
from alloyd.events.hub import Hub
from alloyd.events.model import Story
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock
from alloyd.kit.crypto import Sealer
from alloyd.principal import Principal, system_principal

LONG_S = 30.0


class AskConfig(Config, frozen=True):
    """Anything."""

    value: Any = None


@dataclass(eq=False)
class Asked:
    """An attempt under way, which ends as the test says."""

    context: StepContext
    config: AskConfig
    outcome: asyncio.Future[Outcome]
    interrupted: bool = False

    def answer(self, outcome: Outcome | None = None) -> None:
        """It succeeds."""
        self.outcome.set_result(outcome or Done({"ok": True}))

    def fail(self, *, retryable: bool = False, retry_after_ms: int | None = None) -> None:
        """It fails."""
        self.outcome.set_exception(
            OperationError("broken", "it broke", retryable=retryable, retry_after_ms=retry_after_ms)
        )


class Outside:
    """What the operation ``test.ask`` asks: every attempt, in the order of their beginnings."""

    def __init__(self) -> None:
        self.all: list[Asked] = []
        self._queue: asyncio.Queue[Asked] = asyncio.Queue()

    async def execute(self, context: StepContext, config: AskConfig) -> Outcome:
        """The operation."""
        asked = Asked(context, config, asyncio.get_running_loop().create_future())
        self.all.append(asked)
        self._queue.put_nowait(asked)
        try:
            return await asked.outcome
        except asyncio.CancelledError:
            asked.interrupted = True
            raise

    async def next(self) -> Asked:
        """The next attempt that begins."""
        async with asyncio.timeout(LONG_S):
            return await self._queue.get()

    @property
    def waiting(self) -> int:
        """Attempts that have begun and that nobody took with :meth:`next`."""
        return self._queue.qsize()


def known_operations(outside: Outside) -> dict[str, Operation]:
    """The catalogue's, and ``test.ask``."""
    ask = Operation("test.ask", AskConfig, "Ask the test.", execute=outside.execute)
    return {operation.name: operation for operation in (*catalogue.OPERATIONS, ask)}


def known_secrets() -> DefinitionSecrets:
    """With the same key in every process's life."""
    return DefinitionSecrets(Sealer(bytes(32)), bytes(32))


@dataclass
class Bench:
    """One process's life: everything that is gone when it ends. The data directory stays."""

    database: Database
    clock: ManualClock
    hub: Hub
    outside: Outside
    workflows: WorkflowService
    engine: Engine
    runs: RunService
    orgs: OrgService
    waits: EventWaits
    consumer: EventConsumer
    retries: RetryService
    names: dict[str, Principal] = field(default_factory=dict)

    async def org(self, slug: str = "acme") -> Principal:
        """The organization's principal; the organization is made at its first use."""
        if slug not in self.names:
            for org in await self.orgs.list_all(100):
                self.names[org.slug] = system_principal(org.id)
        if slug not in self.names:
            self.names[slug] = system_principal((await self.orgs.create(slug, slug)).id)
        return self.names[slug]

    async def publish(self, *nodes: dict[str, Any], org: str = "acme", name: str = "flow", **more: Any) -> str:
        """Publish a workflow; its id."""
        saved = await self.workflows.save(await self.org(org), {"name": name, "nodes": list(nodes), **more})
        return saved.version.workflow.id

    async def start(self, workflow_id: str, payload: Any = None, org: str = "acme", **more: Any) -> str:
        """Start a run; its id."""
        command = StartRun(workflow_id, msgspec.json.encode({} if payload is None else payload), "api", **more)
        return (await self.runs.start(await self.org(org), command)).run_id

    async def start_many(self, count: int, workflow_id: str, org: str = "acme") -> list[str]:
        """Start several at one time; their ids."""
        principal = await self.org(org)
        command = StartRun(workflow_id, b"{}", "api")
        started = await asyncio.gather(*(self.runs.start(principal, command) for _ in range(count)))
        return [one.run_id for one in started]

    async def end(self, run_id: str, org: str = "acme") -> Ended:
        """Wait for the run's end."""
        ended = await self.runs.wait(await self.org(org), run_id, LONG_S)
        assert ended is not None, f"the run goes on: {await self.state(run_id, org)}"
        return ended

    async def ends(self, run_ids: Iterable[str], org: str = "acme") -> list[Ended]:
        """Wait for the ends of several."""
        return list(await asyncio.gather(*(self.end(run_id, org) for run_id in run_ids)))

    async def detail(self, run_id: str, org: str = "acme") -> RunDetail:
        """The run as it is recorded."""
        return await self.runs.get(await self.org(org), run_id)

    async def state(self, run_id: str, org: str = "acme") -> str:
        """The run's recorded state."""
        return (await self.runs.find_state(await self.org(org), run_id)).value

    async def steps(self, run_id: str, org: str = "acme") -> dict[str, str]:
        """The steps' states by key."""
        return {step.key: step.state.value for step in (await self.detail(run_id, org)).steps}

    async def told(self, run_id: str) -> list[str]:
        """The run's events so far: ``run started``, ``completed a``."""
        rows = await self.database.read(
            lambda conn: conn.execute(
                "SELECT kind, node_key FROM events WHERE run_id = ? ORDER BY id", (run_id,)
            ).fetchall()
        )
        return [f"{kind.rpartition('.')[2]} {key}" if key else f"run {kind.rpartition('.')[2]}" for kind, key in rows]

    async def until_told(self, run_id: str, what: str, count: int = 1) -> None:
        """Wait for an event of the run, as :meth:`told` says it."""
        principal = await self.org()
        orgs = [known.org_id for known in (principal, *self.names.values())]
        reader = self.hub.open(set(orgs), story=Story("run", run_id))
        try:
            async with asyncio.timeout(LONG_S):
                while (await self.told(run_id)).count(what) < count:
                    reader.take()
                    await reader.wait(LONG_S)
        finally:
            self.hub.release(reader)

    async def settled(self) -> None:
        """Until the engine has nothing in memory and nothing to write."""
        await self.settled_but(0)

    async def settled_but(self, running: int) -> None:
        """Until ``running`` runs are in memory, and everything that was to be written is."""
        async with asyncio.timeout(LONG_S):
            while self.engine.running_count != running or self.database.queue_length:
                await asyncio.sleep(0)
        await self.database.write(lambda tx: None)

    def move(self, ms: int) -> None:
        """Time passes."""
        self.clock.advance(ms)
        self.engine.scheduler.clock_moved()

    async def count(self, table: str) -> int:
        """Rows of a table."""
        statements = {
            "runs": "SELECT count(*) FROM runs",
            "timers": "SELECT count(*) FROM timers",
            "events": "SELECT count(*) FROM events",
        }
        found: int = await self.database.read(lambda conn: conn.execute(statements[table]).fetchone()[0])
        return found


@asynccontextmanager
async def open_bench(
    directory: Path,
    settings: EngineSettings | None = None,
    bounds: RunSettings | None = None,
    clock: ManualClock | None = None,
    *,
    grace_s: float = 0.0,
    starts: bool = True,
) -> AsyncIterator[Bench]:
    """A process's life over ``directory``; the next one finds what this one left. ``starts`` False: nothing runs."""
    path = directory / "alloyd.db"
    migrate(path)
    clock = clock or ManualClock()
    database = await Database.open(path, clock)
    hub = Hub()
    log = EventLog(database, hub)
    await log.start()
    outside = Outside()
    operations = known_operations(outside)
    find, workflow_compile.find_operation = workflow_compile.find_operation, operations.get
    outbound = Outbound(EgressPolicy.parse([]), EgressLimits())
    workflows = WorkflowService(database, WorkflowSettings(step_timeout_ms=60_000), known_secrets())
    services = Services(None, outbound, clock, workflows=workflows)  # type: ignore[arg-type]  # no test here touches files
    engine = Engine(database, workflows, services, clock, settings or EngineSettings(), "test")
    runs = RunService(database, workflows, engine, clock, bounds or RunSettings(), lambda: None)
    await runs.open()
    waits = EventWaits(database, engine)
    consumer = EventConsumer(database, hub, log, CONSUMER, waits.wanted, waits.handle)
    await waits.open()
    await consumer.start()
    consuming = asyncio.create_task(consumer.run())
    if starts:
        await engine.start()
    try:
        yield Bench(
            database,
            clock,
            hub,
            outside,
            workflows,
            engine,
            runs,
            OrgService(database),
            waits,
            consumer,
            RetryService(database, workflows, runs),
        )
    finally:
        workflow_compile.find_operation = find
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
        await engine.stop(grace_s)
        await outbound.close()
        await database.close()
