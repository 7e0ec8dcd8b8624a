"""A daemon of one's own on a directory that is thrown away: what `alloyd bench` and `alloyd torture` measure."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import msgspec

from alloyd.cli.errors import refused
from alloyd.errors import Code

START_WAIT_S: Final = 60.0
STOP_WAIT_S: Final = 60.0
ANSWER_WAIT_S: Final = 60.0
STDERR_BYTES_KEPT: Final = 2000
LOOK_AGAIN_S: Final = 0.05
UNFINISHED: Final = ("pending", "queued", "running", "waiting")

_LISTENING: Final = re.compile(r"listening url=(\S+)")
# The measure is of this machine, not of whoever called: nothing of the caller's settings is handed on.
_KEPT: Final = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH")


class AnswerLostError(Exception):
    """The daemon went away before its answer was there in full: what was asked is in doubt."""


class ScratchDaemon:
    """Lives of one data directory, one after the other. Use it as a context: no process is left behind."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.key = ""
        self._process: asyncio.subprocess.Process | None = None
        self._errors = data_dir.with_suffix(".log")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    async def start(self) -> None:
        """Start a process and wait until it listens. Raises Refused with the end of its log when it does not."""
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *_program(),
                *("serve", "--data-dir", str(self.data_dir), "--port", "0", "--grpc-port", "0"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=_environment(),
                start_new_session=True,  # the frozen program is two processes: both are killed
            )
        try:
            async with asyncio.timeout(START_WAIT_S):
                listens = await self._read_until_up(self._process)
        except TimeoutError:
            listens = False
        if not listens:
            raise refused(Code.UNAVAILABLE, f"the scratch daemon did not start: {self._last_words()}")

    async def _read_until_up(self, process: asyncio.subprocess.Process) -> bool:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode(errors="replace")
            if line.startswith("owner key: "):
                self.key = line.split()[2]
            found = _LISTENING.match(line)
            if found:
                self.url = found[1]
                return True
        return False

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        await self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and wait for the end; what does not end is killed."""
        try:
            async with asyncio.timeout(STOP_WAIT_S):
                await self._signal(signal.SIGTERM)
        except TimeoutError:
            await self.kill()

    async def _signal(self, number: signal.Signals) -> None:
        process = self._process
        assert process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        await process.wait()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self._errors.read_bytes()[-STDERR_BYTES_KEPT:].decode(errors="replace").strip()
        return "it said nothing"

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[ScratchClient]:
        """A client of the present life, with the owner's key."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_WAIT_S)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            yield ScratchClient(session, self.url, self.key)


class ScratchClient:
    """Requests to a scratch daemon over TCP, as other systems make them."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self._session = session
        self._url = url
        self._key = key

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any) -> Any:
        """``data`` of a good answer. Raises AnswerLostError when none came in full, Refused for a refusal."""
        status, body = await self.fetch(method, path, headers, **options)
        answer = msgspec.json.decode(body)
        if status >= 400:
            raise refused(Code.INTERNAL, f"{method} {path} was answered with {status}: {body[:500].decode()}")
        return answer["data"]

    async def fetch(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> tuple[int, bytes]:
        """Status and body. Raises AnswerLostError."""
        own = {"api-key": self._key} if path.startswith("/api/private") else {"Authorization": f"Bearer {self._key}"}
        try:
            async with self._session.request(
                method, self._url + path, headers={**own, **(headers or {})}, **options
            ) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise AnswerLostError(f"{method} {path}: {error!r}") from error

    async def publish(self, definition: Mapping[str, Any]) -> str:
        """Save a workflow; its id."""
        return str((await self.ask("POST", "/v1/workflow-definitions", json=definition))["id"])

    async def wait_until_ended(self) -> None:
        """Wait until no run is unfinished any more."""
        for state in UNFINISHED:
            while await self.ask("GET", f"/v1/workflow-runs?limit=1&status={state}"):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_AGAIN_S)  # the daemon is another process

    async def list_all(self, path: str) -> AsyncIterator[Any]:
        """Every item of a list, page after page."""
        following: str | None = path
        while following is not None:
            _status, body = await self.fetch("GET", following)
            answer = msgspec.json.decode(body)
            for item in answer["data"]:
                yield item
            following = answer["links"].get("next")


def _program() -> list[str]:
    """This very program: the frozen executable, or the package under this interpreter."""
    return [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "alloyd"]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # Else a frozen child takes itself for a part of this one, and uses its unpacked files.
    return {**kept, "PYINSTALLER_RESET_ENVIRONMENT": "1", "ALLOYD_LOG__LEVEL": "warning"}
