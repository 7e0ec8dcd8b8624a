"""An answer in one piece is the same as aiohttp's own, byte by byte, and gives way where it is not ordinary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from alloyd.wire.answer import IN_ONE_PIECE_BYTES_MAX, STANDING_HEADERS, Answer

DATA = b'{"a":1}'
EXTRA = {"Preference-Applied": "wait=5"}
ID = "one-request"


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    """Paths: ``/ours`` and ``/theirs`` say the same; the query tells what is out of the ordinary."""

    def data_of(request: web.Request) -> bytes:
        return b"x" * int(request.query["size"]) if "size" in request.query else DATA

    async def ours(request: web.Request) -> web.StreamResponse:
        answer = Answer(data_of(request), int(request.query.get("status", "200")), ID, EXTRA)
        if "close" in request.query:
            answer.force_close()
        return answer

    async def theirs(request: web.Request) -> web.StreamResponse:
        headers = {**STANDING_HEADERS, **EXTRA, "X-Request-Id": ID}
        answer = web.Response(body=data_of(request), status=int(request.query.get("status", "200")), headers=headers)
        if "close" in request.query:
            answer.force_close()
        return answer

    app = web.Application()
    for path, handler in (("/ours", ours), ("/theirs", theirs)):
        app.router.add_route("*", path, handler)
    async with TestServer(app) as started:
        yield started


async def ask(server: TestServer, requests: str) -> bytes:
    """All that comes back for raw ``requests``, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(requests.encode())
    answer = await reader.read()
    writer.close()
    return answer


def parts(answer: bytes) -> tuple[bytes, set[bytes], bytes]:
    """Status line, headers in any order without the date, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return status, {header for header in headers if not header.startswith(b"Date: ")}, body


@pytest.mark.parametrize("query", ["", "?status=201", "?status=404", "?status=202", "?close", "?size=70000", "?size=0"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_says_what_aiohttp_says(server: TestServer, query: str, method: str, version: str) -> None:
    answers = []
    for path in ("/ours", "/theirs"):
        last = f"GET {path} HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n"
        first = f"{method} {path}{query} HTTP/{version}\r\nHost: x\r\n\r\n"
        closes = "close" in query or version == "1.0"
        answers.append(await ask(server, first if closes else first + last))
    ours, theirs = answers
    assert parts(ours)[0] == parts(theirs)[0]
    assert parts(ours)[1] == parts(theirs)[1]
    assert [line for line in ours.split(b"\r\n") if not line.startswith(b"Date")].count(b"Server: alloyd") == (
        theirs.count(b"Server: alloyd")
    )
    assert sorted(parts(ours)[2]) != [] or method == "HEAD" or query == "?size=0"
    assert len(ours) == len(theirs)


async def test_the_connection_is_kept_for_the_next_request(server: TestServer) -> None:
    one = "GET /ours HTTP/1.1\r\nHost: x\r\n\r\n"
    last = "GET /ours HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await ask(server, one * 3 + last)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert answer.count(DATA) == 4
    assert answer.count(b"Connection: close") == 1


@pytest.mark.parametrize("extra", [{"X-A": "a\r\nX-B: b"}, {"X-A": "é"}, {"Connection": "close"}])
async def test_odd_headers_are_left_to_aiohttp(extra: dict[str, str]) -> None:
    answer = Answer(DATA, 200, ID, extra)

    class Ordinary:
        version = (1, 1)
        method = "GET"
        keep_alive = True

        class protocol:  # noqa: N801
            writing_paused = False

    assert not answer._is_ordinary(Ordinary())  # type: ignore[arg-type]
    assert Answer(DATA, 200, ID, EXTRA)._is_ordinary(Ordinary())  # type: ignore[arg-type]
    assert not Answer(b"x" * (IN_ONE_PIECE_BYTES_MAX + 1), 200, ID)._is_ordinary(Ordinary())  # type: ignore[arg-type]
