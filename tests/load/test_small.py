"""The load in small, with real processes, so that every change is tried: nothing lost, nothing twice, nothing open."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.processes import Alloyd
from tests.load.scene import Plan, run_load

# The queue is small, so that also the quick readers fall behind and are caught up from the table.
SETTINGS = ("ALLOYD_GRPC__PORT=0", "ALLOYD_EVENTS__READER_QUEUE_MAX=40", "ALLOYD_DATA__DISK_FREE_BYTES_MIN=0")
PLAN = Plan(
    sse=60,
    websockets=20,
    runs_per_s=150,
    seconds=3,
    warm_up_runs=0,
    slow_percent=10,
    cut_percent=20,
    cut_after_s=(0.1, 0.6),
    slow_pause_s=0.5,
)


def test_readers_that_are_slow_or_cut_get_every_event_once_and_leave_nothing_open(tmp_path: Path):
    with Alloyd(["env", *SETTINGS, sys.executable, "-m", "alloyd"], tmp_path / "data") as alloyd:
        outcome = run_load(alloyd, PLAN)
    assert outcome.faults == []
    assert outcome.events >= PLAN.runs * 3
    assert outcome.found.delivered == outcome.events * (PLAN.sse + PLAN.websockets)
    assert outcome.found.resumed > 0
    assert outcome.files_open >= outcome.files_before + PLAN.sse + PLAN.websockets
    assert outcome.files_after <= outcome.files_before
