"""The page's files: those that are listed, as a browser needs them, under a strict policy."""

from __future__ import annotations

import gzip

import pytest

from alloyd.wire.ui.files import FILES, INDEX
from tests.app import Served

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@pytest.mark.parametrize("name", FILES)
async def test_each_file_is_served_with_its_type_and_policy(served: Served, name: str) -> None:
    url = served.url + ("/" if name == INDEX else f"/page/{name}")
    async with served.session.get(url, headers={"Accept-Encoding": "identity"}) as response:
        body, headers = await response.read(), response.headers
    assert response.status == 200
    assert headers["Content-Type"] == TYPES[name.rpartition(".")[2]]
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    async with served.session.get(url, headers={"If-None-Match": headers["ETag"]}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with served.session.get(url, headers={"Accept-Encoding": "gzip"}, auto_decompress=False) as response:
        packed = await response.read()
        unpacked = gzip.decompress(packed) if response.headers.get("Content-Encoding") == "gzip" else packed
    assert unpacked == body


@pytest.mark.parametrize(
    "path", ["/page", "/page/", "/page/index.html", "/page/js/none.js", "/page/../alloyd.db", "/page/%2e%2e/x", "/ui"]
)
async def test_what_is_not_listed_is_not_there(served: Served, path: str) -> None:
    async with served.session.get(served.url + path) as response:
        assert response.status == 404
        assert response.content_type == "application/json"


async def test_the_pages_doors_are_in_no_description(served: Served) -> None:
    async with served.session.get(f"{served.url}/openapi.json") as response:
        paths = (await response.json(content_type=None))["paths"]
    assert not [path for path in paths if path.startswith(("/ui", "/page")) or path == "/"]
    assert "/v1/overview" in paths
