"""The whole program with a server beside it that takes webhooks, or fails in every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from alloyd.config import EgressConfig
from alloyd.events.model import Event
from tests.app import Served, open_app

LONG_S = 30.0


@dataclass
class Receiver:
    """A server on loopback. ``answers`` are given in turn, the last one for ever; each is a status or a function."""

    port: int = 0
    answers: list[Any] = field(default_factory=lambda: [200])
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            return await answer(request)
        return web.Response(status=answer, text=f"said {answer}")


@asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass
class Scene:
    """The program, the other side, and a few words for both."""

    served: Served
    receiver: Receiver

    async def make(self, *events: str, key: str = "acme", **more: Any) -> dict[str, Any]:
        body = {"url": self.receiver.url(), "events": list(events or ("*",)), **more}
        made: dict[str, Any] = await self.served.data("POST", "/webhooks", body, 201, key=key)
        return made

    async def tell(self, kind: str = "order.paid", payload: dict[str, Any] | None = None, slug: str = "acme") -> None:
        """Something happens in the organization."""
        org_id = (await self.served.principal(slug)).org_id
        event = Event(org_id, kind, "order-1", payload or {"amount": 5})
        await self.served.app.database.write(lambda tx: tx.emit(event))

    async def settle(self) -> None:
        """Until every event is a delivery and nothing that is due is left."""
        async with asyncio.timeout(LONG_S):
            await self.served.app.webhook_events.settle()
            await self.served.app.webhook_sender.settle()

    async def later(self, ms: int) -> None:
        """Time passes, and what became due is sent."""
        self.served.clock.advance(ms)
        await self.settle()

    async def deliveries(self, webhook_id: str, query: str = "", **options: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.served.data(
            "GET", f"/webhooks/{webhook_id}/deliveries{query}", **options
        )
        return found


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        open_receiver() as receiver,
        open_app(tmp_path, egress=EgressConfig(allow=("127.0.0.1/32",))) as served,
    ):
        yield Scene(served, receiver)


MakeApp = Callable[..., Any]
