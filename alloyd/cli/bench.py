"""`alloyd bench`: what this machine does with a scratch daemon, told as figures; it asserts nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import click

from alloyd.cli.errors import refused
from alloyd.cli.options import Command, json_option
from alloyd.cli.output import hint, print_json, print_table
from alloyd.cli.scratch import ScratchClient, ScratchDaemon
from alloyd.errors import Code

SECONDS_MAX: Final = 600.0
FSYNC_BYTES: Final = 4096
FILE_BYTES: Final = 8 * 1024 * 1024
WORKFLOW: Final[dict[str, Any]] = {
    "name": "bench",
    "nodes": [
        {"key": "first", "operation": "transform", "config": {"values": {"doubled": "{{ trigger.number * 2 }}"}}},
        {"key": "second", "operation": "workflow.noop", "depends_on": ["first"]},
        {
            "key": "last",
            "operation": "transform",
            "depends_on": ["second"],
            "config": {"values": {"sum": "{{ steps.first.output.doubled + 1 }}"}},
        },
    ],
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure with its unit."""

    name: str
    value: float
    unit: str


@click.command("bench", cls=Command, example="alloyd bench --seconds 5")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, SECONDS_MAX),
    default=5.0,
    show_default=True,
    help="How long each measure takes.",
)
@click.option("--connections", type=click.IntRange(1, 1000), default=64, show_default=True, help="Clients at one time.")
@json_option
def command(seconds: float, connections: int, as_json: bool) -> None:
    """Measure this machine with a daemon on a temporary directory.

    The clients run on this machine too and take their share of it: a daemon alone does more. TMPDIR says on which disk
    it works.
    """
    figures = asyncio.run(_measure(seconds, connections))
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    if as_json:
        print_json({"machine": machine, "seconds": seconds, "connections": connections,
                    "figures": [asdict(figure) for figure in figures]})  # fmt: skip
    else:
        print_table(
            ("MEASURE", "VALUE", "UNIT"), [(figure.name, f"{figure.value:,.1f}", figure.unit) for figure in figures]
        )


async def _measure(seconds: float, connections: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="alloyd-bench-") as folder:
        figures = [await asyncio.to_thread(_measure_disk, Path(folder) / "probe", seconds)]
        started = time.perf_counter()
        async with ScratchDaemon(Path(folder) / "data") as daemon:
            await daemon.start()
            figures.append(Figure("start of an empty directory", (time.perf_counter() - started) * 1000, "ms"))
            async with daemon.connect() as client:
                workflow = await client.publish(WORKFLOW)
                for measure in (_measure_latency, _measure_runs, _measure_files):
                    figures += await measure(client, workflow, seconds, connections)
            await daemon.stop()
    return figures


def _measure_disk(path: Path, seconds: float) -> Figure:
    hint("the disk: writes that are on it, one after the other")
    count = 0
    with path.open("wb", buffering=0) as file:
        until = time.perf_counter() + seconds / 2
        while time.perf_counter() < until:
            file.write(bytes(FSYNC_BYTES))
            os.fdatasync(file.fileno())
            count += 1
    return Figure("writes of 4 KiB with fdatasync", count / (seconds / 2), "1/s")


async def _measure_latency(client: ScratchClient, workflow: str, seconds: float, _connections: int) -> list[Figure]:
    hint("one run of three steps at a time, from the request to its output")
    taken: list[float] = []

    async def once(number: int) -> None:
        started = time.perf_counter()
        path = f"/api/private/trigger/{workflow}"
        await client.ask("POST", path, {"Prefer": "wait=10"}, json={"number": number})
        taken.append((time.perf_counter() - started) * 1000)

    await _repeat(once, seconds, 1)
    taken.sort()
    return [
        Figure("a run, median", taken[len(taken) // 2], "ms"),
        Figure("a run, 99th percentile", taken[len(taken) * 99 // 100], "ms"),
    ]


async def _measure_runs(client: ScratchClient, workflow: str, seconds: float, connections: int) -> list[Figure]:
    hint(f"starts of runs by {connections} clients, then until all have ended")

    async def once(number: int) -> None:
        await client.ask("POST", f"/api/private/trigger/{workflow}", json={"number": number})

    started = time.perf_counter()
    count = await _repeat(once, seconds, connections)
    triggers = count / (time.perf_counter() - started)
    await client.wait_until_ended()
    runs = count / (time.perf_counter() - started)
    return [Figure("acknowledged starts", triggers, "1/s"), Figure("complete runs of three steps", runs, "1/s")]


async def _measure_files(client: ScratchClient, _workflow: str, seconds: float, _connections: int) -> list[Figure]:
    hint(f"files of {FILE_BYTES // 1024 // 1024} MiB, one after the other")
    content = os.urandom(FILE_BYTES)

    async def upload(number: int) -> None:
        form = aiohttp.FormData({"path": "bench"})
        form.add_field("file", content, filename=f"file-{number}")
        await client.ask("POST", "/api/private/storage/upload", data=form)

    async def download(_number: int) -> None:
        status, got = await client.fetch("GET", "/api/private/storage/download?path=bench/file-1")
        if status != 200 or got != content:
            raise refused(Code.INTERNAL, f"a download was answered with {status}, or with another content")

    figures = []
    for name, once in (("uploads", upload), ("downloads", download)):
        started = time.perf_counter()
        count = await _repeat(once, seconds / 2, 1)
        figures.append(Figure(name, count * FILE_BYTES / 1024 / 1024 / (time.perf_counter() - started), "MiB/s"))
    return figures


async def _repeat(once: Callable[[int], Awaitable[None]], seconds: float, connections: int) -> int:
    """Call ``once`` again and again, by so many at a time; how many calls that were, at least one each."""
    until = time.perf_counter() + seconds
    count = 0

    async def work() -> None:
        nonlocal count
        while True:
            count += 1
            await once(count)
            if time.perf_counter() >= until:
                return

    await asyncio.gather(*(work() for _ in range(connections)))
    return count
