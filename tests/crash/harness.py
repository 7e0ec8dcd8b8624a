"""A real daemon that can be killed, the ledger of what it acknowledged, another party's server that counts calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM
from typing import Any, Self

import aiohttp
from aiohttp import web

from alloyd.kit import crash

ROOT = Path(__file__).resolve().parents[2]
# Far above what it takes: a guard against hanging, not a measure.
PATIENCE_S = 60
KILLED = -9

_SETTINGS = {
    "ALLOYD_EGRESS__ALLOW": '["127.0.0.0/8"]',
    "ALLOYD_STORAGE__SWEEP_INTERVAL_S": "1",
    "ALLOYD_DATA__CHECKPOINT_PAGES": "100",
    "ALLOYD_DATA__DISK_FREE_BYTES_MIN": "0",
}


class LostError(Exception):
    """The daemon went away before its answer was there in full: what was asked is in doubt."""


class Ledger:
    """An append-only file outside the daemon, and the same in memory: what was sent, acknowledged, or left in doubt."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self.kills_ms: list[int] = []
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def note(self, what: str, **fields: Any) -> None:
        """Append one line."""
        entry = {"at": now_ms(), "what": what, **fields}
        self.entries.append(entry)
        self._file.write(json.dumps(entry) + "\n")

    def note_kill(self) -> None:
        """The daemon's life ends now."""
        self.kills_ms.append(now_ms())
        self.note("kill", number=len(self.kills_ms))

    def take_over(self, earlier: Ledger) -> None:
        """Go on with what was acknowledged before."""
        self.entries.extend(earlier.entries)
        self.kills_ms.extend(earlier.kills_ms)

    def all_of(self, what: str) -> list[dict[str, Any]]:
        """The entries of one kind, oldest first."""
        return [entry for entry in self.entries if entry["what"] == what]

    def close(self) -> None:
        """No more is written."""
        self._file.close()


def now_ms() -> int:
    """The wall clock, which the daemon's rows are told by too."""
    return time.time_ns() // 1_000_000


class Client:
    """One life's connections to the daemon, with one key, over both surfaces."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=PATIENCE_S)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._session.close()

    def headers(self, path: str, key: str | None = None) -> dict[str, str]:
        """The credential as the surface of ``path`` wants it."""
        key = key or self.key
        return {"api-key": key} if path.startswith("/api/private") else {"Authorization": f"Bearer {key}"}

    async def send(
        self, method: str, path: str, *, key: str | None = None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[int, Any]:
        """Status and data of an answer that was received in full. Raises :class:`LostError` otherwise."""
        sent = {**self.headers(path, key), **(headers or {})}
        try:
            async with self._session.request(method, self.url + path, headers=sent, **more) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise LostError(f"{method} {path}: {error!r}") from error
        if answer.content_type != "application/json" or "Content-Disposition" in answer.headers:
            return answer.status, body
        told = json.loads(body)
        assert answer.status < 500, f"{method} {path}: {answer.status} {told}"
        return answer.status, told.get("data")

    async def get(self, route: str, **params: str) -> Any:
        """What a GET answers with 200."""
        status, data = await self.send("GET", route, params=params)
        assert status == 200, f"GET {route} {params}: {status} {data!r}"
        return data

    async def events(self, after_id: int) -> AsyncIterator[dict[str, Any]]:
        """The organization's events after ``after_id``, live; ends when the daemon does."""
        path = "/v1/events/stream"
        sent = {**self.headers(path), "Last-Event-ID": str(after_id)}
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with self._session.get(
                self.url + path, headers=sent, timeout=aiohttp.ClientTimeout(total=None), read_bufsize=2**20
            ) as answer:
                assert answer.status == 200, await answer.text()
                async for line in answer.content:
                    if line.startswith(b"data: ") and line.endswith(b"\n"):
                        yield json.loads(line[6:])


@dataclass
class Daemon:
    """Lives of one data directory, one after the other."""

    data_dir: Path
    ledger: Ledger
    url: str = ""
    key: str = ""
    keys: list[str] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None

    async def spawn(self, crash_at: str = "", settings: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
        """Start a process and don't wait for anything."""
        environment = {"PATH": os.environ["PATH"], **_SETTINGS, **(settings or {})}
        if crash_at:
            environment["ALLOYD_CRASH_AT"] = crash_at
        with self.errors_file.open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "alloyd", "serve", "--data-dir", str(self.data_dir), "--port", "0"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=ROOT,
            )
        return self.process

    async def start(self, crash_at: str = "", settings: Mapping[str, str] | None = None) -> None:
        """Start a process and wait until it listens."""
        process = await self.spawn(crash_at, settings)
        assert await self.read_until_up(), f"ended with {await process.wait()}: {self.errors()}"

    async def read_until_up(self) -> bool:
        """Read what the process says until it listens; False when it ended before."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            async for raw in self.process.stdout:
                line = raw.decode()
                if line.startswith("owner key: "):
                    self.keys.append(line.split()[2])
                    self.key = self.keys[-1]
                found = re.match(r"listening url=(\S+)", line)
                if found:
                    self.url = found[1]
                    return True
        return False

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        assert self.process is not None
        self.ledger.note_kill()
        self.process.kill()
        assert await self.wait() == KILLED

    async def die(self) -> None:
        """Wait for the end at a named point."""
        assert await self.wait() == crash.EXIT_STATUS, self.errors()
        self.ledger.note_kill()

    async def terminate(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.send_signal(SIGTERM)
        return await self.wait()

    async def wait(self) -> int:
        """The exit status of the process that ends by itself."""
        assert self.process is not None
        async with asyncio.timeout(PATIENCE_S):
            if self.process.stdout is not None:
                await self.process.stdout.read()
            return await self.process.wait()

    async def end(self) -> None:
        """Whatever happened: no process is left behind."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def client(self) -> Client:
        """Connections to the present life, with the owner's key."""
        return Client(self.url, self.key)

    @property
    def database(self) -> Path:
        return self.data_dir / "alloyd.db"

    @property
    def errors_file(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.stderr")

    def errors(self) -> str:
        """The end of what all lives wrote to stderr."""
        return self.errors_file.read_text()[-4000:]


@dataclass(frozen=True)
class Received:
    """A call as the other party saw it."""

    at_ms: int
    key: str
    step: str
    status: int


class OtherParty:
    """A server of somebody else: notes every call, and refuses the first one of every third run's ``shaky`` step."""

    def __init__(self) -> None:
        self.calls: list[Received] = []
        self.url = ""
        self._seen: dict[str, int] = defaultdict(int)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/call/{step}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        at_ms = now_ms()
        body = await request.json()
        key, step = request.headers["Idempotency-Key"], request.match_info["step"]
        assert key == f"{body['run']}:{step}", "the key has to be the same at every repeat"
        self._seen[key] += 1
        refuses = step == "shaky" and body["number"] % 3 == 0 and self._seen[key] == 1
        self.calls.append(Received(at_ms, key, step, 503 if refuses else 200))
        return web.json_response({"step": step}, status=503 if refuses else 200)
