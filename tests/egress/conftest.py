"""Local servers and outbound clients that may reach them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from alloyd.egress import EgressLimits, EgressPolicy, Outbound

Serve = Callable[..., Awaitable["Site"]]


class Site:
    """A server on loopback that remembers the requests it got."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        self.runner, self.host, self.port = runner, host, port
        self.seen: list[web.Request] = []
        self.peers: set[tuple[str, int]] = set()

    def url(self, path: str = "/", host: str | None = None, scheme: str = "http") -> str:
        return f"{scheme}://{host or self.host}:{self.port}{path}"


class Trap:
    """A listening socket that nobody may connect to. The kernel accepts by itself, so no attempt goes unseen."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_server((host, port))
        self._socket.setblocking(False)
        self.host, self.port = self._socket.getsockname()[:2]

    def url(self, path: str = "/", host: str | None = None) -> str:
        return f"http://{host or self.host}:{self.port}{path}"

    def sprung(self) -> bool:
        """Whether anything has connected."""
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def trap() -> Iterator[Callable[..., Trap]]:
    """Set a trap on an address of loopback."""
    traps: list[Trap] = []

    def make(host: str = "127.0.0.1", port: int = 0) -> Trap:
        traps.append(Trap(host, port))
        return traps[-1]

    yield make
    for one in traps:
        one.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server that answers everything with the given handler."""
    runners: list[web.AppRunner] = []

    async def start(
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Any = None,
    ) -> Site:
        async def seen(request: web.Request) -> web.StreamResponse:
            await request.read()
            site.seen.append(request)
            site.peers.add(request.transport.get_extra_info("peername"))
            return await handler(request)

        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", seen)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        site = Site(runner, host, runner.addresses[0][1])
        return site

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def raw_serve() -> AsyncIterator[Callable[[bytes], Awaitable[int]]]:
    """Start a server that answers each connection with fixed bytes and hangs up; returns its port."""
    servers: list[asyncio.Server] = []

    async def start(answer: bytes) -> int:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def outbound() -> AsyncIterator[Callable[..., Outbound]]:
    """Make a client; by default it may reach 127.0.0.1 and nothing else inside."""
    made: list[Outbound] = []

    def make(
        *, allow: tuple[str, ...] = ("127.0.0.1/32",), lookup: Any = None, tls: Any = None, **limits: Any
    ) -> Outbound:
        client = Outbound(EgressPolicy.parse(allow), EgressLimits(**limits), lookup=lookup, tls=tls)
        made.append(client)
        return client

    yield make
    for client in made:
        await client.close()
