"""The servers that are measured, as processes: alloyd, the bare aiohttp server, nginx."""

from __future__ import annotations

import getpass
import grp
import http.client
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from tests.bench.wrk import Request

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Process:
    """A child that is ended with its ``with`` block. What it says on stderr goes to ``log``."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ALLOYD_")}
        self._log = log
        with log.open("ab") as sink:
            self.child = subprocess.Popen(
                command, bufsize=0, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=sink
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to end, and wait for that; kill it when it does not."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        if self.child.stdout is not None:
            self.child.stdout.close()

    def read_line(self, beginning: str) -> str:
        """The rest of the first line on stdout that begins so. Raises RuntimeError when none comes."""
        return self.read_lines((beginning,))[beginning]

    def read_lines(self, beginnings: Sequence[str]) -> dict[str, str]:
        """What follows each of ``beginnings`` on stdout, up to the line that begins with the last of them."""
        assert self.child.stdout is not None
        found: dict[str, str] = {}
        deadline = time.monotonic() + START_TIMEOUT_S
        while beginnings[-1] not in found:
            line = _line_before(self.child.stdout, deadline)
            if not line:
                raise RuntimeError(f"{self.child.args!r} did not start:\n{self._log.read_text()[-2000:]}")
            for beginning in beginnings:
                if line.startswith(beginning):
                    found[beginning] = line.removeprefix(beginning).strip()
        return found

    def cpu_s(self) -> float:
        """Seconds of processor time that it has taken, all threads, without its children."""
        pid = self.child.pid
        try:
            return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), finer than the ticks of /proc
        except OSError:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def main_thread_cpu_s(self) -> float:
        """The part of :meth:`cpu_s` that its first thread has taken: in our servers, the event loop's."""
        pid = self.child.pid
        try:
            return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9
        except OSError:
            fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def memory_bytes(self) -> int:
        """Resident memory of it and its children: a packed executable has its loader as its parent."""
        return sum(_resident_bytes(pid) for pid in (self.child.pid, *_children(self.child.pid)))


def _line_before(stream: IO[bytes], deadline: float) -> str:
    if not select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]:
        return ""
    return stream.readline().decode()


def _children(pid: int) -> list[int]:
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    direct = [int(child) for child in told.split()]
    return [*direct, *(below for child in direct for below in _children(child))]


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Alloyd(Process):
    """A daemon on ``data_dir``, listening when this returns. ``command`` is what comes before ``serve``."""

    def __init__(self, command: Sequence[str], data_dir: Path, owner_key: str | None = None) -> None:
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        data_dir.mkdir(mode=0o700, exist_ok=True)
        started = time.perf_counter()
        super().__init__([*command, "serve", "--data-dir", str(data_dir), "--port", "0"], data_dir.with_suffix(".log"))
        told = self.read_lines(("owner key:", "listening "))
        self.listening_after_s = time.perf_counter() - started
        self.port = _port_of(told["listening "])
        self.owner_key = owner_key or told.get("owner key:", "")
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self._await_ready()
        self.ready_after_s = time.perf_counter() - started

    def __enter__(self) -> Alloyd:
        return self

    def hang_up(self) -> None:
        """Close the connection, which the daemon does too when it was idle for long; the next request makes another."""
        self._connection.close()

    def stop(self) -> None:
        """Hang up, then as every process."""
        self.hang_up()
        super().stop()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.ask(Request("GET", "/readyz", {}))[0] != 200:
            if time.monotonic() > deadline:
                raise RuntimeError("the daemon does not get ready")
            time.sleep(0.005)

    def ask(self, request: Request) -> tuple[int, bytes]:
        """``(status, body)`` of one request."""
        try:
            self._connection.request(request.method, request.path, request.body or None, dict(request.headers))
            response = self._connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException:
            self._connection.close()
            raise

    def call(self, path: str, body: Any) -> Any:
        """POST ``body`` as the owner to the control API; the answer's ``data``. Raises RuntimeError for a refusal."""
        headers = {"Authorization": f"Bearer {self.owner_key}", "Content-Type": "application/json"}
        status, answer = self.ask(Request("POST", path, headers, json.dumps(body).encode()))
        if status >= 400:
            raise RuntimeError(f"{path}: {status} {answer.decode()}")
        return json.loads(answer)["data"]

    def save_workflow(self, definition: dict[str, Any]) -> str:
        """The id of the workflow, which can run now."""
        return str(self.call("/v1/workflow-definitions", definition)["id"])

    def make_keys(self, count: int) -> list[str]:
        """Raw keys that may do what the owner may."""
        return [str(self.call("/v1/api-keys", {"name": f"bench {n}", "role": "admin"})["key"]) for n in range(count)]

    def trigger(self, workflow_id: str, payload: Any, **headers: str) -> Request:
        """The request that starts the workflow, as anyone with a key sends it."""
        return Request(
            "POST",
            f"/api/private/trigger/{workflow_id}",
            {"api-key": self.owner_key, "Content-Type": "application/json", **headers},
            json.dumps(payload, separators=(",", ":")).encode(),
        )

    def metrics(self) -> dict[str, float]:
        """The figures without labels at /metrics."""
        text = self.ask(Request("GET", "/metrics", {}))[1].decode()
        pairs = (line.split() for line in text.splitlines() if line and line[0] != "#" and "{" not in line)
        return {name: float(value) for name, value in pairs}

    def runs_ended(self) -> int:
        """Runs that have ended since the start."""
        return int(self.metrics()["alloyd_runs_ended_total"])


def _port_of(line: str) -> int:
    for word in line.split():
        if word.startswith("url="):
            port = urlsplit(word.removeprefix("url=")).port
            if port:
                return port
    raise RuntimeError(f"no URL in: listening {line}")


class Bare(Process):
    """The bare aiohttp server; it answers ``answer``."""

    def __init__(self, answer: bytes, directory: Path) -> None:
        super().__init__([sys.executable, "-m", "tests.bench.bare", answer.decode()], directory / "bare.log")
        self.port = int(self.read_line("listening "))

    def __enter__(self) -> Bare:
        return self


_NGINX = """
daemon off;
worker_processes auto;
{user}
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


def find_nginx() -> str | None:
    """Where nginx is, None when it is not installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


class Nginx(Process):
    """nginx in the foreground, serving the files of ``root``."""

    def __init__(self, nginx: str, root: Path, directory: Path) -> None:
        self.port = _free_port()
        user = f"user {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name};" if os.geteuid() == 0 else ""
        config = directory / "nginx.conf"
        config.write_text(_NGINX.format(directory=directory, root=root, port=self.port, user=user))
        super().__init__([nginx, "-p", str(directory), "-c", str(config)], directory / "nginx.stderr")
        self._await_listening(directory)

    def __enter__(self) -> Nginx:
        return self

    def _await_listening(self, directory: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except OSError:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((directory / "nginx.stderr").read_text()[-2000:]) from None
                time.sleep(0.02)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
