"""`alloyd doctor`: what it finds, and that it says what to do."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections import namedtuple
from contextlib import contextmanager

import pytest
from aiohttp import web

from alloyd.cli import examination, proxy
from alloyd.cli.examination import Finding, State, Subject
from alloyd.config import Config
from alloyd.db.examine import find_damage
from alloyd.process.datadir import DataDir, LockOwner

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def subject(tmp_path):
    data_dir = DataDir(tmp_path / "data")
    data_dir.prepare()
    return Subject(Config(), data_dir, None)


def state_of(finding: Finding) -> State:
    assert (finding.advice is None) == (finding.state is State.OK)
    return finding.state


def test_beside_a_daemon_and_without(alloyd):
    found = alloyd("doctor", "--json").json
    assert [one["check"] for one in found] == [name for name, _check in examination.CHECKS]
    assert {one["state"] for one in found} <= {"ok", "advice"}
    assert "ok    versions: alloyd" in alloyd("doctor").out


def test_before_there_is_anything(run, tmp_path):
    said = run("doctor", "--data-dir", str(tmp_path / "none")).out
    assert said.count("alloyd init") == 2


def test_a_damaged_database_is_a_fault(run, tmp_path):
    at = ("--data-dir", str(tmp_path / "data"))
    run("init", *at)
    path = tmp_path / "data" / "alloyd.db"
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 4 * 4096] = os.urandom(4096)
    path.write_bytes(content)
    said = run("doctor", *at, code=1).out
    assert "FAIL  database: it is damaged" in said
    assert "alloyd restore" in said
    path.write_bytes(b"no database at all" * 300)
    assert find_damage(path) == ["file is not a database"]


def test_a_newer_database_is_a_fault(subject):
    conn = sqlite3.connect(subject.data_dir.database)
    conn.execute("PRAGMA user_version=999")
    conn.close()
    assert state_of(examination.check_database(subject)) is State.FAULT


def test_a_database_to_be_migrated_is_no_fault(subject):
    subject.data_dir.database.touch()
    assert "migrates" in examination.check_database(subject).message


@pytest.mark.parametrize(("mode", "state"), [(0o700, State.OK), (0o750, State.ADVICE), (0o777, State.FAULT)])
def test_modes_of_the_directory(subject, mode, state):
    subject.data_dir.root.chmod(mode)
    assert state_of(examination.check_directory(subject)) is state


def test_directories_that_will_not_do(subject, tmp_path, monkeypatch):
    assert state_of(examination.check_directory(Subject(Config(), DataDir(tmp_path / "none"), None))) is State.ADVICE
    monkeypatch.setattr(os, "access", lambda *_arguments: False)
    assert "written" in examination.check_directory(subject).message
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert "another user" in examination.check_directory(subject).message


@pytest.mark.parametrize(("free", "state"), [(1 << 40, State.OK), (600 << 20, State.ADVICE), (100 << 20, State.FAULT)])
def test_room_on_the_disk(subject, monkeypatch, free, state):
    monkeypatch.setattr(examination.shutil, "disk_usage", lambda _path: Usage(1 << 41, 0, free))
    assert state_of(examination.check_disk(subject)) is state


def test_clocks(subject, monkeypatch):
    assert state_of(examination.check_clock(subject)) is State.OK
    monkeypatch.setattr(examination.time, "time", lambda: 1_000_000_000.0)
    assert "long past" in examination.check_clock(subject).message
    subject.data_dir.database.touch()
    monkeypatch.setattr(examination.time, "time", lambda: examination.EARLIEST_S + 1.0)
    assert state_of(examination.check_clock(subject)) is State.FAULT


def test_open_files(subject, monkeypatch):
    monkeypatch.setattr(examination.resource, "getrlimit", lambda _what: (10, 100))
    assert state_of(examination.check_open_files(subject)) is State.ADVICE
    monkeypatch.setattr(examination.resource, "getrlimit", lambda _what: (10, examination.resource.RLIM_INFINITY))
    assert state_of(examination.check_open_files(subject)) is State.OK
    monkeypatch.undo()
    own = Subject(subject.config, subject.data_dir, LockOwner(os.getpid(), "serve"))
    limit = examination.resource.getrlimit(examination.resource.RLIMIT_NOFILE)[0]
    assert str(limit) in examination.check_open_files(own).message
    gone = Subject(subject.config, subject.data_dir, LockOwner(None, "serve"))
    assert examination.check_open_files(gone).message == examination.check_open_files(subject).message


def test_versions(subject, monkeypatch):
    monkeypatch.setattr(examination, "SQLITE_WITHOUT_RACE", (99, 0, 0))
    assert "safe" in examination.check_versions(subject).message
    monkeypatch.setattr(examination, "SQLITE_WITHOUT_RACE", (0, 0, 0))
    assert "race" not in examination.check_versions(subject).message
    monkeypatch.setattr(examination, "PYTHON_MIN", (99, 0))
    assert state_of(examination.check_versions(subject)) is State.FAULT


# -- the proxy ---------------------------------------------------------------------------------------------------


@contextmanager
def serving(handler):
    """A server on loopback in a thread of its own; its address."""
    loop = asyncio.new_event_loop()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    host, port = runner.addresses[0]
    try:
        yield f"http://{host}:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def proxy_finding(run, data_dir, url: str, code: int) -> dict:
    return run("doctor", "--url", url, "--json", "--data-dir", str(data_dir), code=code).json[-1]


def test_a_proxy_that_lets_through(run, standing):
    assert proxy_finding(run, standing.data_dir, standing.url, 0)["message"] == "live events come through unbuffered"


async def healthy_then(request: web.Request, answer) -> web.StreamResponse:
    return web.json_response({"status": "ok"}) if request.path == "/healthz" else await answer(request)


def test_a_proxy_that_buffers(run, standing, monkeypatch):
    monkeypatch.setattr(proxy, "STREAM_TIMEOUT_S", 0.2)

    async def keep(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    with serving(lambda request: healthy_then(request, keep)) as url:
        found = proxy_finding(run, standing.data_dir, url, 1)
    assert "buffered" in found["message"]
    assert "proxy_buffering off" in found["advice"]


@pytest.mark.parametrize(("status", "said"), [(401, "tickets"), (404, "answers 404")])
def test_a_proxy_of_something_else(run, standing, status, said):
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    with serving(lambda request: healthy_then(request, refuse)) as url:
        assert said in proxy_finding(run, standing.data_dir, url, 1)["message"]


def test_a_proxy_without_a_daemon_behind_it(run, standing, tmp_path):
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=502)

    with serving(refuse) as url:
        assert "answers 502" in proxy_finding(run, standing.data_dir, url, 1)["message"]
    assert "does not answer" in proxy_finding(run, standing.data_dir, url, 1)["message"]
    assert "no address" in proxy_finding(run, standing.data_dir, "ftp://x", 1)["message"]
    run("init", "--data-dir", str(tmp_path / "data"))
    assert "without the daemon" in proxy_finding(run, tmp_path / "data", standing.url, 1)["message"]
