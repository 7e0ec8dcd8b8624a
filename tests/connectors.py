"""An organization's own connector, and the application that it is for, played on loopback: pages, limits, tokens."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

ITEMS = [{"id": f"i{number}"} for number in range(7)]
OWN_CONNECTOR: dict[str, Any] = {
    "name": "own-app",
    "title": "App",
    "reference": "https://app.example/docs",
    "base_url": "https://api.app.example/v1",
    "auth": [
        {"kind": "bearer"},
        {"kind": "api_key", "header": "X-Key"},
        {"kind": "basic"},
        {
            "kind": "oauth2",
            "authorize_url": "https://app.example/authorize",
            "token_url": "https://api.app.example/token",
            "scopes": ["read", "write"],
            "token_auth": "basic",
        },
    ],
    "idempotency_header": "Idempotency-Key",
    "errors": {"ok": "ok", "code": "error", "retryable": ["ratelimited"], "expired": ["token_expired"]},
    "rate_limit": {"reset": "x-reset", "reset_is": "in", "remaining": "x-remaining"},
    "actions": [
        {"key": "echo", "title": "Echo", "method": "GET", "path": "/echo"},
        {
            "key": "get",
            "title": "Get",
            "method": "GET",
            "path": "/things/{id}",
            "parameters": {
                "id": {"type": "string", "in": "path", "required": True},
                "tags": {"type": "array", "in": "query", "style": "comma"},
                "trace": {"type": "string", "in": "header", "name": "X-Trace"},
            },
        },
        {
            "key": "create",
            "title": "Create",
            "method": "POST",
            "path": "/things",
            "body": "json",
            "parameters": {"name": {"type": "string", "in": "body", "required": True}},
        },
        *[
            {
                "key": f"list_{kind}",
                "title": kind,
                "method": "GET",
                "path": f"/{kind}",
                "parameters": {"limit": {"type": "integer", "in": "query"}},
                "paging": {"kind": kind, "limit": "limit", "limit_max": 3, **paging},
            }
            for kind, paging in (
                ("cursor", {"param": "after", "next": "meta.next", "items": "data"}),
                ("page", {"param": "page", "items": "data"}),
                ("offset", {"param": "offset", "items": "data", "first": 0}),
                ("link", {}),
            )
        ],
    ],
}


@dataclass
class AppServer:
    """The application. ``token`` is the only one it takes; ``grants`` are what its token endpoint was asked."""

    port: int = 0
    token: str = "first-access-token"  # a played one
    refresh_token: str = "first-refresh-token"  # a played one
    refuses: tuple[int, dict[str, Any]] | None = None
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    grants: list[dict[str, str]] = field(default_factory=list)
    planned: list[web.Response] = field(default_factory=list)
    expires_in: int | None = 3600
    holds: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def definition(self, **more: Any) -> dict[str, Any]:
        """The connector, leading here."""
        own = copy.deepcopy(OWN_CONNECTOR) | {"base_url": f"{self.url}/v1"} | more
        own["auth"][3] |= {"token_url": f"{self.url}/token"}
        return own

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, request.raw_path, dict(request.headers), body))
        if request.path == "/token":
            return await self._give_tokens(request, body)
        if self.planned:
            return self.planned.pop(0)
        if request.headers.get("Authorization") not in (f"Bearer {self.token}", None):
            return web.json_response({"error": "bad token"}, status=401)
        path = request.path.removeprefix("/v1")
        if path == "/echo":
            return web.json_response({"headers": dict(request.headers)})
        if path in ("/cursor", "/page", "/offset", "/link"):
            return self._page(path, request.query)
        return web.json_response({"path": request.raw_path, "body": body.decode()})

    def _page(self, path: str, query: Mapping[str, str]) -> web.Response:
        size = int(query.get("limit", 3))
        starts = {
            "/cursor": query.get("after", "0"),
            "/offset": query.get("offset", "0"),
            "/link": query.get("at", "0"),
        }
        start = (int(query.get("page", "1")) - 1) * size if path == "/page" else int(starts[path])
        part, after = ITEMS[start : start + size], start + size
        if path == "/link":
            link = f'<{self.url}/v1/link?at={after}&limit={size}>; rel="next", <{self.url}/v1/link>; rel="first"'
            return web.json_response(part, headers={"Link": link} if after < len(ITEMS) else {})
        return web.json_response({"data": part, "meta": {"next": str(after) if after < len(ITEMS) else ""}})

    async def _give_tokens(self, request: web.Request, body: bytes) -> web.Response:
        grant = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.grants.append(grant | {"authorization": request.headers.get("Authorization", "")})
        self.asked.set()
        if self.holds is not None:
            await self.holds.wait()
        if self.refuses is not None:
            return web.json_response(self.refuses[1], status=self.refuses[0])
        number = len(self.grants)
        self.token, self.refresh_token = f"access-token-{number}", f"refresh-token-{number}"
        told: dict[str, Any] = {"access_token": self.token, "refresh_token": self.refresh_token}
        return web.json_response(told | ({} if self.expires_in is None else {"expires_in": self.expires_in}))


@asynccontextmanager
async def open_app_server() -> AsyncIterator[AppServer]:
    """The application on loopback."""
    server = AppServer()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


def same(value: Any) -> bytes:
    """``value`` as JSON, to be searched."""
    return msgspec.json.encode(value)
