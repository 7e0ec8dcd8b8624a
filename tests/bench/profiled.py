"""Runs alloyd under cProfile: ``python -m tests.bench.profiled OUT serve ...`` writes OUT-loop and OUT-threads.

The event loop's thread and the others (the database's writer and readers, the pools) are told apart, since they share
the interpreter. Times are of the wall clock, and a profile makes small functions look dearer than they are.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading
from typing import Any

from alloyd.cli.main import main as alloyd_main

_ROWS = 40


def _profile_threads(into: list[cProfile.Profile]) -> None:
    run = threading.Thread.run

    def profiled_run(thread: threading.Thread, *args: Any) -> None:
        profile = cProfile.Profile()
        try:
            profile.runcall(run, thread, *args)
        finally:
            into.append(profile)

    threading.Thread.run = profiled_run  # type: ignore[assignment,method-assign]


def main() -> None:
    """Profile until the daemon ends."""
    out = sys.argv.pop(1)
    sys.argv[0] = "alloyd"
    threads: list[cProfile.Profile] = []
    if sys.version_info < (3, 12):  # later ones allow one profiler in all threads together
        _profile_threads(threads)
    loop = cProfile.Profile()
    try:
        loop.runcall(alloyd_main)
    finally:
        loop.dump_stats(f"{out}-loop")
        if threads:
            pstats.Stats(*threads).dump_stats(f"{out}-threads")


def report(out: str) -> None:
    """Print what took the most time, by itself and with what it called."""
    for part in ("loop", "threads"):
        for order, title in (("tottime", "by itself"), ("cumtime", "with what it called")):
            print(f"\n== {part}: {title}")
            try:
                pstats.Stats(f"{out}-{part}").sort_stats(order).print_stats(_ROWS)
            except FileNotFoundError:
                print("nothing was written")


if __name__ == "__main__":
    main()
