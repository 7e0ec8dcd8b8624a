"""Runs the command line: commands in this process, daemons as processes of their own."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from alloyd.cli.main import main
from alloyd.log.pipe import PIPE, StandardHandler

# A guard against hanging, not a measure.
PATIENCE_S = 60


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without anything that alloyd reads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALLOYD_", "NOTIFY_"))}
    return kept | more


class Daemon:
    """A daemon on ``data_dir``, started with a free port unless ``arguments`` say else."""

    def __init__(self, data_dir: Path, *arguments: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.errors_file = data_dir.parent / f"{data_dir.name}.stderr"
        self.said: list[str] = []
        command = [sys.executable, "-m", "alloyd", "serve", "--data-dir", str(data_dir)]
        with self.errors_file.open("wb") as errors:
            self.process = subprocess.Popen(
                [*command, *(arguments or ("--port", "0"))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=clean_environment(**environment),
                text=True,
            )

    @property
    def errors(self) -> str:
        return self.errors_file.read_text()

    @property
    def url(self) -> str:
        return self.said[-1].split()[1].removeprefix("url=")

    def wait_until_up(self) -> Daemon:
        """Read what it says up to the line that tells where it listens."""
        guard = threading.Timer(PATIENCE_S, self.process.kill)
        guard.start()
        try:
            while not self.said or not self.said[-1].startswith("listening "):
                line = self.process.stdout.readline()
                assert line, f"never listened: {self.said}\n{self.errors}"
                self.said.append(line.rstrip("\n"))
        finally:
            guard.cancel()
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def entries(self) -> list[dict[str, Any]]:
        """The log so far, but for a line that is just being written."""
        return [json.loads(line) for line in self.errors.splitlines(keepends=True) if line.endswith("\n")]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        self.process.stdout.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    """Starts daemons and ends those that a test left running."""
    started: list[Daemon] = []

    def run(data_dir: Path, *arguments: str, wait: bool = True, **environment: str) -> Daemon:
        daemon = Daemon(data_dir, *arguments, **environment)
        started.append(daemon)
        return daemon.wait_until_up() if wait else daemon

    yield run
    for daemon in started:
        daemon.end()


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch, capfd) -> Iterator[Run]:
    """Runs a command in this process; ``code`` is the exit code that it has to have."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    root, umask = logging.getLogger(), os.umask(0o022)
    level = root.level
    for name in [name for name in os.environ if name.startswith("ALLOYD_")]:
        monkeypatch.delenv(name)

    pool = ThreadPoolExecutor(1)

    def command(*arguments: str, code: int = 0, stdin: bytes = b"", terminal: bool = False) -> Result:
        given = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        monkeypatch.setattr(given, "isatty", lambda: terminal, raising=False)
        monkeypatch.setattr(sys, "stdin", given)
        capfd.readouterr()
        # In a thread: its event loops come and go without touching that of the tests.
        found = pool.submit(main, list(arguments)).result()
        out, err = capfd.readouterr()
        assert found == code, out + err
        return Result(found, out, err)

    yield command
    pool.shutdown()
    os.umask(umask)
    PIPE.open(None, console=False)
    PIPE.threshold = logging.INFO
    structlog.reset_defaults()
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if isinstance(handler, StandardHandler)]:
        root.removeHandler(handler)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


@pytest.fixture(scope="package")
def standing(tmp_path_factory) -> Iterator[Daemon]:
    """A daemon for all tests that only need one; they keep to names of their own."""
    daemon = Daemon(tmp_path_factory.mktemp("standing") / "data").wait_until_up()
    yield daemon
    daemon.end()


@pytest.fixture(params=["daemon", "offline"])
def alloyd(request, run, tmp_path) -> Run:
    """Runs commands on an initialised data directory, once beside a daemon and once without."""
    if request.param == "daemon":
        data_dir = request.getfixturevalue("standing").data_dir
    else:
        data_dir = tmp_path / "data"
        run("init", "--data-dir", str(data_dir))
    return lambda *arguments, **options: run("--data-dir", str(data_dir), *arguments, **options)


@pytest.fixture
def org(alloyd: Run) -> str:
    """An organization of this test's own."""
    slug = f"org-{uuid.uuid4().hex[:12]}"
    alloyd("org", "create", "--slug", slug, "--name", "Test")
    return slug
