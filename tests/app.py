"""The whole program behind its public port on loopback, with keys of two organizations."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from alloyd.app import App
from alloyd.config import Config, EngineConfig, HttpConfig
from alloyd.domain.keys.model import CreateKey
from alloyd.domain.workflows import compile as workflow_compile
from alloyd.kit.clock import ManualClock
from alloyd.principal import SCOPES, SURFACE_SCOPES, Kind, Principal, Role, system_principal
from alloyd.process.datadir import DataDir
from alloyd.wire.listener import Listener
from tests.engine import Outside, known_operations

ENVELOPE = {"meta", "context", "data", "error", "links"}


@dataclass
class Served:
    """A running program. Its organizations are ``acme`` and ``other``; a key's name may say more: ``acme viewer``."""

    app: App
    clock: ManualClock
    outside: Outside
    listener: Listener
    session: aiohttp.ClientSession
    keys: dict[str, str] = field(default_factory=dict)
    orgs: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}"

    async def key(self, name: str) -> str:
        """A key of an organization, made at its first use; an owner's unless the name says a role."""
        if name not in self.keys:
            slug, _, role = name.partition(" ")
            if slug not in self.orgs:
                self.orgs[slug] = (await self.app.orgs.create(slug, slug)).id
            operator = Principal(Kind.OPERATOR, "operator", self.orgs[slug], Role.OWNER, SCOPES, platform_admin=True)
            issued = await self.app.keys.create(
                operator, CreateKey(name, tuple(sorted(SURFACE_SCOPES)), Role(role or "owner"))
            )
            assert issued.raw is not None
            self.keys[name] = issued.raw
        return self.keys[name]

    async def principal(self, slug: str = "acme") -> Principal:
        """alloyd itself in an organization."""
        await self.key(slug)
        return system_principal(self.orgs[slug])

    async def publish(self, *nodes: dict[str, Any], slug: str = "acme", name: str = "flow", **more: Any) -> str:
        """Save a workflow; its id."""
        definition = {"name": name, "nodes": list(nodes), **more}
        return (await self.app.workflows.save(await self.principal(slug), definition)).version.workflow.id

    async def trigger(
        self, workflow_id: str, body: Any = b"", key: str | None = "acme", **options: Any
    ) -> tuple[int, Any, Any]:
        """Status, JSON body and headers of ``POST /api/private/trigger/…``; a header is named in lower case."""
        headers = {} if key is None else {"api-key": await self.key(key)}
        headers.update(options.pop("headers", {}))
        url = f"{self.url}/api/private/trigger/{workflow_id}"
        if isinstance(body, bytes):
            body = io.BytesIO(body) if body else None
        unset = ["Content-Type"]  # or the client says application/octet-stream
        async with self.session.post(url, data=body, headers=headers, skip_auto_headers=unset, **options) as response:
            assert response.content_type == "application/json"
            return response.status, msgspec.json.decode(await response.read()), response.headers

    async def ask(
        self, method: str, path: str, body: Any = None, key: str | None = "acme", **options: Any
    ) -> tuple[int, Any, Any]:
        """Status, envelope and headers of a request below ``/v1``."""
        headers = {} if key is None else {"Authorization": f"Bearer {await self.key(key)}"}
        headers.update(options.pop("headers", {}))
        if body is not None and not isinstance(body, bytes):
            body, headers = msgspec.json.encode(body), {"Content-Type": "application/json", **headers}
        url = path if path.startswith("http") else f"{self.url}/v1{path}"
        async with self.session.request(method, url, data=body, headers=headers, **options) as response:
            envelope = msgspec.json.decode(await response.read())
            assert set(envelope) == ENVELOPE
            assert envelope["meta"]["status"] == response.status
            assert (envelope["error"] is None) == (response.status < 400)
            return response.status, envelope, response.headers

    async def data(self, method: str, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        """``data`` of an answer that must have ``status``."""
        got, envelope, _headers = await self.ask(method, path, body, **options)
        assert got == status, envelope
        return envelope["data"]

    async def count_runs(self) -> int:
        """Runs of all organizations."""
        found: int = await self.app.database.read(lambda conn: conn.execute("SELECT count(*) FROM runs").fetchone()[0])
        return found

    async def kinds(self, run_id: str | None = None) -> list[str]:
        """The kinds of all events so far, of one run if it is named."""
        rows = await self.app.database.read(
            lambda conn: conn.execute("SELECT kind, run_id FROM events ORDER BY id").fetchall()
        )
        return [kind for kind, of_run in rows if run_id is None or of_run == run_id]


@asynccontextmanager
async def open_app(directory: Path, engine: EngineConfig | None = None, **more: Any) -> AsyncIterator[Served]:
    """The program over ``directory``; ``test.ask`` is one of its operations."""
    clock, outside = ManualClock(), Outside()
    config = Config(http=HttpConfig(port=0), engine=engine or EngineConfig(), **more)
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(workflow_compile, "find_operation", known_operations(outside).get)
        data_dir = stack.enter_context(DataDir(directory / "data"))
        data_dir.prepare()
        data_dir.lock("test")
        app = await App.open(config, data_dir, clock)
        stack.push_async_callback(app.close, 0)
        listener = await app.listen_tcp()
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Served(app, clock, outside, listener, session)
