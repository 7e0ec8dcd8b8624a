"""A whole listener on loopback with the streams, the system surface and a few routes to try things on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.errors import AlloydError, Code, not_found
from alloyd.events.hub import Hub
from alloyd.events.model import Event, Story
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock
from alloyd.principal import Kind, Principal, Role
from alloyd.wire.auth import Authenticator, read_bearer, unauthorized
from alloyd.wire.control import events, stream_tickets
from alloyd.wire.control.codec import ControlSurface
from alloyd.wire.listener import Listener, ListenerSettings, start_tcp
from alloyd.wire.openapi import build_document, render
from alloyd.wire.route import PUBLIC, Call, Route
from alloyd.wire.server import Server, WireLimits
from alloyd.wire.sse import MEDIA_TYPE, stream_story
from alloyd.wire.stream import Streams, StreamSettings
from alloyd.wire.system.app import system_surface
from alloyd.wire.system.health import Readiness
from alloyd.wire.system.metrics import Gauge, Metrics, Sources
from alloyd.wire.tickets import StreamTickets

KEY = "org-a/one"
RUN = "0197a000-0000-7000-8000-000000000001"


class Greeting(msgspec.Struct):
    """A body to send."""

    name: str


class KnownKeys(Authenticator):
    """``<organization>/<key id>`` is a key; a viewer's, where the id begins with ``viewer``."""

    def find(self, request: web.Request) -> Principal | None:
        org_id, slash, key_id = (read_bearer(request) or "").partition("/")
        if not slash:
            return None
        role = Role.VIEWER if key_id.startswith("viewer") else Role.ADMIN
        return Principal(Kind.KEY, key_id, org_id, role, frozenset({"control"}))

    async def authenticate(self, request: web.Request) -> Principal:
        raise unauthorized()


def authorize(principal: Principal, action: str) -> None:
    """As the program has it."""
    if not principal.may(action):
        raise AlloydError(Code.FORBIDDEN, "not allowed")


