"""`alloyd torture`: kills a scratch daemon over and over under load, and looks for what it had acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import click

from alloyd.cli.errors import Unsuccessful
from alloyd.cli.options import Command, json_option
from alloyd.cli.output import hint, print_json, say
from alloyd.cli.scratch import AnswerLostError, ScratchClient, ScratchDaemon

SEED_MAX: Final = 2**31
LIFE_MS: Final = (10, 500)  # from its first answer to the kill
FILE_EVERY: Final = 20  # so many triggers for a file
FILE_BYTES_MAX: Final = 50_000
FOLDER: Final = "torture"
WORKFLOW: Final[dict[str, Any]] = {
    "name": "torture",
    "nodes": [
        {"key": "first", "operation": "transform", "config": {"values": {"doubled": "{{ trigger.number * 2 }}"}}},
        {"key": "pause", "operation": "workflow.delay", "depends_on": ["first"], "config": {"for": 5}},
        {
            "key": "last",
            "operation": "transform",
            "depends_on": ["pause"],
            "config": {"values": {"sum": "{{ steps.first.output.doubled + trigger.number }}"}},
        },
    ],
}


@dataclass(slots=True)
class Ledger:
    """What was acknowledged: runs with their numbers, files with their SHA-256; and what is in doubt."""

    runs: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    in_doubt: int = 0
    sent: int = 0


@dataclass(slots=True)
class Findings:
    """What was found of the acknowledged after the last start."""

    runs: int = 0
    files: int = 0
    wrong: list[str] = field(default_factory=list)


@click.command("torture", cls=Command, example="alloyd torture --kills 50")
@click.option("--kills", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How often to kill it.")
@click.option("--connections", type=click.IntRange(1, 1000), default=16, show_default=True, help="Clients at one time.")
@click.option("--seed", type=click.IntRange(0, SEED_MAX), help="Repeats the choices of an earlier torture.")
@json_option
def command(kills: int, connections: int, seed: int | None, as_json: bool) -> None:
    """Kill a daemon with SIGKILL over and over while clients start runs and store files, then count.

    It works on a temporary directory and touches nothing of yours. Whatever was acknowledged has to be there in the
    end: every run once and completed with the right result, every file with its content. Exit code 1 if anything is
    not.
    """
    seed = random.SystemRandom().randrange(SEED_MAX) if seed is None else seed
    started = time.monotonic()
    ledger, found = asyncio.run(_torture(kills, connections, random.Random(seed)))  # noqa: S311  # to be repeatable
    acknowledged = len(ledger.runs) + len(ledger.files)
    total = found.runs + found.files
    if as_json:
        told = {"runs": len(ledger.runs), "files": len(ledger.files)}
        there = {"runs": found.runs, "files": found.files}
        print_json(
            {"kills": kills, "seed": seed, "acknowledged": told, "found": there, "in_doubt": ledger.in_doubt,
             "wrong": found.wrong, "seconds": round(time.monotonic() - started, 1)}
        )  # fmt: skip
    else:
        say(f"{acknowledged} acknowledged, {total} found")
        say(
            f"{len(ledger.runs)} runs and {len(ledger.files)} files over {kills} kills; {ledger.in_doubt} requests got "
            f"no answer; seed {seed}"
        )
    for each in found.wrong[:20]:
        hint(each)
    if found.wrong or total != acknowledged:
        raise Unsuccessful


async def _torture(kills: int, connections: int, chance: random.Random) -> tuple[Ledger, Findings]:
    ledger = Ledger()
    with tempfile.TemporaryDirectory(prefix="alloyd-torture-") as folder:
        async with ScratchDaemon(Path(folder) / "data") as daemon:
            await daemon.start()
            async with daemon.connect() as client:
                workflow = await client.publish(WORKFLOW)
            for number in range(kills):
                await _one_life(daemon, workflow, connections, ledger, chance)
                hint(f"kill {number + 1} of {kills}: {len(ledger.runs) + len(ledger.files)} acknowledged so far")
                await daemon.start()
            async with daemon.connect() as client:
                await client.wait_until_ended()
                found = await _look(client, ledger)
            await daemon.stop()
    return ledger, found


async def _one_life(
    daemon: ScratchDaemon, workflow: str, connections: int, ledger: Ledger, chance: random.Random
) -> None:
    """Load until the kill, which comes while requests are under way."""
    first = asyncio.Event()
    async with daemon.connect() as client:
        workers = [
            asyncio.create_task(_load(client, workflow, ledger, random.Random(chance.random()), first))  # noqa: S311
            for _ in range(connections)
        ]
        await first.wait()
        await asyncio.sleep(chance.uniform(*LIFE_MS) / 1000)
        await daemon.kill()
        await asyncio.gather(*workers)


async def _load(
    client: ScratchClient, workflow: str, ledger: Ledger, chance: random.Random, first: asyncio.Event
) -> None:
    """Start runs and store files until the daemon is gone."""
    try:
        while True:
            ledger.sent += 1
            if ledger.sent % FILE_EVERY:
                number = chance.randrange(1_000_000)
                path = f"/api/private/trigger/{workflow}"
                answer = await client.ask("POST", path, {"Idempotency-Key": str(uuid4())}, json={"number": number})
                ledger.runs[str(answer["runId"])] = number
            else:
                content = chance.randbytes(chance.randrange(1, FILE_BYTES_MAX))
                name = uuid4().hex
                form = aiohttp.FormData({"path": FOLDER})
                form.add_field("file", content, filename=name)
                await client.ask("POST", "/api/private/storage/upload", data=form)
                ledger.files[f"{FOLDER}/{name}"] = hashlib.sha256(content).hexdigest()
            first.set()
    except AnswerLostError:
        ledger.in_doubt += 1
        first.set()


async def _look(client: ScratchClient, ledger: Ledger) -> Findings:
    found = Findings()
    async for run in client.list_all("/v1/workflow-runs?limit=200"):
        number = ledger.runs.get(run["id"])
        if number is None:
            continue  # its answer was cut off
        found.runs += 1
        if run["status"] != "completed" or run["output"] != {"sum": 3 * number}:
            found.wrong.append(f"run {run['id']} is {run['status']} with {run['output']}, not {{'sum': {3 * number}}}")
    if found.runs < len(ledger.runs):
        found.wrong.append(f"{len(ledger.runs) - found.runs} acknowledged runs are not there")
    for path, digest in ledger.files.items():
        status, content = await client.fetch("GET", f"/api/private/storage/download?path={path}")
        if status != 200 or hashlib.sha256(content).hexdigest() != digest:
            found.wrong.append(f"file {path}: status {status}, or another content")
        else:
            found.files += 1
    return found
