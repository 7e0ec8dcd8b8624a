"""Minutes of triggers with retention on its lowest settings: memory and the database's files have to be level."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import msgspec
import uvloop

from tests.bench.bench import drain
from tests.bench.load import encode
from tests.bench.processes import Alloyd
from tests.bench.workflows import THREE_STEPS
from tests.load.readers import Findings, Orders
from tests.load.samples import MIB, Samples, trend
from tests.load.scene import data_dir_of, order_and_read, reading
from tests.load.triggers import Told, trigger_steadily

RUNS_KEPT = 5000
SETTINGS = (
    f"ALLOYD_RETENTION__RUNS_PER_ORG_MAX={RUNS_KEPT}",
    "ALLOYD_RETENTION__SWEEP_INTERVAL_S=2",
    "ALLOYD_RETENTION__AUDIT_ROWS_MAX=10000",
)
WARM_UP_PART = 0.5
SLICES = 8


@dataclass
class Soaked:
    """What was seen: ``(seconds, bytes)`` of the memory and of the database with its log, and the tables' rows."""

    told: Told
    found: Findings
    memory: list[tuple[float, int]]
    files: list[tuple[float, int]]
    rows: dict[str, int]

    def faults(self) -> list[str]:
        """What may not be."""
        faults = list(self.found.faults)
        if self.told.refused:
            faults.append(f"{self.told.refused} triggers were refused")
        if self.found.behind:
            faults.append(f"{self.found.behind} readers stayed behind")
        if self.found.ids["sse"] != self.found.ids["websocket"]:
            faults.append("the readers of the two sorts had not the same events")
        for what, samples in (("memory", self.memory), ("the database", self.files)):
            line = trend(samples, samples[-1][0] * WARM_UP_PART)
            if not line.is_level:
                faults.append(f"{what} grows: {line.begin / MIB:.1f} to {line.end / MIB:.1f} MiB, {line.seconds:.0f} s")
        return faults

    def figures(self) -> str:
        """What was measured, in lines."""
        lines = [f"runs       {self.told.answered:,} at {self.told.answered / self.told.seconds:,.0f}/s"]
        for what, samples in (("memory", self.memory), ("database", self.files)):
            line = trend(samples, samples[-1][0] * WARM_UP_PART)
            step = max(1, len(samples) // SLICES)
            shown = " ".join(f"{size / MIB:.0f}" for _at, size in [*samples[::step], samples[-1]])
            lines.append(
                f"{what:<10} {shown} MiB; {line.per_minute / MIB:+.2f} MiB/min over the last {line.seconds:.0f} s"
            )
        rows = ", ".join(f"{name} {count:,}" for name, count in self.rows.items() if count > RUNS_KEPT / 10)
        lines.append(f"rows       {rows}")
        return "\n".join(lines)


def soak(alloyd: Alloyd, runs_per_s: float, seconds: float, readers_each: int) -> Soaked:
    """Trigger for ``seconds``, with a few readers of both sorts."""
    data_dir = data_dir_of(alloyd)
    request = encode(alloyd.trigger(alloyd.save_workflow(THREE_STEPS), {"name": "Ada"}), alloyd.port)
    orders = Orders(alloyd.port, alloyd.make_keys(1), readers_each, readers_each)
    with (
        reading(orders) as readers,
        Samples(alloyd.memory_bytes) as memory,
        Samples(lambda: _bytes_of(data_dir)) as files,
    ):
        told = uvloop.run(trigger_steadily(alloyd.port, request, runs_per_s, round(runs_per_s * seconds)))
        alloyd.hang_up()
        drain(alloyd)
        rows = _rows(data_dir)
        found = msgspec.json.decode(order_and_read(readers, json.dumps({"upto": rows["last event"]})), type=Findings)
    return Soaked(told, found, memory.taken, files.taken, rows)


def _bytes_of(data_dir: Path) -> int:
    total = 0
    for path in data_dir.glob("alloyd.db*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _rows(data_dir: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(f"file:{data_dir / 'alloyd.db'}?mode=ro", uri=True)) as conn:
        names = [row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        counts = {name: conn.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # its own names
        return {**counts, "last event": conn.execute("SELECT max(id) FROM events").fetchone()[0]}
