"""A daemon, its readers and the triggers: one load from the first reader to the last one's leaving."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from tests.bench.bench import drain
from tests.bench.load import encode
from tests.bench.processes import ROOT, Alloyd
from tests.bench.workflows import THREE_STEPS
from tests.load.readers import Findings, Orders
from tests.load.samples import Samples, open_files
from tests.load.triggers import Told, trigger_steadily

# Half of what one credential may have open by default, so that a reader that resumes finds room beside its old stream.
READERS_PER_KEY = 50
LEAVE_TIMEOUT_S = 30.0
WARM_UP_PER_S = 1000.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    sse: int = 1000
    websockets: int = 200
    runs_per_s: float = 200.0
    seconds: float = 30.0
    warm_up_runs: int = 10_000
    slow_percent: float = 5.0
    cut_percent: float = 5.0
    patience_s: float = 120.0
    seed: int = 0
    cut_after_s: tuple[float, float] = (1.0, 5.0)
    slow_pause_s: float = 2.0

    @property
    def runs(self) -> int:
        """How many are triggered while the readers read."""
        return round(self.runs_per_s * self.seconds)


@dataclass
class Outcome:
    """What was seen. ``faults`` are sentences; none means that every reader had every event once, in order."""

    told: Told
    found: Findings
    events: int
    faults: list[str]
    memory: list[tuple[float, int]]
    cores: float
    took_s: float
    files_before: int
    files_open: int
    files_after: int
    notes: list[str] = field(default_factory=list)


def data_dir_of(alloyd: Alloyd) -> Path:
    """Where the daemon keeps everything."""
    args = alloyd.child.args
    assert isinstance(args, list)
    return Path(args[args.index("--data-dir") + 1])


def event_ids(data_dir: Path, after_id: int) -> list[int]:
    """The ids in the table after ``after_id``, oldest first."""
    with contextlib.closing(sqlite3.connect(f"file:{data_dir / 'alloyd.db'}?mode=ro", uri=True)) as conn:
        return [row[0] for row in conn.execute("SELECT id FROM events WHERE id > ? ORDER BY id", (after_id,))]


@contextlib.contextmanager
def reading(orders: Orders) -> Iterator[subprocess.Popen[str]]:
    """The process of the readers, all of them open. Raises RuntimeError when they are not let in."""
    command = [sys.executable, "-m", "tests.load.readers"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as readers:
        try:
            if order_and_read(readers, msgspec.json.encode(orders).decode()) != "open":
                raise RuntimeError("the readers were not let in")
            yield readers
        finally:
            readers.kill()


def order_and_read(readers: subprocess.Popen[str], line: str) -> str:
    """What the readers answer to an order."""
    assert readers.stdin is not None
    assert readers.stdout is not None
    readers.stdin.write(line + "\n")
    readers.stdin.flush()
    return readers.stdout.readline().strip()


def run_load(alloyd: Alloyd, plan: Plan) -> Outcome:
    """Open the readers, trigger, wait for the end of all runs, and let the readers say what they had."""
    data_dir = data_dir_of(alloyd)
    request = encode(alloyd.trigger(alloyd.save_workflow(THREE_STEPS), {"name": "Ada"}), alloyd.port)
    keys = alloyd.make_keys(-(-(plan.sse + plan.websockets) // READERS_PER_KEY))
    if plan.warm_up_runs:
        uvloop.run(trigger_steadily(alloyd.port, request, WARM_UP_PER_S, plan.warm_up_runs))
        drain(alloyd)
    files_before = open_files(alloyd.child.pid)
    before_id = event_ids(data_dir, 0)[-1]
    orders = Orders(
        alloyd.port,
        keys,
        plan.sse,
        plan.websockets,
        plan.slow_percent,
        plan.cut_percent,
        plan.patience_s,
        plan.seed,
        plan.cut_after_s,
        plan.slow_pause_s,
    )
    with reading(orders) as readers:
        files_open = open_files(alloyd.child.pid)
        with Samples(alloyd.memory_bytes) as samples:
            cpu_s, started = alloyd.cpu_s(), time.perf_counter()
            told = uvloop.run(trigger_steadily(alloyd.port, request, plan.runs_per_s, plan.runs))
            alloyd.hang_up()
            drain(alloyd)
            ids = event_ids(data_dir, before_id)
            found = msgspec.json.decode(order_and_read(readers, json.dumps({"upto": ids[-1]})), type=Findings)
            took_s = time.perf_counter() - started
            cores = (alloyd.cpu_s() - cpu_s) / took_s
        readers.communicate("")
    return Outcome(
        told,
        found,
        len(ids),
        faults_of(found, ids, plan, told),
        samples.taken,
        cores,
        took_s,
        files_before,
        files_open,
        _await_files(alloyd, files_before),
    )


def _await_files(alloyd: Alloyd, expected: int) -> int:
    """Open files once all have left: the daemon notices that a little later."""
    deadline = time.monotonic() + LEAVE_TIMEOUT_S
    while (now := open_files(alloyd.child.pid)) > expected and time.monotonic() < deadline:
        time.sleep(0.05)  # the daemon is another process
    return now


def faults_of(found: Findings, table: Sequence[int], plan: Plan, told: Told) -> list[str]:
    """What is wrong with what the readers had, given the ids of the events that there are. None of it is allowed."""
    faults = list(found.faults)
    if found.fault_count > len(found.faults):
        faults.append(f"and {found.fault_count - len(found.faults)} more")
    if told.refused:
        faults.append(f"{told.refused} triggers were refused")
    if found.behind:
        faults.append(f"{found.behind} readers had not had event {table[-1]} after {plan.patience_s:g} s")
    for sort, count in (("sse", plan.sse), ("websocket", plan.websockets)):
        if not count:
            continue
        if found.ids[sort] != list(table):
            streamed = set(found.ids[sort])
            missing, others = len(set(table) - streamed), len(streamed - set(table))
            faults.append(f"{sort}: {missing} events in the table and not in the stream, {others} the reverse")
        for first, last, readers in found.had[sort]:
            if (first, last) != (table[0], table[-1]) and not found.behind:
                faults.append(f"{readers} {sort} readers had {first} to {last} instead of {table[0]} to {table[-1]}")
    return faults
