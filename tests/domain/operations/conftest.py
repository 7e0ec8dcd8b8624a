"""A step's context with a file tree in memory, a clock that stands still, and a client that may reach loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from alloyd.domain.operations.model import Operation, Outcome, Services, StepContext
from alloyd.domain.operations.validation import build_config
from alloyd.egress import EgressLimits, EgressPolicy, Outbound
from alloyd.errors import AlloydError, Code, bad_request, not_found
from alloyd.kit.clock import ManualClock
from alloyd.principal import Principal, system_principal

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


class MemoryFiles:
    """StepFiles over a dict; a path that ends with a slash is a folder."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.types: dict[str, str | None] = {}
        self.fault: AlloydError | None = None
        self.open_streams = 0

    def put(self, path: str, content: bytes, mime_type: str | None = None) -> None:
        self.content[path] = content
        self.types[path] = mime_type

    def _meta(self, path: str) -> dict[str, Any]:
        if self.fault is not None:
            raise self.fault
        if path.endswith("/"):
            raise bad_request("path: is a folder", "path")
        if path not in self.content:
            raise not_found("file")
        return {"path": path, "size": len(self.content[path]), "mime_type": self.types[path]}

    async def read_meta(self, principal: Principal, path: str) -> Mapping[str, Any]:
        assert principal.org_id == "org"
        return self._meta(path)

    async def read_bytes(self, principal: Principal, path: str, bytes_max: int) -> tuple[Mapping[str, Any], bytes]:
        assert principal.org_id == "org"
        meta = self._meta(path)
        if meta["size"] > bytes_max:
            raise AlloydError(Code.TOO_LARGE, "path: larger", field="path")
        return meta, self.content[path]

    @asynccontextmanager
    async def open_stream(
        self, principal: Principal, path: str
    ) -> AsyncIterator[tuple[Mapping[str, Any], AsyncIterator[bytes]]]:
        assert principal.org_id == "org"
        meta = self._meta(path)
        self.open_streams += 1

        async def chunks() -> AsyncIterator[bytes]:
            content = self.content[path]
            for start in range(0, len(content), 65_536):
                if self.fault is not None:
                    raise self.fault
                yield content[start : start + 65_536]

        try:
            yield meta, chunks()
        finally:
            self.open_streams -= 1

    async def write_bytes(
        self, principal: Principal, path: str, content: bytes, mime_type: str | None
    ) -> Mapping[str, Any]:
        assert principal.org_id == "org"
        if self.fault is not None:
            raise self.fault
        self.put(path, content, mime_type)
        return self._meta(path)

    async def write_stream(
        self, principal: Principal, path: str, chunks: AsyncIterator[bytes], mime_type: str | None
    ) -> Mapping[str, Any]:
        return await self.write_bytes(principal, path, b"".join([chunk async for chunk in chunks]), mime_type)

    async def list_items(self, principal: Principal, path: str, limit: int, cursor: str | None) -> Mapping[str, Any]:
        if self.fault is not None:
            raise self.fault
        names = sorted(self.content)[int(cursor or 0) :]
        found: dict[str, Any] = {"path": path, "items": [{"name": name} for name in names[:limit]]}
        if len(names) > limit:
            found["next_cursor"] = str(int(cursor or 0) + limit)
        return found

    async def delete(self, principal: Principal, path: str) -> str:
        self._meta(path)
        del self.content[path]
        return path


@pytest.fixture
def files() -> MemoryFiles:
    return MemoryFiles()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
async def services(files: MemoryFiles, clock: ManualClock) -> AsyncIterator[Services]:
    outbound = Outbound(EgressPolicy.parse(["127.0.0.1/32"]), EgressLimits(timeout_s=20))
    yield Services(files=files, outbound=outbound, clock=clock, output_bytes_max=4096)
    await outbound.close()


Run = Callable[..., Awaitable[Outcome]]


@pytest.fixture
async def run(services: Services) -> Run:
    """Run an operation as the engine does: build the config, then compute or execute."""

    async def run_operation(operation: Operation, config: dict[str, Any], **given: Any) -> Outcome:
        names: dict[str, Any] = {"trigger": {}, "context": {}, "steps": {}, "run": {}, "now": "", "inputs": {}}
        names.update(given.pop("names", {}))
        fields: dict[str, Any] = {
            "services": services,
            "principal": system_principal("org"),
            "run_id": "run-1",
            "workflow_id": "workflow-1",
            "step_key": "step",
            "attempt": 1,
            "idempotency_key": "run-1:step",
            "names": names,
            "inputs": {},
            **given,
        }
        built = build_config(operation, config)
        ctx = StepContext(**fields)
        if operation.compute is not None:
            return operation.compute(ctx, built)
        assert operation.execute is not None
        return await operation.execute(ctx, built)

    return run_operation


class Site:
    """A server on loopback that remembers what it was asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.seen: list[tuple[web.Request, bytes]] = []


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """Start a server that answers everything with the given handler."""
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Site:
        async def remembered(request: web.Request) -> web.StreamResponse:
            site.seen.append((request, await request.read()))
            return await handler(request)

        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", remembered)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        site = Site(runner.addresses[0][1])
        return site

    yield start
    for runner in runners:
        await runner.cleanup()
