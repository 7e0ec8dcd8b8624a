"""The page's files: those that are listed, as a browser needs them, under a strict policy."""

from __future__ import annotations

import gzip

import aiohttp
import pytest

from alloyd.wire.ui.files import FILES, INDEX
from tests.app import Served
from tests.people import PASSWORD, sign_in
from tests.wire.ui.conftest import Visitor
from tests.wire.ui.recipes import FROM_PAGE

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


async def test_no_answer_of_the_pages_doors_is_a_page_or_for_another_site(served: Served, visitor: Visitor) -> None:
    """Refusals, unknown paths and stored files among them."""
    await sign_in(served, "ann", "acme owner")
    await visitor.sign_in("ann@example.com", PASSWORD)
    form = aiohttp.FormData()
    form.add_field("file", b"<script>alert(1)</script>", filename="x.html", content_type="text/html")
    async with visitor.session.post(f"{served.url}/ui/private/storage/upload", data=form, headers=FROM_PAGE) as got:
        assert got.status == 200
    for method, path, status, policy in (
        ("GET", "/ui/session", 200, "default-src 'none'"),
        ("GET", "/ui/v1/me", 200, "default-src 'none'"),
        ("GET", "/ui/v1/nothing", 404, "default-src 'none'"),
        ("GET", "/ui/private/storage", 200, "default-src 'none'"),
        ("GET", "/ui/private/storage/download?path=x.html", 200, "sandbox"),
        ("GET", "/ui/private/storage/download?path=x.html&type=inline", 200, "sandbox"),
        ("GET", "/ui/private/storage/download?path=none", 404, "default-src 'none'"),
        ("PUT", "/ui/session", 405, "default-src 'none'"),
        ("GET", "/page/nothing.js", 404, "default-src 'none'"),
    ):
        async with visitor.session.request(method, served.url + path, headers=FROM_PAGE) as got:
            assert got.status == status, path
            assert got.headers["Content-Security-Policy"].startswith(policy), path
            assert got.headers["Cross-Origin-Resource-Policy"] == "same-origin", path
            assert got.headers["X-Content-Type-Options"] == "nosniff", path
            assert got.headers["Cache-Control"] in ("no-store", "private, no-cache"), path
            if "download" in path and status == 200:
                assert got.headers["Content-Disposition"].startswith("attachment"), path
