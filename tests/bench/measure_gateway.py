"""The AI gateway: how much later than directly an answer, and its first piece, comes through alloyd."""

from __future__ import annotations

import http.client
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_most, median, percentile
from tests.bench.processes import Alloyd, Process

_HEADERS = {"Content-Type": "application/json"}
_MESSAGES = [{"role": "user", "content": "Say a few words about the weather of the day, if you please. " * 3}]
WARM_UP = 50


class ModelServer(Process):
    """The language model; see :mod:`tests.bench.model_server`."""

    def __init__(self, directory: Path) -> None:
        super().__init__([sys.executable, "-m", "tests.bench.model_server"], directory / "model.log")
        self.port = int(self.read_line("listening "))

    def __enter__(self) -> ModelServer:
        return self


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the model, over a connection that is kept."""

    connection: http.client.HTTPConnection
    path: str
    headers: dict[str, str]
    body: bytes

    def ask(self) -> tuple[float, float, float]:
        """Milliseconds until the first piece and until the end, and what alloyd says that it took of them."""
        started = time.perf_counter()
        self.connection.request("POST", self.path, self.body, self.headers)
        response = self.connection.getresponse()
        first = response.read1(1)
        first_ms = (time.perf_counter() - started) * 1000
        rest = response.read()
        whole_ms = (time.perf_counter() - started) * 1000
        if response.status != 200 or not first:
            raise RuntimeError(f"{response.status} {(first + rest)[:500]!r}")
        return first_ms, whole_ms, float(response.headers.get("X-Alloyd-Overhead-Ms", 0))

    def ask_for(self, seconds: float) -> list[tuple[float, float, float]]:
        """One after the other, for so long."""
        until = time.perf_counter() + seconds
        found = []
        while time.perf_counter() < until:
            found.append(self.ask())
        return found


def measure_gateway(bench: Bench) -> list[Figure]:
    """One caller, one request at a time; each one's usage record is on disk before its answer is sent."""
    directory = bench.directory
    with ModelServer(directory) as model:
        provider = f"ALLOYD_PROVIDERS__BENCH__BASE_URL=http://127.0.0.1:{model.port}/v1"
        command = ["env", provider, "ALLOYD_PROVIDERS__BENCH__FREE=true", *bench.command]
        with Alloyd(command, directory / "gateway" / "data") as alloyd:
            return [*_compare(bench, model, alloyd, streams=False), *_compare(bench, model, alloyd, streams=True)]


def _compare(bench: Bench, model: ModelServer, alloyd: Alloyd, *, streams: bool) -> list[Figure]:
    direct, through = _ways(model.port, alloyd, streams=streams)
    for way in (direct, through):
        for _ in range(WARM_UP):
            way.ask()
    told: dict[str, list[list[tuple[float, float, float]]]] = {"direct": [], "through": []}
    for _ in range(bench.rounds):
        told["direct"].append(direct.ask_for(bench.seconds / 2))
        told["through"].append(through.ask_for(bench.seconds / 2))
    place, name, limit = (0, "gateway, first piece later", 5.0) if streams else (1, "gateway, answer later", 3.0)

    def at(percent: float, way: str) -> list[float]:
        return [percentile([one[place] for one in round_], percent) for round_ in told[way]]

    p50 = [ours - theirs for ours, theirs in zip(at(50, "through"), at(50, "direct"), strict=True)]
    p99 = [ours - theirs for ours, theirs in zip(at(99, "through"), at(99, "direct"), strict=True)]
    own = median([percentile([one[2] for one in round_], 50) for round_ in told["through"]])
    calls = sum(len(round_) for round_ in told["through"])
    note = (
        f"direct p50 {median(at(50, 'direct')):.2f} ms, p99 {median(at(99, 'direct')):.2f} ms; through alloyd p50 "
        f"{median(at(50, 'through')):.2f} ms, p99 {median(at(99, 'through')):.2f} ms, p99 later by {median(p99):.2f}"
        f" ms; {calls} calls; X-Alloyd-Overhead-Ms p50 {own:.2f}"
    )
    return [at_most(name, median(p50), "ms", limit, note, rounds=p50)]


def _ways(model_port: int, alloyd: Alloyd, *, streams: bool) -> tuple[Way, Way]:
    asked = {"model": "bench", "messages": _MESSAGES, **({"stream": True} if streams else {})}
    direct = Way(
        http.client.HTTPConnection("127.0.0.1", model_port, timeout=60),
        "/v1/chat/completions",
        _HEADERS,
        json.dumps(asked).encode(),
    )
    body = {"modality": "text", "model": "bench/bench", "input": {"messages": _MESSAGES}}
    through = Way(
        http.client.HTTPConnection("127.0.0.1", alloyd.port, timeout=60),
        "/v1/providers/execute/stream" if streams else "/v1/providers/execute",
        {**_HEADERS, "Authorization": f"Bearer {alloyd.owner_key}"},
        json.dumps(body).encode(),
    )
    return direct, through
