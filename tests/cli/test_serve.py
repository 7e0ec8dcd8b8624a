"""The daemon's life, each time a real process: start, signals, faults, what systemd hears."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from alloyd.app.program import url_of
from alloyd.cli.serve import WriterWatch
from alloyd.process.datadir import DataDir


def fetch(url: str, **headers: str) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(60)

    def hear(self, word: str) -> str:
        """The next message that has ``word`` in it."""
        while True:
            message = self.socket.recv(4096).decode()
            if word in message:
                return message


def test_first_start_tells_the_owner_key_once(start, tmp_path):
    data = tmp_path / "data"
    daemon = start(data)
    keys = [line.removeprefix("owner key: ") for line in daemon.said if line.startswith("owner key: ")]
    assert len(keys) == 1
    assert re.fullmatch(
        f"listening url={daemon.url} socket={data}/alloyd.sock grpc=127.0.0.1:[1-9][0-9]*", daemon.said[-1]
    )
    assert fetch(f"{daemon.url}/readyz")[0] == 200
    status, answer = fetch(f"{daemon.url}/v1/me", Authorization=f"Bearer {keys[0]}")
    assert (status, answer["data"]["role"]) == (200, "owner")
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "alloyd.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE((data / "alloyd.db").stat().st_mode) == 0o600
    assert keys[0] not in daemon.errors
    assert daemon.stop() == 0
    assert not (data / "alloyd.sock").exists()
    again = start(data)
    assert not any("owner key" in line for line in again.said)
    assert fetch(f"{again.url}/v1/me", Authorization=f"Bearer {keys[0]}")[0] == 200


def test_each_start_prints_a_set_up_link_until_there_is_a_user(start, tmp_path):
    links = []
    for _ in range(2):
        daemon = start(tmp_path / "data")
        links += [line.removeprefix("set-up link: ") for line in daemon.said if line.startswith("set-up link: ")]
        assert re.fullmatch(f"{daemon.url}/#/setup/[A-Za-z0-9_-]{{43}}", links[-1])
        assert links[-1].rpartition("/")[2] not in daemon.errors
        assert daemon.stop() == 0
    assert links[0] != links[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_0(start, tmp_path, number):
    daemon = start(tmp_path / "data")
    daemon.signal(number)
    assert daemon.wait() == 0
    assert [entry["event"] for entry in daemon.entries()][-2:] == ["stopping", "stopped"]
    assert daemon.process.stdout.read() == ""
    assert "Traceback" not in daemon.errors


def test_a_second_signal_quits_at_once(start, run, tmp_path):
    data, systemd = tmp_path / "data", Systemd(tmp_path / "notify")
    settings = {"ALLOYD_ENGINE__SHUTDOWN_GRACE_S": "3600", "ALLOYD_EGRESS__ALLOW": "[127.0.0.1]"}
    daemon = start(data, "--port", "0", NOTIFY_SOCKET=str(tmp_path / "notify"), **settings)
    with socket.create_server(("127.0.0.1", 0)) as slow:
        url = f"http://127.0.0.1:{slow.getsockname()[1]}/"
        definition = {"name": "slow", "nodes": [{"key": "a", "operation": "http.request", "config": {"url": url}}]}
        run("workflow", "apply", "-f", "-", "--data-dir", str(data), stdin=json.dumps(definition).encode())
        run("run", "start", "slow", "--data-dir", str(data))
        connection, _address = slow.accept()  # the step runs, and gets no answer
        daemon.signal(signal.SIGTERM)
        systemd.hear("STOPPING=1")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 1
        connection.close()
    systemd.socket.close()


def test_a_second_daemon_is_refused(start, tmp_path):
    first = start(tmp_path / "data")
    second = start(tmp_path / "data", wait=False)
    assert second.wait() == 1
    assert second.errors == (f"alloyd: conflict: the data directory is in use by process {first.process.pid} (serve)\n")
    assert second.process.stdout.read() == ""


def test_a_port_in_use_is_told_in_one_line(start, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        daemon = start(tmp_path / "data", "--port", port, wait=False)
        assert daemon.wait() == 1
    said = [line for line in daemon.errors.splitlines() if not line.startswith("{")]
    assert len(said) == 1
    assert "127.0.0.1" in said[0]
    assert port in said[0]
    assert "owner key: " in daemon.process.stdout.read()  # made by then, and told nowhere else
    assert "Traceback" not in daemon.errors


@pytest.mark.parametrize(
    ("schema", "content", "said"),
    [(999, b"", "newer program"), (None, b"this is no database" * 100, "damaged")],
)
def test_a_database_that_can_not_be_used(start, tmp_path, schema, content, said):
    data = DataDir(tmp_path / "data")
    data.prepare()
    data.database.write_bytes(content)
    if schema:
        with sqlite3.connect(data.database) as conn:
            conn.execute(f"PRAGMA user_version={schema}")
        conn.close()
    daemon = start(data.root, wait=False)
    assert daemon.wait() == 1
    assert said in daemon.errors.splitlines()[-1]
    assert "Traceback" not in daemon.errors


def test_faults_of_the_configuration_stop_the_start(start, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("http:\n  prot: 1\nlog:\n  level: loud\n")
    daemon = start(tmp_path / "data", "--config", str(config), wait=False)
    assert daemon.wait() == 1
    lines = daemon.errors.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [[f"{config}:2", "http.prot"], [f"{config}:4", "log.level"]]
    assert not (tmp_path / "data").exists()


def test_hangup_rereads_the_configuration(start, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("log: {level: info}\n")
    systemd = Systemd(tmp_path / "notify")
    daemon = start(tmp_path / "data", "--config", str(config), "--port", "0", NOTIFY_SOCKET=str(tmp_path / "notify"))
    assert daemon.url in systemd.hear("READY=1")

    def reload(text: str) -> list[dict]:
        before = len(daemon.entries())
        config.write_text(text)
        daemon.signal(signal.SIGHUP)
        systemd.hear("RELOADING=1")
        systemd.hear("READY=1")
        return daemon.entries()[before:]

    changed = reload("log: {level: info}\nstorage: {max_upload_bytes: 5}\nengine: {nodes_max: 7}\n")
    assert [(entry["event"], entry.get("applied") or entry.get("settings")) for entry in changed] == [
        ("configuration reloaded", ["storage.max_upload_bytes"]),
        ("some settings need a restart", ["engine.nodes_max"]),
    ]
    (faulty,) = reload("storage: {max_upload_bytes: -1}\n")
    assert (faulty["event"], faulty["level"]) == ("configuration not reloaded", "error")
    assert f"{config}:1" in faulty["fault"]
    (again,) = reload("storage: {max_upload_bytes: 5}\n")
    assert again["applied"] == []  # the faulty one changed nothing
    daemon.signal(signal.SIGTERM)
    systemd.hear("STOPPING=1")
    assert daemon.wait() == 0
    systemd.socket.close()


def test_the_watchdog_is_pinged(start, tmp_path):
    systemd = Systemd(tmp_path / "notify")
    start(tmp_path / "data", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="100000")
    systemd.hear("WATCHDOG=1")
    systemd.hear("WATCHDOG=1")
    systemd.socket.close()


class FakeApp:
    """As much of the app as the watchdog looks at."""

    def __init__(self) -> None:
        self.engine = self.database = self.stats = self
        self.alive, self.queue_length, self.commits, self.failures = True, 0, 0, 0


def test_the_watchdog_wants_progress():
    app = FakeApp()
    watch = WriterWatch(app)
    assert watch.is_well()
    assert watch.is_well()
    app.queue_length = 1
    assert not watch.is_well()
    app.commits = 1
    assert watch.is_well()
    app.failures = 1
    assert watch.is_well()
    app.queue_length, app.alive = 0, False
    assert not watch.is_well()


def test_a_daemon_goes_on_without_a_reader(tmp_path):
    """Whoever started it has closed the other end of its stdout."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "alloyd", "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    systemd = Systemd(tmp_path / "notify")
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, env=environment) as process:
        os.close(writing)
        systemd.hear("READY=1")
        process.terminate()
        _out, errors = process.communicate(timeout=60)
    systemd.socket.close()
    assert process.returncode == 0
    assert b"Traceback" not in errors


@pytest.mark.parametrize(("host", "url"), [("127.0.0.1", "http://127.0.0.1:1"), ("::1", "http://[::1]:1")])
def test_urls(host, url):
    assert url_of(host, 1, tls=False) == url
