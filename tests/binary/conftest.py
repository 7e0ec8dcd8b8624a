"""The frozen executable, run as a person runs it: in a directory, with a temporary directory of its own."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXECUTABLE = ROOT / "dist" / "alloyd"
# Far above what it takes: a guard against hanging, not a measure.
PATIENCE_S = 60


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("binary")


@pytest.fixture(scope="session")
def executable():
    if not EXECUTABLE.exists():
        if os.environ.get("CI"):
            pytest.fail("dist/alloyd is missing: `make package` comes before the tests")
        pytest.skip("dist/alloyd is missing: `make package` makes it")
    return EXECUTABLE


class Daemon:
    """A daemon under test. ``command`` may put something like chroot before the executable."""

    def __init__(self, command: list, data_dir, tmp: Path, environment: dict[str, str] | None = None) -> None:
        self.environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp)} | (environment or {})
        self.data_dir = data_dir
        self.tmp = tmp
        self.said: list[str] = []
        self.errors_file = tmp.parent / f"{tmp.name}.stderr"
        with self.errors_file.open("ab") as errors:
            self.process = subprocess.Popen(
                [*map(str, command), "serve", "--port", "0", "--data-dir", str(data_dir)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self.environment,
            )
        self.url = ""
        self.key = ""

    def wait_until_up(self) -> Daemon:
        """Read what it says up to the line that tells where it listens."""
        line = self.read_until("listening")
        self.url = re.search(r"http://[^\s\"]+", line)[0].rstrip("/")
        key = re.search(r"alloy_\S+", "".join(said for said in self.said if "owner key" in said))
        self.key = key[0] if key else ""
        return self

    def read_until(self, word: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        output = self.process.stdout.fileno()
        while not any(word in line for line in self.said):
            ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(output, 65536) if ready else b""
            assert data, f"never said {word!r}: {self.said}\n{self.errors()}"
            self.said = ("".join(self.said) + data.decode()).splitlines(keepends=True)
        return next(line for line in self.said if word in line)

    def errors(self) -> str:
        return self.errors_file.read_text()

    def unpack_directories(self) -> list[Path]:
        return sorted(self.tmp.glob("_MEI*"))

    def children(self) -> list[int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def kill(self) -> None:
        """As the kernel does it when memory is short: both processes at once are gone, none may clean up."""
        watched = [os.pidfd_open(pid) for pid in self.children()]
        self.process.kill()
        self.process.wait(PATIENCE_S)
        for descriptor in watched:
            assert select.select([descriptor], [], [], PATIENCE_S)[0], "the child outlived its parent"
            os.close(descriptor)

    def stop(self) -> int:
        """Ask it to end; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def request(self, method: str, path: str, body: bytes = b"", **headers: str):
        """The answer's status and JSON, with the owner's key."""
        sent = {"api-key": self.key, "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data=body or None, headers=sent, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            data = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.loads(data) if is_json else data

    def upload(self, name: str, content: bytes):
        body = (
            b'--edge\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--edge--\r\n"
        )
        return self.request(
            "POST", "/api/private/storage/upload", body, Content_Type="multipart/form-data; boundary=edge"
        )


@pytest.fixture
def start(executable, tmp_path):
    """Starts daemons on one data directory, and ends those that a test left running."""
    started: list[Daemon] = []

    def run(command=None, *, wait=True, data_dir=tmp_path / "data", tmp=tmp_path / "tmp", **environment) -> Daemon:
        tmp.mkdir(exist_ok=True)
        daemon = Daemon(command or [executable], data_dir, tmp, environment)
        started.append(daemon)
        return daemon.wait_until_up() if wait else daemon

    yield run
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.kill()
        daemon.process.stdout.close()


@pytest.fixture
def command(executable, tmp_path):
    """Runs a command of the executable on the same data directory; its output, as JSON if it is asked for."""

    def run(*arguments: str, status: int = 0):
        (tmp_path / "tmp").mkdir(exist_ok=True)
        done = subprocess.run(
            [executable, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "tmp"), "ALLOYD_DATA_DIR": str(tmp_path / "data")},
        )
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return run
