"""What it costs while nothing happens: processor time of waiting runs, memory, and the time until it is ready."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.bench import POLL_S, Bench, drain
from tests.bench.figures import Figure, at_most, median
from tests.bench.processes import ROOT, Alloyd
from tests.bench.workflows import THREE_STEPS, WAIT

WAITING_RUNS = 1000
WATCH_S = 10.0
SETTLE_S = 3.0
STARTS = 5
MIB = 1024 * 1024
# Less than this the clock of a process can't tell from the daemon's own housekeeping.
NOTHING_PERCENT = 0.2
EXECUTABLE = ROOT / "dist" / "alloyd"


def measure_waiting(bench: Bench) -> list[Figure]:
    """Processor time of 1,000 runs that wait an hour, over that of the same daemon without them."""
    with bench.start("waiting") as alloyd:
        workflow_id = alloyd.save_workflow(WAIT)
        before = _percent_of_core(alloyd)
        request = alloyd.trigger(workflow_id, {})
        for _ in range(WAITING_RUNS):
            status, answer = alloyd.ask(request)
            if status != 200:
                raise RuntimeError(answer.decode())
        drain(alloyd)
        with_runs = _percent_of_core(alloyd)
        if alloyd.runs_ended():
            raise RuntimeError("runs that wait an hour have ended")
    note = (
        f"{with_runs:.3f} % of a core with {WAITING_RUNS} waiting runs, {before:.3f} % without, over {WATCH_S:g} s each"
    )
    return [at_most("waiting runs", max(0.0, with_runs - before), "% of a core", NOTHING_PERCENT, note)]


def _percent_of_core(alloyd: Alloyd) -> float:
    time.sleep(SETTLE_S)
    cpu_s, started = alloyd.cpu_s(), time.perf_counter()
    time.sleep(WATCH_S)
    return 100 * (alloyd.cpu_s() - cpu_s) / (time.perf_counter() - started)


def measure_memory(bench: Bench) -> list[Figure]:
    """Resident memory ten seconds after the start on an empty directory, from source and of the executable."""
    figures = []
    for name, command, limit in _programs(bench):
        with Alloyd(command, bench.directory / f"memory-{name}" / "data") as alloyd:
            most, deadline = 0, time.monotonic() + WATCH_S
            while time.monotonic() < deadline:
                most = max(most, alloyd.memory_bytes())
                time.sleep(POLL_S)
            value = alloyd.memory_bytes() / MIB
        note = f"most since the start {most / MIB:.1f} MiB"
        figure = at_most(f"idle memory, {name}", value, "MiB", limit or 90, note)
        figures.append(figure if limit else Figure(figure.name, value, "MiB", note=note))
    return figures


def _programs(bench: Bench) -> list[tuple[str, Sequence[str], float | None]]:
    programs: list[tuple[str, Sequence[str], float | None]] = [("source", bench.command, 90)]
    if EXECUTABLE.exists():
        programs.append(("executable", [str(EXECUTABLE)], None))
    return programs


def measure_ready(bench: Bench) -> list[Figure]:
    """From the start of the process to the first 200 of /readyz, on an empty directory and on one in use."""
    figures = []
    for name, command, limit in _programs(bench):
        empty = [_start(command, bench.directory / f"ready-{name}-{n}" / "data") for n in range(STARTS)]
        used = bench.directory / f"ready-{name}-used" / "data"
        _use(command, used)
        existing = [_start(command, used) for _ in range(STARTS)]
        for state, starts in (("empty", empty), ("in use", existing)):
            ready = [one[1] for one in starts]
            title = f"ready, {name}, {state}"
            note = (
                f"`listening` after {median([one[0] for one in starts]):.2f} s; slowest {max(ready):.2f} s of {STARTS}"
            )
            if limit:
                figures.append(at_most(title, median(ready), "s", 1.5, note, rounds=ready))
            else:
                figures.append(Figure(title, median(ready), "s", note=note, rounds=ready))
    return figures


def _start(command: Sequence[str], data_dir: Path) -> tuple[float, float]:
    with Alloyd(command, data_dir) as alloyd:
        return alloyd.listening_after_s, alloyd.ready_after_s


def _use(command: Sequence[str], data_dir: Path) -> None:
    with Alloyd(command, data_dir) as alloyd:
        request = alloyd.trigger(alloyd.save_workflow(THREE_STEPS), {"name": "Ada"})
        for _ in range(WAITING_RUNS):
            alloyd.ask(request)
        drain(alloyd)
