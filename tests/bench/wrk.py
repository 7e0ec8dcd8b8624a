"""Load by wrk: its script, its command, what it tells."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MARK = "bench:"

# wrk counts in microseconds. `status` are answers of 400 and more.
_DONE = """
done = function(summary, latency, requests)
  io.write(string.format(
    'bench:{"requests":%d,"duration_us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,'
    .. '"p50_us":%d,"p99_us":%d}\\n',
    summary.requests, summary.duration, summary.errors.connect, summary.errors.read, summary.errors.write,
    summary.errors.status, summary.errors.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, sent again and again. ``headers`` without Host and Content-Length."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to. ``failed`` are answers of 400 and more, and connections that broke."""

    answered: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_s(self) -> float:
        """Answers below 400 in a second."""
        return (self.answered - self.failed) / self.seconds if self.seconds else 0.0


def find_wrk() -> str | None:
    """Where wrk is, None when it is not installed."""
    return shutil.which("wrk")


def script(request: Request) -> str:
    """wrk's Lua for ``request``."""
    lines = [f"wrk.method = {_lua(request.method)}", f"wrk.path = {_lua(request.path)}"]
    if request.body:
        lines.append(f"wrk.body = {_lua(request.body.decode())}")
    lines += [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in request.headers.items()]
    return "\n".join(lines) + _DONE


def _lua(text: str) -> str:
    """A Lua string; every byte that is not plain is escaped by its number."""
    plain = [chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\{byte:03d}" for byte in text.encode()]
    return '"' + "".join(plain) + '"'


def parse(output: str) -> Load:
    """The load out of what wrk printed. Raises ValueError when the script's line is not there."""
    for line in output.splitlines():
        if line.startswith(_MARK):
            told = json.loads(line.removeprefix(_MARK))
            failed = sum(told[kind] for kind in ("connect", "read", "write", "status", "timeout"))
            return Load(
                told["requests"], failed, told["duration_us"] / 1e6, told["p50_us"] / 1000, told["p99_us"] / 1000
            )
    raise ValueError(f"wrk told nothing: {output.strip()[-500:]}")


def run(wrk: str, port: int, request: Request, connections: int, seconds: float, directory: Path) -> Load:
    """Load 127.0.0.1:``port`` from one thread for whole ``seconds``."""
    lua = directory / "load.lua"
    lua.write_text(script(request))
    done = subprocess.run(
        [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(lua), f"http://127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return parse(done.stdout)
