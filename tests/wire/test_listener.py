"""Requests that are no requests, slow ones, sockets, and the end: on raw sockets, and the daemon survives each."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from alloyd.errors import AlloydError, Code
from alloyd.wire.listener import ListenerSettings, start_tcp, start_unix

from .conftest import KEY, Daemon, StartDaemon, until

AUTH = b"Authorization: Bearer org-a/one\r\n"
HEAD = b"Host: localhost\r\n" + AUTH


@dataclass
class Answer:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: int = 0

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Raw:
    """A connection on which anything can be said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> Answer:
        async with asyncio.timeout(20):
            interim = 0
            while True:
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                status = int(head[0].split(" ")[1])
                if status != 100:
                    break
                interim += 1
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(status, headers, body, interim)

    async def at_end(self) -> bool:
        async with asyncio.timeout(20):
            return await self.reader.read(1) == b""


async def connect(daemon: Daemon, data: bytes = b"") -> Raw:
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.listener.port)
    daemon.stack.callback(writer.close)
    writer.write(data)
    return Raw(reader, writer)


async def assert_alive(daemon: Daemon) -> None:
    assert (await daemon.get("/v1/echo/here"))[:1] == (200,)


def get(path: bytes, *more: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + path + b" " + version + b"\r\n" + HEAD + b"".join(more) + b"\r\n"


def post(*headers: bytes, body: bytes = b"", path: bytes = b"/v1/greetings") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + HEAD + b"".join(headers) + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSES, STAYS = True, False

MALFORMED: dict[str, tuple[bytes, int, str, bool]] = {
    # what: (bytes, status, part of the message, whether the connection ends)
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50, 400, "method", CLOSES),
    "garbage": (b"hello\r\n\r\n", 400, "method", CLOSES),
    "unknown method": (b"FROB /v1/echo/x HTTP/1.1\r\n" + HEAD + b"\r\n", 400, "method", CLOSES),
    "http 2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "not a valid HTTP request", CLOSES),
    "http 2": (get(b"/v1/echo/x", version=b"HTTP/2.0"), 400, "HTTP/1.1", CLOSES),
    "http 0.9": (get(b"/v1/echo/x", version=b"HTTP/0.9"), 400, "HTTP/1.1", CLOSES),
    "http 1.2": (get(b"/v1/echo/x", version=b"HTTP/1.2"), 400, "", CLOSES),
    "no version": (b"GET /v1/echo/x\r\n\r\n", 400, "", CLOSES),
    "bare line feeds": (b"GET /v1/echo/x HTTP/1.1\nHost: a\n\n", 400, "", CLOSES),
    "raw bytes in the path": (get(b"/v1/echo/\xff\xfe"), 400, "", CLOSES),
    "control character in the path": (get(b"/v1/echo/\x01"), 400, "", CLOSES),
    "space in the path": (get(b"/v1/echo/a b"), 400, "", CLOSES),
    "connect": (b"CONNECT example.com:443 HTTP/1.1\r\n" + HEAD + b"\r\n", 400, "path", CLOSES),
    "options star": (b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n", 400, "path", CLOSES),
    "a bad absolute target": (get(b"http:///v1/echo/x"), 400, "path", CLOSES),
    "no slash": (get(b"v1/echo/x"), 400, "path", CLOSES),
    "no host": (b"GET /v1/echo/x HTTP/1.1\r\n" + AUTH + b"\r\n", 400, "Host", CLOSES),
    "two hosts": (get(b"/v1/echo/x", b"Host: b\r\n"), 400, "Host", CLOSES),
    "nul in a header": (get(b"/v1/echo/x", b"X-A: a\x00b\r\n"), 400, "header", CLOSES),
    "space before the colon": (get(b"/v1/echo/x", b"X-A : a\r\n"), 400, "header", CLOSES),
    "a header with no name": (get(b"/v1/echo/x", b": a\r\n"), 400, "header", CLOSES),
    "a folded header first": (b"GET /v1/echo/x HTTP/1.1\r\n X: y\r\n" + HEAD + b"\r\n", 400, "", CLOSES),
    "old web socket": (get(b"/v1/echo/x", b"Sec-WebSocket-Key1: a\r\n"), 400, "header", CLOSES),
    "long request line": (get(b"/v1/echo/" + b"x" * 20_000), 431, "larger", CLOSES),
    "long header": (get(b"/v1/echo/x", b"X-A: " + b"x" * 20_000 + b"\r\n"), 431, "larger", CLOSES),
    "long header name": (get(b"/v1/echo/x", b"X" * 20_000 + b": a\r\n"), 431, "larger", CLOSES),
    "many headers": (get(b"/v1/echo/x", b"X-A: a\r\n" * 200), 431, "larger", CLOSES),
    "bad chunk size": (post(CHUNKED, body=b"zz\r\nabc\r\n"), 400, "chunk", CLOSES),
    "chunked with a length": (post(CHUNKED, b"Content-Length: 3\r\n", body=b"0\r\n\r\n"), 400, "", CLOSES),
    "two lengths": (post(b"Content-Length: 3\r\n", b"Content-Length: 4\r\n", body=b"{}"), 400, "", CLOSES),
    "negative length": (post(b"Content-Length: -1\r\n"), 400, "", CLOSES),
    "huge length": (post(b"Content-Length: 99999999999999999999999999\r\n"), 400, "", CLOSES),
    "a length that is no number": (post(b"Content-Length: 1e3\r\n"), 400, "", CLOSES),
    "unknown transfer encoding": (post(b"Transfer-Encoding: gzip\r\n"), 400, "", CLOSES),
    # These can be read, so the pipeline refuses them and the connection goes on.
    "escape that is not utf-8": (get(b"/v1/echo/%ff"), 400, "path: not valid UTF-8", STAYS),
    "overlong escape": (get(b"/v1/echo/%c0%af"), 400, "path: not valid UTF-8", STAYS),
    "surrogate escape": (get(b"/v1/echo/%ed%a0%80"), 400, "path: not valid UTF-8", STAYS),
    "broken escape": (get(b"/v1/echo/%zz"), 400, "path: a percent sign", STAYS),
    "half an escape": (get(b"/v1/echo/%4"), 400, "path: a percent sign", STAYS),
    "escaped nul": (get(b"/v1/echo/a%00b"), 400, "path: control characters", STAYS),
    "escaped nul at no route": (get(b"/v1/nothing%00"), 400, "path: control characters", STAYS),
    "escaped line break": (get(b"/v1/echo/a%0d%0ab"), 400, "path: control characters", STAYS),
    "nul in the query": (get(b"/v1/events/stream?kinds=a%00b"), 400, "kinds", STAYS),
    "not utf-8 in the query": (get(b"/v1/events/stream?kinds=%ff"), 400, "kinds", STAYS),
    "unknown expectation": (get(b"/v1/echo/x", b"Expect: a-miracle\r\n"), 400, "Expect", STAYS),
    "upgrade at a plain route": (
        get(b"/v1/nothing", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        404,
        "nothing at this path",
        STAYS,
    ),
    "h2c upgrade": (get(b"/v1/nothing", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), 404, "nothing", STAYS),
    "double slash": (get(b"//v1/echo/x"), 404, "nothing", STAYS),
    "dots": (get(b"/v1/../v1/echo/x"), 404, "nothing", STAYS),
    "wrong method": (b"TRACE /v1/echo/x HTTP/1.1\r\n" + HEAD + b"\r\n", 405, "GET, HEAD", STAYS),
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_malformed_requests_get_json_and_the_daemon_lives(daemon: Daemon, what: str) -> None:
    data, status, message, closes = MALFORMED[what]
    raw = await connect(daemon, data)
    answer = await raw.answer()
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    error = answer.json["error"]
    text = error["message"] if isinstance(error, dict) else answer.json["message"]
    assert message in text
    assert "Traceback" not in text
    assert "\n" not in text
    if closes:
        assert await raw.at_end()
    else:
        raw.writer.write(get(b"/v1/echo/again"))
        assert (await raw.answer()).status == 200
    await assert_alive(daemon)
    assert "create_greeting" not in daemon.called


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200),
        (b"example.com:3001", 200),
        (b"[::1]:3001", 200),
        (b"", 200),
        (b"a b", 400),
        (b"a/b", 400),
        (b"user@example.com", 400),
        (b"example.com:x", 400),
        (b"<script>", 400),
        (b"\xc3\xa9", 400),
    ],
)
async def test_host_must_be_a_host(daemon: Daemon, host: bytes, status: int) -> None:
    raw = await connect(daemon, b"GET /v1/echo/x HTTP/1.1\r\nHost: " + host + b"\r\n" + AUTH + b"\r\n")
    answer = await raw.answer()
    assert (answer.status, "Host" in str(answer.json["error"])) == (status, status != 200)


