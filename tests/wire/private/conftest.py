"""A real server over real storage, on loopback, for the tests of the private contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from alloyd.errors import AlloydError, Code
from alloyd.principal import Principal, Role
from alloyd.wire.auth import Authenticator, unauthorized
from alloyd.wire.private import storage as storage_routes
from alloyd.wire.private.codec import PrivateSurface
from alloyd.wire.server import Server, WireLimits
from tests.storage import Backend, open_backend, principal_of

PREFIX = "/api/private/storage"


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_backend(tmp_path) as backend:
        yield backend


class KnownKeys(Authenticator):
    """The key is the organization's id; ``viewer`` in it makes it a viewer's."""

    def find(self, request: web.Request) -> Principal | None:
        key = request.headers.get("api-key")
        if key is None:
            raise unauthorized()
        return principal_of(key, Role.VIEWER if "viewer" in key else Role.MEMBER)

    async def authenticate(self, request: web.Request) -> Principal:
        raise unauthorized()


def authorize(principal: Principal, action: str) -> None:
    """As the program has it."""
    if not principal.may(action):
        raise AlloydError(Code.FORBIDDEN, "not allowed")


class Client:
    """Requests below /api/private/storage, with the key of one organization."""

    def __init__(self, http: TestClient[Any, Any], key: str = "one") -> None:
        self.http = http
        self.key = key

    def as_(self, key: str) -> Client:
        """The same server with another key."""
        return Client(self.http, key)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and JSON body."""
        headers = {"api-key": self.key, **options.pop("headers", {})}
        async with self.http.request(method, PREFIX + path, headers=headers, **options) as response:
            assert response.headers["X-Request-Id"]
            assert response.content_type == "application/json"
            return response.status, await response.json()

    async def data(self, method: str, path: str, **options: Any) -> Any:
        """``data`` of an answer that must be 200."""
        status, body = await self.ask(method, path, **options)
        assert status == 200, body
        assert body["success"] is True
        return body["data"]

    async def upload(
        self, name: str, content: bytes = b"x", path: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """POST /upload as aiohttp's own client writes it."""
        form = aiohttp.FormData()
        if path is not None:
            form.add_field("path", path)
        form.add_field("file", content, filename=name, content_type=options.pop("content_type", "text/plain"))
        return await self.ask("POST", "/upload", data=form, **options)

    async def download(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
        """Status, headers and bytes."""
        given = {"api-key": self.key, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.http.request(method, f"{PREFIX}/download", params={"path": path}, headers=given) as response:
            return response.status, response.headers, await response.read()


@asynccontextmanager
async def open_client(backend: Backend) -> AsyncIterator[Client]:
    """A client of a server on a loopback port."""
    surface = PrivateSurface(storage_routes.routes(backend.storage, read_timeout_s=30), KnownKeys())
    http = TestClient(TestServer(Server([surface], authorize, WireLimits()).build()))
    await http.start_server()
    try:
        yield Client(http)
    finally:
        await http.close()


@pytest.fixture
async def client(backend: Backend) -> AsyncIterator[Client]:
    async with open_client(backend) as client:
        yield client
