"""A visitor of the page: a client with a cookie jar that sends what a browser at the page sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.app import Served, open_app
from tests.wire.ui.recipes import FROM_PAGE

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass
class Visitor:
    """One browser. Cookies are kept; each request carries what the page sends unless ``headers`` says else."""

    served: Served
    session: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = MappingProxyType(FROM_PAGE)
    ) -> tuple[int, Any, Any]:
        """Status, JSON and headers of the answer."""
        url = self.served.url + path
        async with self.session.request(method, url, json=body, headers=dict(headers)) as response:
            data = await response.read()
            return response.status, msgspec.json.decode(data) if data else None, response.headers

    async def sign_in(self, email: str, password: str) -> Any:
        status, answer, _headers = await self.ask("POST", "/ui/session", {"email": email, "password": password})
        assert status == 201, answer
        return answer["data"]


@asynccontextmanager
async def visit(served: Served) -> AsyncIterator[Visitor]:
    """A browser without any cookie yet."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Visitor(served, session)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


@pytest.fixture
async def visitor(served: Served) -> AsyncIterator[Visitor]:
    async with visit(served) as visitor:
        yield visitor
