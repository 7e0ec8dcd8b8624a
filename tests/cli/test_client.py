"""The client against a server on a real socket: envelopes, faults, streams."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from alloyd.cli.client import Client, read_events
from alloyd.cli.errors import NoDaemon, Refused


@asynccontextmanager
async def client_of(tmp_path, handler):
    """A client of a server that gives every request to ``handler``."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    path = tmp_path / "s.sock"
    await web.UnixSite(runner, str(path)).start()
    try:
        async with Client(path, "acme", offline=False) as client:
            yield client
    finally:
        await runner.cleanup()


async def pieces_of(*pieces: bytes):
    for piece in pieces:
        yield piece


async def test_data_of_both_envelopes(tmp_path):
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["X-Alloyd-Organization"] == "acme"
        return web.json_response({"data": [request.method, request.path_qs, (await request.read()).decode()]})

    async with client_of(tmp_path, answer) as client:
        assert await client.get("/v1/a%2Fb", {"x": "y z", "none": None}) == ["GET", "/v1/a%2Fb?x=y+z", ""]
        assert await client.post("/v1/a", {"b": 1}) == ["POST", "/v1/a", '{"b":1}']
        assert await client.post("/v1/a", b"[1]") == ["POST", "/v1/a", "[1]"]
        assert await client.post("/v1/a") == ["POST", "/v1/a", "{}"]
        assert await client.patch("/v1/a", {}) == ["PATCH", "/v1/a", "{}"]
        assert await client.delete("/v1/a") == ["DELETE", "/v1/a", ""]


@pytest.mark.parametrize(
    ("body", "code", "message", "details"),
    [
        (b'{"error": {"code": "conflict", "message": "no", "details": [1]}}', "conflict", "no", [1]),
        (b'{"success": false, "error": "not_found", "message": "gone"}', "not_found", "gone", None),
        (b"<html>", "internal", "the daemon answered 400 without JSON", None),
        (b"[]", "internal", "the daemon answered 400 without JSON", None),
    ],
)
async def test_refusals(tmp_path, body, code, message, details):
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=400, body=body)

    async with client_of(tmp_path, answer) as client:
        with pytest.raises(Refused) as caught:
            await client.get("/v1/x")
        assert (caught.value.code, caught.value.message, caught.value.details) == (code, message, details)
        with pytest.raises(Refused):
            async with client.events("/v1/x"):
                pass
        with pytest.raises(Refused):
            async with client.download("/x"):
                pass


async def test_pages_are_followed_as_far_as_asked(tmp_path):
    asked = []

    async def answer(request: web.Request) -> web.Response:
        at = int(request.query.get("cursor", 0))
        asked.append(at)
        links = {"next": f"/v1/x?kind=a&cursor={at + 1}"} if at < 3 else {}
        assert request.query["kind"] == "a"
        return web.json_response({"data": [at * 2, at * 2 + 1], "links": links})

    async with client_of(tmp_path, answer) as client:
        assert await client.list_pages("/v1/x", {"kind": "a"}) == list(range(8))
        asked.clear()
        assert await client.list_pages("/v1/x", {"kind": "a"}, 3) == [0, 1, 2]
        assert asked == [0, 1]


async def test_nobody_there(tmp_path):
    async with Client(tmp_path / "none.sock", None, offline=False) as client:
        with pytest.raises(NoDaemon):
            await client.get("/v1/x")


async def test_a_daemon_that_breaks_off(tmp_path):
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'id: 1\ndata: {"a": 1}\n\n')
        request.transport.abort()
        return response

    got = []

    async def follow(client: Client) -> None:
        async with client.events("/v1/x") as events:
            async for event in events:
                got.append(event)  # what came before the break counts

    async with client_of(tmp_path, answer) as client:
        with pytest.raises(NoDaemon):
            await follow(client)
    assert got == [{"a": 1}]


async def test_a_download_is_compared_with_its_hash(tmp_path):
    async def answer(request: web.Request) -> web.Response:
        content = b"other" if request.query["path"] == "altered" else b"content"
        return web.Response(body=content, headers={"ETag": f'"{hashlib.sha256(b"content").hexdigest()}"'})

    async with client_of(tmp_path, answer) as client:
        async with client.download("/file", {"path": "good"}) as download:
            assert download.size == 7
            assert b"".join([piece async for piece in download.pieces()]) == b"content"
        async with client.download("/file", {"path": "altered"}) as download:
            with pytest.raises(Refused, match="SHA-256"):
                [piece async for piece in download.pieces()]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_events_however_the_stream_is_cut(size):
    stream = b': open\n\nid: 1\nevent: a\ndata: {"n": 1}\n\n: heartbeat\n\nid: 2\ndata: {"n": "\xc3\xa9"}\n\ndata: {'
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [event async for event in read_events(pieces_of(*pieces))] == [{"n": 1}, {"n": "é"}]


async def test_an_event_that_never_ends(monkeypatch):
    monkeypatch.setattr("alloyd.cli.client.EVENT_BYTES_MAX", 10)
    with pytest.raises(Refused, match="too large"):
        [event async for event in read_events(pieces_of(b"data: " + b"x" * 20))]


async def test_an_event_that_is_no_json():
    with pytest.raises(msgspec.DecodeError):
        [event async for event in read_events(pieces_of(b"data: {\n\n"))]