async def test_only_allowed_hosts_are_answered(daemon: Daemon) -> None:
    daemon.server.allow_hosts(["alloyd.example.com", "fd00::1"])
    for host, status in {
        "alloyd.example.com": 200,
        "ALLOYD.example.com.:443": 200,
        "[fd00::1]:3001": 200,
        "localhost:3001": 200,
        "127.0.0.1": 200,
        "evil.com": 400,
        "alloyd.example.com.evil.com": 400,
    }.items():
        for path in ("/v1/echo/x", "/v1/nothing"):
            wanted = status if status != 200 or path == "/v1/echo/x" else 404
            assert (await daemon.get(path, headers={"Host": host}))[0] == wanted, host
    raw = await connect(daemon, get(b"http://evil.com/v1/echo/x"))  # the target's host counts, not the header's
    assert (await raw.answer()).status == 400
    raw = await connect(daemon, get(b"http://alloyd.example.com/v1/echo/x"))
    assert (await raw.answer()).json["data"] == {"name": "x"}
    daemon.server.allow_hosts([])
    assert (await daemon.get("/v1/echo/x", headers={"Host": "evil.com"}))[0] == 200


async def test_the_error_has_the_dialect_of_the_path(daemon: Daemon) -> None:
    control = await (await connect(daemon, get(b"/v1/echo/x", b"X : y\r\n"))).answer()
    assert set(control.json) == {"meta", "context", "data", "error", "links"}
    assert control.json["meta"]["status"] == 400
    system = await (await connect(daemon, get(b"/elsewhere", b"X : y\r\n"))).answer()
    assert set(system.json) == {"error", "message"}


