"""Live events: how old an event is when it reaches each of 500 readers."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from tests.bench.bench import Bench, drain
from tests.bench.figures import Figure, at_most
from tests.bench.processes import ROOT, Alloyd
from tests.bench.workflows import TICK

READERS = 500
READERS_PER_KEY = 50
TICKS_PER_S = 20
SETTLE_S = 2.0


def measure_events(bench: Bench) -> list[Figure]:
    """Every reader has all events of the organization; the ages of one kind are taken, at 20 a second."""
    with bench.start("events") as alloyd:
        workflow_id = alloyd.save_workflow(TICK)
        keys = alloyd.make_keys(READERS // READERS_PER_KEY)
        command = [sys.executable, "-m", "tests.bench.readers", str(alloyd.port), str(READERS), *keys]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as readers:
            try:
                assert readers.stdout is not None
                opened = readers.stdout.readline().strip()
                if opened != "open":
                    raise RuntimeError("the readers were not let in")
                cpu_s, started = alloyd.cpu_s(), time.perf_counter()
                sent = _tick(alloyd, workflow_id, bench.seconds * 3)
                cores = (alloyd.cpu_s() - cpu_s) / (time.perf_counter() - started)
                drain(alloyd)
                time.sleep(SETTLE_S)
                told = json.loads(readers.communicate("")[0])
            finally:
                readers.kill()
    note = (
        f"{READERS} readers of all events, {sent} events of ours at {TICKS_PER_S}/s, {told['received']} of "
        f"{sent * READERS} received, {told['lost']} lost; from the commit p50 {told['commit_p50']:.1f} ms, most "
        f"{told['commit_p100']:.1f} ms; from before the trigger that emits it p50 {told['send_p50']:.1f} ms, p99 "
        f"{told['send_p99']:.1f} ms; alloyd used {cores:.2f} cores"
    )
    return [at_most("event to reader p99", told["commit_p99"], "ms", 50, note)]


def _tick(alloyd: Alloyd, workflow_id: str, seconds: float) -> int:
    """Emit at a steady rate; how many events."""
    count = round(seconds * TICKS_PER_S)
    started = time.perf_counter()
    for number in range(count):
        time.sleep(max(0.0, started + number / TICKS_PER_S - time.perf_counter()))
        status, answer = alloyd.ask(alloyd.trigger(workflow_id, {"sent": time.monotonic_ns()}))
        if status != 200:
            raise RuntimeError(answer.decode())
    return count
