"""``python -m tests.bench``: measures this machine and prints a table. Nothing is asserted, the exit code is 0."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.bench.bench import Bench, default_parent, filesystem, fsync_ms
from tests.bench.figures import Figure, table
from tests.bench.load import generator
from tests.bench.measure_download import measure_download
from tests.bench.measure_events import measure_events
from tests.bench.measure_gateway import measure_gateway
from tests.bench.measure_idle import measure_memory, measure_ready, measure_waiting
from tests.bench.measure_runs import measure_complete, measure_single, measure_triggers
from tests.bench.profiled import report

MEASURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "ready": measure_ready,
    "memory": measure_memory,
    "waiting": measure_waiting,
    "single": measure_single,
    "events": measure_events,
    "download": measure_download,
    "gateway": measure_gateway,
    "triggers": measure_triggers,
    "complete": measure_complete,
}


def main() -> None:
    """Measure what was asked for."""
    options = _options()
    parent = options.dir or default_parent()
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    machine = _machine(directory)
    print(machine, flush=True)
    try:
        if options.profile:
            _profile(options, directory)
            return
        bench = Bench(["env", *options.set, *shlex.split(options.command)], directory, options.rounds, options.seconds)
        figures = [figure for name in options.only or MEASURES for figure in _measure(name, bench)]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"\n{table(figures)}")
    if options.json:
        told = {"machine": machine, "figures": [figure.to_json() for figure in figures]}
        options.json.write_text(json.dumps(told, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = ", ".join(MEASURES)
    parser.add_argument(
        "--only", action="append", choices=MEASURES, metavar="NAME", help=f"one of {names}; again for more"
    )
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of which medians are taken")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--dir", type=Path, help="where to work, on a real disk; build/ unless given")
    parser.add_argument("--command", default=f"{shlex.quote(sys.executable)} -m alloyd", help="what starts alloyd")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable for alloyd: ALLOYD_LOG__LEVEL=error",
    )
    parser.add_argument(
        "--profile", choices=MEASURES, metavar="NAME", help="run one measure once, alloyd under cProfile"
    )
    return parser.parse_args()


def _machine(directory: Path) -> str:
    return (
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} before; Linux {platform.release()}, Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}; {filesystem(directory)}, fdatasync of 4 KiB "
        f"{fsync_ms(directory):.2f} ms; load by {generator()}"
    )


def _measure(name: str, bench: Bench) -> list[Figure]:
    """The figures of one measure; one that breaks is shown as broken and does not stop the others."""
    print(f"measuring {name}", flush=True)
    try:
        return MEASURES[name](bench)
    except Exception as error:
        traceback.print_exc()
        return [Figure(name, 0.0, "", note=f"broken: {type(error).__name__}: {error}", met=False)]


def _profile(options: argparse.Namespace, directory: Path) -> None:
    out = directory / "profile"
    command = ["env", *options.set, sys.executable, "-m", "tests.bench.profiled", str(out)]
    print(table(MEASURES[options.profile](Bench(command, directory, 1, options.seconds, compares=False))))
    report(str(out))


if __name__ == "__main__":
    main()