async def test_the_answer_never_repeats_what_was_sent(daemon: Daemon) -> None:
    for data in (get(b"/v1/echo/x", b"Api-Key: se\x00cret\r\n"), get(b"/v1/echo/x", b"se\xffcret: x\r\n")):
        assert b"cret" not in (await (await connect(daemon, data)).answer()).body


@pytest.mark.parametrize("piece", [b"zz\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"-1\r\n"])
async def test_a_chunk_that_goes_wrong_later_is_refused_at_once(daemon: Daemon, piece: bytes) -> None:
    raw = await connect(daemon, post(CHUNKED, body=b"3\r\n{}\n\r\n"))
    await until(lambda: any(one._current_request is not None for one in daemon.listener.connections))
    raw.writer.write(piece)
    answer = await raw.answer()
    assert (answer.status, answer.json["error"]["details"]) == (400, {"field": "body"})
    assert await raw.at_end()
    assert "create_greeting" not in daemon.called


async def test_a_body_that_breaks_off_runs_nothing(daemon: Daemon) -> None:
    raw = await connect(daemon, post(b"Content-Length: 100\r\n", body=b'{"name": "x"}'))
    await until(lambda: any(one._current_request is not None for one in daemon.listener.connections))
    raw.writer.close()
    await until(lambda: not daemon.listener.connections)
    assert daemon.called == []


async def test_expect_is_answered_after_the_credential(daemon: Daemon) -> None:
    raw = await connect(daemon, post(b"Content-Length: 13\r\nExpect: 100-continue\r\n"))
    assert await raw.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    raw.writer.write(b'{"name": "x"}')
    assert (await raw.answer()).status == 201
    data = b"POST /v1/greetings HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\nExpect: 100-continue\r\n\r\n"
    answer = await (await connect(daemon, data)).answer()
    assert (answer.status, answer.interim) == (401, 0)


async def test_pipelined_requests_are_answered_in_order(daemon: Daemon) -> None:
    raw = await connect(daemon, get(b"/v1/echo/1") + get(b"/v1/echo/2") + get(b"/v1/nothing") + get(b"/v1/echo/3"))
    assert [(await raw.answer()).status for _ in range(4)] == [200, 200, 404, 200]


async def test_an_unforeseen_failure_tells_nothing(daemon: Daemon) -> None:
    status, body, _ = await daemon.get("/v1/broken")
    assert (status, body["error"]["code"]) == (500, "internal")
    assert "secret" not in str(body)
    await assert_alive(daemon)


async def test_head_and_a_trailing_slash_answer_alike(daemon: Daemon) -> None:
    assert (await daemon.get("/v1/echo/x/"))[1]["data"] == {"name": "x"}
    for path in ("/v1/echo/x", "/v1/echo/x/"):
        raw = await connect(daemon, b"HEAD " + path.encode() + b" HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
        head = await raw.reader.read()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("sent", [b"G", get(b"/v1/echo/x")[:-2], b"GET /v1/echo/x HTTP/1.1\r\nX-A: "])
async def test_headers_that_do_not_end_are_given_up(start_daemon: StartDaemon, sent: bytes) -> None:
    daemon = await start_daemon(listener_settings=ListenerSettings(headers_timeout_s=0.05))
    raw = await connect(daemon, sent)
    answer = await raw.answer()
    assert answer.status == 408
    assert "too long" in str(answer.json)
    assert ("meta" in answer.json) is (b"/v1" in sent)
    assert await raw.at_end()


async def test_headers_in_pieces_within_the_time_are_fine(daemon: Daemon) -> None:
    raw = await connect(daemon)
    data = get(b"/v1/echo/x")
    for place in range(0, len(data), 7):
        raw.writer.write(data[place : place + 7])
        await raw.writer.drain()
        await asyncio.sleep(0)
    assert (await raw.answer()).status == 200
    assert all(one._headers_timer is None for one in daemon.listener.connections)


async def test_an_idle_connection_is_closed(start_daemon: StartDaemon) -> None:
    daemon = await start_daemon(listener_settings=ListenerSettings(keepalive_timeout_s=0.05))
    silent, used = await connect(daemon), await connect(daemon, get(b"/v1/echo/x"))
    assert (await used.answer()).status == 200
    assert await silent.at_end()
    assert await used.at_end()


async def test_connections_are_bounded(start_daemon: StartDaemon) -> None:
    daemon = await start_daemon(listener_settings=ListenerSettings(connections_max=2))
    first, second = [await connect(daemon, get(b"/v1/echo/x")) for _ in range(2)]
    assert [(await one.answer()).status for one in (first, second)] == [200, 200]
    third = await connect(daemon)
    answer = await third.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert await third.at_end()
    first.writer.close()
    await until(lambda: len(daemon.listener.connections) == 1)
    assert (await (await connect(daemon, get(b"/v1/echo/x"))).answer()).status == 200


async def test_a_client_that_leaves_cancels_its_handler(daemon: Daemon) -> None:
    raw = await connect(daemon, get(b"/v1/slow"))
    await daemon.inside.wait()
    raw.writer.close()
    await until(lambda: daemon.called == ["cancelled"])


async def test_stopping_lets_requests_finish_and_closes_the_idle(daemon: Daemon) -> None:
    idle, busy = await connect(daemon, get(b"/v1/echo/x")), await connect(daemon, get(b"/v1/slow"))
    sending = await connect(daemon, post(b"Content-Length: 13\r\n", body=b'{"name"'))
    assert (await idle.answer()).status == 200
    await daemon.inside.wait()
    await until(lambda: sum(one._current_request is not None for one in daemon.listener.connections) == 2)
    stopping = asyncio.create_task(daemon.listener.stop(20))
    assert await idle.at_end()
    with pytest.raises(OSError, match=r"."):
        await connect(daemon)
    sending.writer.write(b': "x"}')  # a body on its way may still arrive
    assert (await sending.answer()).status == 201
    daemon.gate.set()
    answer = await busy.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await busy.at_end()
    await stopping


async def test_an_answer_that_was_on_its_way_does_not_hold_up_the_stop(daemon: Daemon) -> None:
    busy = await connect(daemon, get(b"/v1/slow"))
    await daemon.inside.wait()
    stopping = asyncio.create_task(daemon.listener.stop(600))
    await asyncio.sleep(0)
    daemon.server.draining = False  # as if it had been made before
    daemon.gate.set()
    assert (await busy.answer()).status == 200
    assert await busy.at_end()
    async with asyncio.timeout(20):
        await stopping


async def test_stopping_cuts_what_does_not_finish(daemon: Daemon) -> None:
    busy = await connect(daemon, get(b"/v1/slow"))
    await daemon.inside.wait()
    await daemon.listener.stop(0.05)
    assert daemon.called == ["cancelled"]
    assert await busy.at_end()


async def test_an_address_in_use_is_a_conflict(daemon: Daemon) -> None:
    with pytest.raises(AlloydError) as refused:
        await start_tcp(daemon.server.build(), "127.0.0.1", daemon.listener.port)
    assert (refused.value.code, refused.value.field) == (Code.CONFLICT, "http.port")


async def _get_over(path: Path) -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://localhost/v1/echo/x", headers={"Authorization": f"Bearer {KEY}"}) as response,
    ):
        await response.read()
        return response.status


async def test_a_unix_socket_is_its_owners_alone(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    umask = os.umask(0)
    try:
        listener = await start_unix(daemon.server.build(), path, replace_stale=False)
        assert os.umask(0) == 0
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await _get_over(path) == 200
    await listener.stop(5)
    assert not path.exists()


async def test_a_stale_socket_is_replaced_only_by_the_locks_owner(daemon: Daemon, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with pytest.raises(AlloydError) as refused:
        await start_unix(daemon.server.build(), path, replace_stale=False)
    assert (refused.value.code, refused.value.field) == (Code.CONFLICT, "data.dir")
    listener = await start_unix(daemon.server.build(), path, replace_stale=True)
    assert await _get_over(path) == 200
    path.unlink()
    path.write_text("somebody else's")
    await listener.stop(5)
    assert path.read_text() == "somebody else's"
    with pytest.raises(AlloydError):  # nor is anything else ever taken away
        await start_unix(daemon.server.build(), path, replace_stale=True)
    assert path.exists()


async def test_a_long_socket_path_is_reached_all_the_same(daemon: Daemon, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    listener = await start_unix(daemon.server.build(), deep / "a.sock", replace_stale=True)
    assert (deep / "a.sock").is_socket()
    await listener.stop(0)
    assert not (deep / "a.sock").exists()
