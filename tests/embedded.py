"""A world for end users' runs: the engine's bench, with end users, installations, events, logs and purges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alloyd.domain.embedded.model import Accepted
from alloyd.domain.embedded.purge import EndUserPurge
from alloyd.domain.embedded.service import EmbeddedEvents, RunLogs
from alloyd.domain.embedded.uninstalling import UninstalledRuns
from alloyd.domain.endusers.service import EndUserService
from alloyd.domain.integrations.installations import InstallationService
from alloyd.domain.runs.service import RunSettings
from alloyd.kit.clock import ManualClock
from tests.engine import Bench, open_bench

PAYLOAD_BYTES_MAX = 1000


def waits(event: str = "go", **more: Any) -> dict[str, Any]:
    """A node that waits for an event."""
    return {"key": "wait", "operation": "workflow.wait_event", "config": {"event": event, **more}}


@dataclass
class Embedded:
    """One process's life, as :class:`Bench`."""

    bench: Bench
    end_users: EndUserService
    installations: InstallationService
    events: EmbeddedEvents
    logs: RunLogs
    purges: EndUserPurge

    async def user(self, name: str = "ada", org: str = "acme") -> str:
        """The end user's id; made at its first use."""
        principal = await self.bench.org(org)
        found = await self.end_users.find(principal, name)
        return (found or await self.end_users.create(principal, name)).id

    async def offer(
        self,
        *nodes: dict[str, Any],
        name: str = "flow",
        event: str = "begin",
        match: Any = None,
        release: str = "1.0.0",
        **more: Any,
    ) -> str:
        """Publish and release a workflow that an event starts; its id."""
        trigger = {"type": "event", "event": event} | ({} if match is None else {"match": match})
        more["trigger"] = trigger
        return await self.bench.publish(*nodes, name=name, release=release, **more)

    async def install(self, workflow_id: str, user: str = "ada", org: str = "acme", **configuration: Any) -> None:
        """Install it for the user, active."""
        principal = await self.bench.org(org)
        await self.user(user, org)
        await self.installations.install(principal, user, workflow_id, configuration=configuration)

    async def deactivate(self, workflow_id: str, user: str = "ada") -> None:
        """Nothing starts it any more."""
        await self.installations.deactivate(await self.bench.org(), user, workflow_id)

    async def activate(self, workflow_id: str, user: str = "ada") -> None:
        """It is started again."""
        await self.installations.activate(await self.bench.org(), user, workflow_id)

    async def uninstall(self, workflow_id: str, user: str = "ada") -> None:
        """It is the user's no more."""
        await self.installations.uninstall(await self.bench.org(), user, workflow_id)

    async def tell(
        self,
        event: str = "begin",
        data: dict[str, Any] | None = None,
        user: str = "ada",
        org: str = "acme",
        **more: Any,
    ) -> Accepted:
        """An event of the user."""
        user_id = await self.user(user, org)
        return await self.events.trigger(await self.bench.org(org), user_id, event, data or {}, **more)

    async def start_waiting(self, data: dict[str, Any] | None = None, user: str = "ada") -> str:
        """Start the one workflow that waits, until it does; the run's id."""
        (run_id,) = (await self.tell("begin", data, user)).started
        await self.bench.until_told(run_id, "waiting wait")
        await self.bench.settled()
        return run_id

    async def output(self, run_id: str, key: str = "wait") -> Any:
        """What a step gave."""
        (step,) = [step for step in (await self.bench.detail(run_id)).steps if step.key == key]
        return step.output

    async def purge(self, user: str = "ada") -> int:
        """How many runs were taken away."""
        return (await self.purges.purge(await self.bench.org(), await self.user(user))).runs


@asynccontextmanager
async def open_embedded(
    directory: Path, bounds: RunSettings | None = None, clock: ManualClock | None = None, *, starts: bool = True
) -> AsyncIterator[Embedded]:
    """A process's life over ``directory``."""
    async with open_bench(directory, bounds=bounds, clock=clock, starts=starts) as bench:
        end_users = EndUserService(bench.database, bench.clock, bytes(32), 900)
        installations = InstallationService(bench.database, end_users, bench.workflows)
        events = EmbeddedEvents(bench.database, bench.workflows, bench.runs, bench.waits, PAYLOAD_BYTES_MAX)
        logs = RunLogs(bench.database, bench.clock)
        purges = EndUserPurge(bench.database, bench.runs, bench.consumer.settle)
        end_users.on_delete(purges.end_of_end_user)
        uninstalled = UninstalledRuns(bench.database, bench.runs)
        installations.on_remove(uninstalled.end_of_installation)
        loops = [asyncio.create_task(purges.run())]
        if starts:
            loops.append(asyncio.create_task(uninstalled.run()))
        try:
            yield Embedded(bench, end_users, installations, events, logs, purges)
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
