"""``python -m tests.load``: 1,000 SSE readers and 200 WebSockets while 200 runs a second go on.

Ends with status 1 when a reader misses or repeats an event, when memory grows, or when files stay open.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench.bench import default_parent
from tests.bench.figures import percentile
from tests.bench.processes import Alloyd
from tests.bench.profiled import report
from tests.load.samples import MIB, trend
from tests.load.scene import Outcome, Plan, run_load
from tests.load.soak import SETTINGS, soak

RUNS_PER_S, SECONDS = 200.0, 30.0
SOAK_RUNS_PER_S, SOAK_SECONDS, SOAK_READERS_EACH = 300.0, 240.0, 10
# Memory is level from here on: the readers' connections and the database's caches have taken what they need.
WARM_UP_PART = 1 / 3


def main() -> int:
    """Load or soak, print figures, judge."""
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="load-", dir=options.dir or default_parent()))
    out = directory / "profile"
    program = ["-m", "tests.bench.profiled", str(out)] if options.profile else ["-m", "alloyd"]
    retention = SETTINGS if options.soak else ()
    command = ["env", "ALLOYD_GRPC__PORT=0", *retention, *options.set, sys.executable, *program]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} before; seed {options.seed}", flush=True)
    try:
        with Alloyd(command, directory / "data") as alloyd:
            faults, told = (_soak if options.soak else _load)(alloyd, options)
        if options.profile:
            report(str(out))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(told)
    for fault in faults:
        print(f"FAULT: {fault}")
    print("every reader had every event once, in order; all is level" if not faults else "not as it has to be")
    return 1 if faults else 0


def _load(alloyd: Alloyd, options: argparse.Namespace) -> tuple[list[str], str]:
    plan = Plan(
        options.sse,
        options.websockets,
        options.runs_per_s or RUNS_PER_S,
        options.seconds or SECONDS,
        options.warm_up_runs,
        options.slow_percent,
        options.cut_percent,
        seed=options.seed,
    )
    outcome = run_load(alloyd, plan)
    return [*outcome.faults, *judge(outcome, plan)], figures(outcome, plan)


def _soak(alloyd: Alloyd, options: argparse.Namespace) -> tuple[list[str], str]:
    soaked = soak(alloyd, options.runs_per_s or SOAK_RUNS_PER_S, options.seconds or SOAK_SECONDS, SOAK_READERS_EACH)
    return soaked.faults(), soaked.figures()


def judge(outcome: Outcome, plan: Plan) -> list[str]:
    """What is wrong with the daemon's memory and files."""
    faults = []
    line = trend(outcome.memory, plan.seconds * WARM_UP_PART)
    if not line.is_level:
        faults.append(f"memory grows: {line.begin / MIB:.1f} to {line.end / MIB:.1f} MiB in {line.seconds:.0f} s")
    if outcome.files_after > outcome.files_before:
        faults.append(f"{outcome.files_after - outcome.files_before} files stay open after the readers left")
    return faults


def figures(outcome: Outcome, plan: Plan) -> str:
    """What was measured, in lines."""
    told, found, memory = outcome.told, outcome.found, outcome.memory
    ages, taken = found.ages_ms or [0.0], told.taken_ms or [0.0]
    line = trend(memory, plan.seconds * WARM_UP_PART)
    middle = memory[len(memory) // 2][1]
    return "\n".join(
        (
            (
                f"readers    {plan.sse} SSE, {plan.websockets} WebSocket; {found.pauses} pauses of slow ones, "
                f"{found.resumed} resumed after a cut"
            ),
            (
                f"runs       {told.answered:,} at {told.answered / told.seconds:,.0f}/s, answered after p50 "
                f"{percentile(taken, 50):.1f} ms, p99 {percentile(taken, 99):.1f} ms"
            ),
            (
                f"events     {outcome.events:,}; {found.delivered:,} delivered in {outcome.took_s:.1f} s: "
                f"{found.delivered / outcome.took_s:,.0f}/s"
            ),
            (
                f"lag        from the commit p50 {percentile(ages, 50):.0f} ms, p99 {percentile(ages, 99):.0f} ms, "
                f"most {max(ages):.0f} ms ({len(ages):,} samples)"
            ),
            (
                f"memory     {memory[0][1] / MIB:.1f} MiB at the start, {middle / MIB:.1f} in the middle, "
                f"{memory[-1][1] / MIB:.1f} at the end, most {max(size for _, size in memory) / MIB:.1f}; "
                f"{line.per_minute / MIB:+.2f} MiB/min over the last {line.seconds:.0f} s"
            ),
            (
                f"files      {outcome.files_before} before, {outcome.files_open} with all readers, "
                f"{outcome.files_after} after they left"
            ),
            f"processor  alloyd {outcome.cores:.2f} cores, the readers {found.cpu_s / outcome.took_s:.2f}",
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--sse", type=int, default=1000, help="readers of server-sent events")
    parser.add_argument("--websockets", type=int, default=200, help="readers over WebSockets")
    parser.add_argument("--soak", action="store_true", help="minutes of triggers with retention, and few readers")
    parser.add_argument("--runs-per-s", type=float, help="triggers of a three-step workflow; 200, with --soak 300")
    parser.add_argument("--seconds", type=float, help="how long to trigger; 30, with --soak 240")
    parser.add_argument("--warm-up-runs", type=int, default=10_000, help="before the readers come: fills the caches")
    parser.add_argument("--slow-percent", type=float, default=5.0, help="readers that keep stopping for a while")
    parser.add_argument("--cut-percent", type=float, default=5.0, help="readers that keep hanging up and resuming")
    parser.add_argument("--seed", type=int, default=0, help="of who is cut when")
    parser.add_argument("--profile", action="store_true", help="run alloyd under cProfile")
    parser.add_argument("--dir", type=Path, help="where to work, on a real disk; build/ unless given")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable for alloyd")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
