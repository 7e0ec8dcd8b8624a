"""Runs alloyd under cProfile: ``python -m tests.bench.profiled OUT serve ...`` writes OUT-loop and OUT-threads.

The event loop's thread and the others (the database's writer and readers, the pools) are told apart, since they share
the interpreter. Times are the thread's own processor time: waiting, also for the interpreter, is not in them. A profile
makes small functions look dearer than they are.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from alloyd.cli.main import main as alloyd_main

_ROWS = 40
_ROOMS = 25


def _profile_threads(into: list[cProfile.Profile]) -> None:
    run = threading.Thread.run

    def profiled_run(thread: threading.Thread, *args: Any) -> None:
        profile = cProfile.Profile(time.thread_time)
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
    loop = cProfile.Profile(time.thread_time)
    try:
        loop.runcall(alloyd_main)
    finally:
        loop.dump_stats(f"{out}-loop")
        if threads:
            pstats.Stats(*threads).dump_stats(f"{out}-threads")


def report(out: str) -> None:
    """Print what took the most time: by rooms, and functions by themselves and with what they called."""
    for part in ("loop", "threads"):
        path = Path(f"{out}-{part}")
        if not path.exists():
            continue
        stats = pstats.Stats(str(path))
        rooms: defaultdict[str, float] = defaultdict(float)
        for (file, _line, _name), (_primitive, _calls, own_s, _with_s, _callers) in _entries(stats).items():
            rooms[room_of(file)] += own_s
        print(f"\n== {part}: by rooms, seconds")
        for room, seconds in sorted(rooms.items(), key=lambda item: -item[1])[:_ROOMS]:
            print(f"{seconds:9.3f}  {room}")
        for order, title in (("tottime", "by itself"), ("cumtime", "with what it called")):
            print(f"\n== {part}: {title}")
            stats.sort_stats(order).print_stats(_ROWS)


def _entries(stats: pstats.Stats) -> dict[tuple[str, int, str], tuple[int, int, float, float, Any]]:
    return stats.stats  # type: ignore[attr-defined, no-any-return]  # since Python 2, and in no stub


def room_of(file: str) -> str:
    """The folder of a module of ours, the package of another's, or what a profile calls built in."""
    parts = Path(file).parts
    for name, depth in (("site-packages", 1), ("alloyd", 3)):
        if name in parts[:-1]:
            at = len(parts) - 1 - parts[::-1].index(name) + (name == "site-packages")
            return "/".join(parts[at : min(at + depth, len(parts) - 1)] or parts[at:])
    return "built in" if file.startswith(("~", "<")) else "Python's library"


if __name__ == "__main__":
    main()
