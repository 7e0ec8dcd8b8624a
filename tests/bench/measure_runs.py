"""Runs: how many are acknowledged, how many are done, how long one takes."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass

from alloyd.domain.workflows.sample import HELLO
from tests.bench.bench import Bench, drain
from tests.bench.figures import Figure, at_least, at_most, compare, median, percentile
from tests.bench.load import answer_end, encode, generator, load
from tests.bench.processes import Alloyd, Bare, Process
from tests.bench.workflows import THREE_STEPS
from tests.bench.wrk import Load, Request

CONNECTIONS = 64
WARM_UP_S = 1.0
SINGLE_RUNS = 500
SINGLE_WARM_UP = 100


def measure_triggers(bench: Bench) -> list[Figure]:
    """Acknowledged triggers of the sample workflow, against the bare server's requests."""
    with bench.start("triggers") as alloyd:
        request = alloyd.trigger(alloyd.save_workflow(HELLO), {"name": "Ada"})
        status, answer = alloyd.ask(request)
        assert status == 200, answer
        with Bare(answer, bench.directory) as bare:
            others, mine, notes = _alternate(bench, alloyd, bare, request)
    note = f"{generator()}, {CONNECTIONS} connections; {note_of(notes)}"
    rates = [one.per_s for one in mine]
    other_rates = [one.per_s for one in others]
    return [
        compare("triggers", "/s", rates, other_rates, "bare aiohttp", 0.5, note),
        compare(
            "triggers p99",
            "ms",
            [one.p99_ms for one in mine],
            [one.p99_ms for one in others],
            "bare aiohttp",
            None,
            f"p50 {median([one.p50_ms for one in mine]):.1f} ms; "
            f"bare p50 {median([one.p50_ms for one in others] or [0.0]):.1f} ms",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time from a moment on, of all threads and of the event loop's alone."""

    server: Process
    all_s: float
    loop_s: float

    @classmethod
    def begin(cls, server: Process) -> Cost:
        """Count from now on."""
        return cls(server, server.cpu_s(), server.main_thread_cpu_s())

    def end(self) -> tuple[float, float]:
        """Seconds ``(of all threads, of the loop)`` since :meth:`begin`."""
        return self.server.cpu_s() - self.all_s, self.server.main_thread_cpu_s() - self.loop_s


def _alternate(
    bench: Bench, alloyd: Alloyd, bare: Bare, request: Request
) -> tuple[list[Load], list[Load], list[dict[str, float]]]:
    others: list[Load] = []
    mine: list[Load] = []
    notes: list[dict[str, float]] = []
    load(alloyd.port, request, CONNECTIONS, WARM_UP_S, bench.directory)
    drain(alloyd)
    load(bare.port, request, CONNECTIONS, WARM_UP_S, bench.directory)
    for _ in range(bench.rounds):
        note = dict.fromkeys(("bare_cores", "bare_loop_us"), 0.0)
        if bench.compares:
            cost = Cost.begin(bare)
            other = load(bare.port, request, CONNECTIONS, bench.seconds, bench.directory)
            others.append(other)
            note |= _costs("bare_", cost, other)
        ended, cost = alloyd.runs_ended(), Cost.begin(alloyd)
        one = load(alloyd.port, request, CONNECTIONS, bench.seconds, bench.directory)
        note |= _costs("", cost, one)
        note["ended_percent"] = 100 * (alloyd.runs_ended() - ended) / max(1, one.answered)
        note["failed"] = float(one.failed)
        note["drain_s"] = drain(alloyd)
        mine.append(one)
        notes.append(note)
    return others, mine, notes


def _costs(prefix: str, cost: Cost, one: Load) -> dict[str, float]:
    all_s, loop_s = cost.end()
    return {f"{prefix}cores": all_s / one.seconds, f"{prefix}loop_us": loop_s * 1e6 / max(1, one.answered)}


def note_of(notes: list[dict[str, float]]) -> str:
    """What else there is to say of the rounds."""
    mid = {name: median([note[name] for note in notes]) for name in notes[0]}
    failed = sum(note["failed"] for note in notes)
    return (
        f"{mid['ended_percent']:.0f} % of these runs had ended when the load stopped, the backlog took "
        f"{mid['drain_s']:.1f} s to drain; alloyd used {mid['cores']:.2f} cores, its loop {mid['loop_us']:.0f} us "
        f"of processor for each answer with what was executed meanwhile; bare {mid['bare_cores']:.2f} cores, "
        f"{mid['bare_loop_us']:.0f} us" + (f"; {failed:.0f} requests failed" if failed else "")
    )


def measure_complete(bench: Bench) -> list[Figure]:
    """Runs of three transform steps, from the first trigger to the end of the last run."""
    rates, notes = [], []
    with bench.start("complete") as alloyd:
        request = alloyd.trigger(alloyd.save_workflow(THREE_STEPS), {"name": "Ada"})
        load(alloyd.port, request, CONNECTIONS, WARM_UP_S, bench.directory)
        drain(alloyd)
        for _ in range(min(bench.rounds, 3)):
            ended, cost, started = alloyd.runs_ended(), Cost.begin(alloyd), time.perf_counter()
            one = load(alloyd.port, request, CONNECTIONS, bench.seconds, bench.directory)
            loaded_s = time.perf_counter() - started
            drained_s = drain(alloyd)
            took_s, done = time.perf_counter() - started, alloyd.runs_ended() - ended
            all_s, loop_s = cost.end()
            rates.append(done / took_s)
            notes.append(
                f"{done:,} runs: {loaded_s:.1f} s under load ({one.per_s:,.0f} triggers/s), then {drained_s:.1f} s; "
                f"{all_s / took_s:.2f} cores, {1e6 * loop_s / done:.0f} us of the event loop and "
                f"{1e6 * (all_s - loop_s) / done:.0f} us of other threads a run"
            )
    note = f"{generator()}, {CONNECTIONS} connections; {'; '.join(notes)}"
    return [at_least("complete runs", median(rates), "/s", 1500, note, rounds=rates)]


def measure_single(bench: Bench) -> list[Figure]:
    """One three-step run after the other on an idle daemon, each awaited with ``Prefer: wait``."""
    with bench.start("single") as alloyd:
        workflow_id = alloyd.save_workflow(THREE_STEPS)
        request = alloyd.trigger(workflow_id, {"name": "Ada"}, Prefer="wait=10")
        status, answer = alloyd.ask(request)
        state = json.loads(answer)["data"]["result"]["status"]
        assert (status, state) == (200, "completed"), answer
        with Bare(answer, bench.directory) as bare:
            taken = _times_ms(alloyd.port, request)
            others = _times_ms(bare.port, request)
    note = f"{SINGLE_RUNS} runs on one connection, trigger to answer with the output"
    p50, p99 = percentile(taken, 50), percentile(taken, 99)
    bare50, bare99 = percentile(others, 50), percentile(others, 99)
    return [
        at_most(
            "single run p50", p50, "ms", 3, note, compared=bare50, compared_with="bare aiohttp", ratio=p50 / bare50
        ),
        at_most("single run p99", p99, "ms", 10, compared=bare99, compared_with="bare aiohttp", ratio=p99 / bare99),
    ]


def _times_ms(port: int, request: Request) -> list[float]:
    data = encode(request, port)
    taken = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(SINGLE_WARM_UP + SINGLE_RUNS):
            started = time.perf_counter()
            connection.sendall(data)
            answer = b""
            while (end := answer_end(answer)) is None:
                piece = connection.recv(65536)
                if not piece:
                    raise RuntimeError("the server closed the connection")
                answer += piece
            taken.append((time.perf_counter() - started) * 1000)
            if end[0] != 200:
                raise RuntimeError(answer.decode(errors="replace"))
    return taken[SINGLE_WARM_UP:]
