"""Objects for tests, made as a step makes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from alloyd.domain.objects.model import NewObject, StoredObject
from tests.app import Served

CONTENT = bytes(range(256)) * 8


async def whole(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def make(
    served: Served, content: bytes = CONTENT, slug: str = "acme", filename: str = "a.png", **more: Any
) -> StoredObject:
    new = NewObject(more.pop("direction", "output"), filename, **more)
    return await served.app.objects.put(await served.principal(slug), new, whole(content))


async def ask(served: Served, path: str, method: str = "GET", **options: Any) -> tuple[int, bytes, Any]:
    """Without following redirects."""
    url = path if path.startswith("http") else f"{served.url}{path}"
    async with served.session.request(method, url, allow_redirects=False, **options) as response:
        return response.status, await response.read(), response.headers


async def link(served: Served, stored: StoredObject, kind: str = "attachment", method: str = "GET") -> str:
    """Where a download is redirected to."""
    params = {"objectKey": stored.key, "type": kind}
    status, body, headers = await ask(served, "/api/v1/objects/download", method, params=params)
    assert (status, body) == (302, b"")
    assert headers["Cache-Control"] == "no-store"
    location = headers["Location"]
    return location if location.startswith("http") else f"{served.url}{location}"