class Frames:
    """What comes in on a server-sent stream, frame by frame."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next_raw(self) -> bytes | None:
        """The next frame with its blank line; None at the end."""
        try:
            return await self.response.content.readuntil(b"\n\n")
        except aiohttp.http_exceptions.LineTooLong:  # aiohttp refuses long ones
            raise
        except asyncio.IncompleteReadError:
            return None

    async def next(self) -> dict[str, Any] | None:
        """The next event; comments are passed over; None at the end."""
        while True:
            raw = await self.next_raw()
            if not raw:
                return None
            if not raw.startswith(b":"):
                found: dict[str, Any] = msgspec.json.decode(raw.split(b"\ndata: ", 1)[1])
                return found

    async def take(self, count: int) -> list[dict[str, Any]]:
        """So many events."""
        found = []
        for _ in range(count):
            event = await self.next()
            assert event is not None, f"the stream ended after {len(found)} events"
            found.append(event)
        return found

    async def rest(self) -> list[dict[str, Any]]:
        """All events until the stream ends."""
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@dataclass
class Daemon:
    """What stands behind the routes, and a client of it."""

    database: Database
    hub: Hub
    log: EventLog
    streams: Streams
    tickets: StreamTickets
    clock: ManualClock
    server: Server
    listener: Listener
    readiness: Readiness
    session: aiohttp.ClientSession
    stack: AsyncExitStack
    runs: dict[tuple[str, str], bool] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)
    metrics_token: str | None = None
    faults: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    inside: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.listener.port}{path}"

    async def emit(self, *events_: Event) -> list[int]:
        """Write events in one transaction; their ids."""
        await self.database.write(lambda tx: [tx.emit(event) for event in events_])
        return [event.id for event in events_]

    async def open(self, path: str, key: str | None = KEY, **headers: str) -> Frames:
        """Open a stream, subscribed when this returns."""
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        response = await self.stack.enter_async_context(self.session.get(self.url(path), headers=headers))
        assert response.status == 200, await response.text()
        frames = Frames(response)
        assert await frames.next_raw() == b": open\n\n"
        return frames

    async def get(self, path: str, key: str | None = KEY, method: str = "GET", **kw: Any) -> tuple[int, Any, Any]:
        """Status, JSON body, headers."""
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        headers.update(kw.pop("headers", {}))
        async with self.session.request(method, self.url(path), headers=headers, **kw) as response:
            body = await response.read()
            return response.status, msgspec.json.decode(body) if body else None, response.headers

    async def open_ws(self, path: str = "/v1/events/ws", key: str | None = KEY, **kw: Any) -> Any:
        """A connected WebSocket."""
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        headers.update(kw.pop("headers", {}))
        return await self.stack.enter_async_context(self.session.ws_connect(self.url(path), headers=headers, **kw))


def event(number: int = 0, kind: str = "workflow.node.completed", org_id: str = "org-a", **kw: Any) -> Event:
    """An event of :data:`RUN`."""
    kw.setdefault("run_id", RUN)
    return Event(org_id, kind, f"run/{kw['run_id']}", {"n": number}, **kw)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition`` holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


StartDaemon = Callable[..., Awaitable[Daemon]]


def _test_routes(daemon: list[Daemon], streams: Streams) -> list[Route]:
    async def check_run(principal: Principal, run_id: str) -> bool:
        ended = daemon[0].runs.get((principal.org_id, run_id))
        if ended is None:
            raise not_found("run")
        return ended

    async def get_run_events(call: Call) -> web.StreamResponse:
        return await stream_story(call, streams, Story("run", call.param("id")), check_run)

    async def create_greeting(call: Call) -> dict[str, str]:
        daemon[0].called.append("create_greeting")
        return {"hello": call.body.name}

    async def get_echo(call: Call) -> dict[str, str]:
        daemon[0].called.append("get_echo")
        return {"name": call.param("name")}

    async def get_slow(call: Call) -> dict[str, str]:
        daemon[0].inside.set()
        try:
            await daemon[0].gate.wait()
        except asyncio.CancelledError:
            daemon[0].called.append("cancelled")
            raise
        return {"slow": "done"}

    async def get_broken(call: Call) -> None:
        raise RuntimeError("secret detail")

    return [
        Route("GET", "/workflow-runs/{id}/events", get_run_events, "run.read", "A run's events", streams=MEDIA_TYPE),
        Route("POST", "/greetings", create_greeting, "workflow.write", "Greet", body=Greeting, output=dict, status=201),
        Route("GET", "/echo/{name}", get_echo, "workflow.read", "Echo", output=dict[str, str]),
        Route("GET", "/slow", get_slow, PUBLIC, "Wait", output=dict[str, str]),
        Route("GET", "/broken", get_broken, PUBLIC, "Fail"),
    ]


@pytest.fixture
async def start_daemon(tmp_path: Path) -> AsyncIterator[StartDaemon]:
    """Start daemons; each with its own database."""
    async with AsyncExitStack() as stack:

        async def start(
            *,
            queue_max: int = 1000,
            settings: StreamSettings | None = None,
            listener_settings: ListenerSettings | None = None,
            allowed_origins: tuple[str, ...] = (),
            limits: WireLimits | None = None,
        ) -> Daemon:
            path = tmp_path / "alloyd.db"
            migrate(path)
            clock = ManualClock()
            database = await Database.open(path, clock)
            stack.push_async_callback(database.close)
            hub = Hub(queue_max)
            log = EventLog(database, hub)
            await log.start()
            streams = Streams(log, settings)
            tickets = StreamTickets(clock)
            hub.watch_revocations(tickets.revoke)
            holder: list[Daemon] = []
            control = ControlSurface(
                [
                    *_test_routes(holder, streams),
                    *events.routes(streams, lambda: allowed_origins),
                    *stream_tickets.routes(tickets),
                ],
                KnownKeys(),
                clock,
                tickets=tickets,
            )

            async def check(part: str) -> str | None:
                if holder[0].faults.get(part) == "raise":
                    raise RuntimeError("/secret/path")
                return holder[0].faults.get(part)

            readiness = Readiness([(part, lambda part=part: check(part)) for part in ("database", "disk")])
            sources = Sources(
                "9.9.9",
                database,
                hub,
                lambda: [server.stats],
                [
                    Gauge("streams", "Open streams.", lambda: 7),
                    Gauge("lag", "Behind.", lambda: 3, labels={"consumer": "a"}),
                    Gauge("lag", "Behind.", lambda: 4, labels={"consumer": "b"}),
                ],
            )
            metrics = Metrics(sources, lambda: holder[0].metrics_token)
            system = system_surface(readiness, metrics, lambda: render(build_document(server.bound_routes(), "9.9.9")))
            server = Server([control, system], authorize, limits or WireLimits())
            listener = await start_tcp(server.build(), "127.0.0.1", 0, listener_settings)
            session = await stack.enter_async_context(aiohttp.ClientSession(read_bufsize=4 * 1024 * 1024))

            async def stop() -> None:
                streams.stop()
                await listener.stop(5)

            stack.push_async_callback(stop)
            daemon = Daemon(database, hub, log, streams, tickets, clock, server, listener, readiness, session, stack)
            daemon.runs[("org-a", RUN)] = False
            holder.append(daemon)
            return daemon

        yield start


@pytest.fixture
async def daemon(start_daemon: StartDaemon) -> Daemon:
    """A daemon with the usual settings."""
    return await start_daemon()
