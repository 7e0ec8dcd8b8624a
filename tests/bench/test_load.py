from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.bench import wrk
from tests.bench.bench import filesystem
from tests.bench.load import answer_end, encode
from tests.bench.load import load_from as load_by_own_client
from tests.bench.measure_runs import note_of
from tests.bench.readers import Findings, Reader
from tests.bench.wrk import Load, Request

REQUEST = Request("POST", "/trigger/1", {"api-key": 'a"\\b'}, b'{"name":"\xc3\xa4"}')

TOLD = """Running 2s test @ http://127.0.0.1:3001
  1 threads and 64 connections
bench:{"requests":2000,"duration_us":2000000,"connect":1,"read":2,"write":3,"status":90,"timeout":4,"p50_us":1500,"p99_us":9900}
"""


def test_what_wrk_tells_is_read():
    load = wrk.parse(TOLD)
    assert load == Load(2000, 100, 2.0, 1.5, 9.9)
    assert load.per_s == 950.0


def test_wrk_that_tells_nothing_is_an_error():
    with pytest.raises(ValueError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1")


def test_a_load_without_time_has_no_rate():
    assert Load(10, 0, 0.0, 0.0, 0.0).per_s == 0.0


def test_script_escapes_what_lua_would_read():
    script = wrk.script(REQUEST)
    assert 'wrk.method = "POST"' in script
    assert 'wrk.path = "/trigger/1"' in script
    assert r'wrk.body = "{\034name\034:\034\195\164\034}"' in script
    assert r'wrk.headers["api-key"] = "a\034\092b"' in script
    assert "done = function" in script


def test_script_without_a_body_sets_none():
    assert "wrk.body" not in wrk.script(Request("GET", "/", {}))


def test_request_on_the_wire():
    assert encode(REQUEST, 80) == (
        b'POST /trigger/1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\napi-key: a"\\b\r\nContent-Length: 13\r\n\r\n'
        b'{"name":"\xc3\xa4"}'
    )
    assert b"Content-Length" not in encode(Request("GET", "/", {}), 80)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", (200, 40)),
        (b"HTTP/1.1 503 No\r\nA: b\r\nCONTENT-LENGTH:2\r\n\r\n{}HTTP/1.1", (503, 45)),
    ],
)
def test_the_end_of_an_answer(data, wanted):
    assert answer_end(data) == wanted


def test_an_answer_of_unknown_length_is_an_error():
    with pytest.raises(ValueError, match="Content-Length"):
        answer_end(b"HTTP/1.1 200 OK\r\n\r\n")


async def test_own_client_counts_answers_and_refusals():
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"]
    asked: list[bytes] = []
    enough = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append(await reader.readuntil(b"}"))
            if len(asked) > 40:
                enough.set()
                break
            writer.write(answers[len(asked) % 2])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        load = await load_by_own_client(port, encode(REQUEST, port), 1, enough.wait())
    assert load.answered == 40
    assert load.failed in (20, 21)  # the one that was cut off may be told before or after the end
    assert set(asked) == {encode(REQUEST, port)}


def test_reader_notes_whole_events_once():
    findings = Findings(1)
    reader = Reader(b"", findings)
    tick = b'data: {"kind":"bench.tick","payload":{"sent":1000000},"timestamp":"2026-01-31T09:00:00.000Z"}\n\n'
    reader.data_received(b"HTTP/1.1 200 OK\r\n\r\n8\r\n: open\n")
    assert not findings.are_open
    reader.data_received(b"\n\r\n")
    assert findings.are_open
    reader.data_received(b"61\r\nid: 1\nevent: bench.tick\n" + tick[:30])
    assert findings.from_commit_ms == []
    reader.data_received(tick[30:] + b"\r\n")
    reader.data_received(b'20\r\nid: 2\nevent: other\ndata: {"kind":"other"}\n\n\r\n')
    assert len(findings.from_commit_ms) == len(findings.from_send_ms) == 1


def test_reader_that_is_refused_says_so(capsys):
    findings = Findings(1)
    reader = Reader(b"", findings)
    reader.data_received(b'HTTP/1.1 401 No\r\n\r\n{"message":"who are you"}')
    reader.connection_lost(None)
    assert findings.all_open.is_set()
    assert not findings.are_open
    assert "who are you" in capsys.readouterr().err


def test_note_tells_of_failed_requests():
    note = dict.fromkeys(("failed", "cores", "loop_us", "bare_cores", "bare_loop_us", "ended_percent", "drain_s"), 1.0)
    assert note_of([note, note]).endswith("2 requests failed")
    assert "failed" not in note_of([note | {"failed": 0.0}])


def test_filesystem_is_known(tmp_path: Path):
    assert filesystem(tmp_path) not in ("", "unknown")
