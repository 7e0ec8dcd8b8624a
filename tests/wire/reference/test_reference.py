"""What `/docs` serves: a fixed list of files, with what a browser needs to keep and to confine them."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from alloyd.app import swagger_ui
from alloyd.wire.fixed import FixedFile, is_known, takes_gzip
from alloyd.wire.system.reference.app import CONTENT_SECURITY_POLICY, reference_surface
from tests.app import Served, open_app

FILES = {
    "/docs": "text/html; charset=utf-8",
    "/docs/": "text/html; charset=utf-8",
    "/docs/start.js": "text/javascript; charset=utf-8",
    "/docs/page.css": "text/css; charset=utf-8",
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui.css": "text/css; charset=utf-8",
}
NOT_THERE = {"error": "not_found", "message": "there is nothing at this path"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


async def test_every_file_is_served_whole_and_compressed(served: Served) -> None:
    for path, kind in FILES.items():
        url = served.url + path
        async with served.session.get(url, headers={"Accept-Encoding": "identity"}) as plain:
            body = await plain.read()
            assert (plain.status, plain.headers["Content-Type"]) == (200, kind)
            assert "Content-Encoding" not in plain.headers
            assert plain.headers["Cache-Control"] == "no-cache"
            assert plain.headers["Vary"] == "Accept-Encoding"
            assert plain.headers["X-Content-Type-Options"] == "nosniff"
            assert plain.headers["X-Request-Id"]
        async with served.session.get(url, headers={"Accept-Encoding": "gzip"}, auto_decompress=False) as packed:
            raw = await packed.read()
            assert packed.headers["ETag"] == plain.headers["ETag"]
            assert ("Content-Encoding" in packed.headers) == (len(body) >= 1024)
            assert (gzip.decompress(raw) if "Content-Encoding" in packed.headers else raw) == body
        async with served.session.head(url, headers={"Accept-Encoding": "identity"}) as head:
            assert (head.status, await head.read()) == (200, b"")
            assert head.headers["Content-Length"] == str(len(body))


async def test_what_is_known_is_not_sent_again(served: Served) -> None:
    for path in [*FILES, "/openapi.json"]:
        async with served.session.get(served.url + path) as first:
            tag = first.headers["ETag"]
        async with served.session.get(served.url + path, headers={"If-None-Match": tag}) as second:
            assert (second.status, await second.read()) == (304, b"")
            assert second.headers["ETag"] == tag
            assert second.headers["Cache-Control"] == "no-cache"
        async with served.session.get(served.url + path, headers={"If-None-Match": '"other"'}) as third:
            assert third.status == 200


async def test_the_page_is_confined(served: Served) -> None:
    async with served.session.get(f"{served.url}/docs") as answer:
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert "unsafe" not in CONTENT_SECURITY_POLICY
        assert answer.headers["X-Frame-Options"] == "DENY"
        page = await answer.text()
    named = _Named()
    named.feed(page)
    assert named.inline == []
    assert set(named.loaded) == {path for path in FILES if "." in path}


class _Named(HTMLParser):
    """What a page loads, and what of it is inline."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)
        if tag == "script" or given.get("rel") == "stylesheet":
            self.loaded.append(str(given.get("src") or given.get("href")))


@pytest.mark.parametrize(
    "path",
    [
        "/docs/index.html",
        "/docs/LICENSE",
        "/docs/swagger-ui-bundle.js.map",
        "/docs/swagger-ui.js",
        "/docs/oauth2-redirect.html",
        "/docs/../healthz",
        "/docs/%2e%2e/healthz",
        "/docs/..%2fapp.py",
        "/docs/app.py",
        "/docs//start.js",
    ],
)
async def test_nothing_else_is_there(served: Served, path: str) -> None:
    status, body = await _raw(served, "GET", path)
    assert (status, body) == (404, NOT_THERE)


@pytest.mark.parametrize("path", sorted(FILES))
async def test_only_reading_is_allowed(served: Served, path: str) -> None:
    status, body = await _raw(served, "POST", path)
    assert (status, body["error"]) == (405, "method_not_allowed")


async def _raw(served: Served, method: str, path: str) -> tuple[int, dict[str, str]]:
    """A request whose path goes out as it stands; what a client would do to it is not asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.listener.port)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), msgspec.json.decode(body)


async def test_openapi_json_leaves_the_page_out(served: Served) -> None:
    async with served.session.get(f"{served.url}/openapi.json") as answer:
        assert answer.headers["Content-Type"] == "application/json"
        document = await answer.json()
    assert [path for path in document["paths"] if path.startswith("/docs")] == []


def test_the_style_sheet_names_no_source_map() -> None:
    folder = swagger_ui.find_swagger_ui()
    assert b"sourceMappingURL" in (folder / "swagger-ui.css").read_bytes()
    for route in reference_surface(folder).routes:
        assert b"sourceMappingURL" not in route.handler.__self__._data


def test_nothing_is_loaded_from_another_host() -> None:
    for route in reference_surface(swagger_ui.find_swagger_ui()).routes:
        data = route.handler.__self__._data.decode()
        if not route.path.endswith("bundle.js"):  # whose strings are many; the browser's test sees what it loads
            found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", data)
            assert set(found) <= {"http://www.w3.org"}, route.path  # the name space of SVG


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swagger_ui, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="flask-swagger-ui is not installed"):
        swagger_ui.find_swagger_ui()


def test_the_executable_has_them_where_it_is_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(swagger_ui, "own_directory", lambda: tmp_path)
    assert swagger_ui.find_swagger_ui() == tmp_path / "flask_swagger_ui" / "dist"


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("gzip; q=1.0", True),
        ("", False),
        ("br", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("x-gzip-not", False),
    ],
)
def test_who_takes_gzip(header: str, taken: bool) -> None:
    assert takes_gzip(header) is taken


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ('W/"a"', True),
        ('"a"', True),
        ('"b", W/"a"', True),
        ("*", True),
        ("", False),
        ('"b"', False),
        ("a", False),
        ('"ab"', False),
    ],
)
def test_which_tags_are_known(header: str, known: bool) -> None:
    assert is_known(header, 'W/"a"') is known


def test_the_tag_is_of_the_content() -> None:
    assert FixedFile(b"a", "text/css").etag != FixedFile(b"b", "text/css").etag
    assert FixedFile(b"a", "text/css").etag == FixedFile(b"a", "text/html").etag
