"""The process dies around an event, a purge, an uninstalling, as by `kill -9`; the next life goes on where it left."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alloyd.domain.runs.model import RunState
from alloyd.kit import crash
from tests.embedded import Embedded, open_embedded, waits

ROOT = Path(__file__).resolve().parents[3]
CANARY = "QANARY-of-ada"
RESUME = {"key": "after", "operation": "transform", "depends_on": ["wait.received"]}
RESUME["config"] = {"values": {"n": "{{ steps.wait.output.payload.n }}"}}

LIFE = """
import asyncio, sys
from pathlib import Path
from tests.embedded import open_embedded

async def live():
    async with open_embedded(Path(sys.argv[1])) as world:
        if sys.argv[2] == "purge":
            await world.purge()
            return
        if sys.argv[2] == "uninstall":
            await world.uninstall("waits")
            await asyncio.Event().wait()
        else:
            await world.tell("go", {"n": 7})
            await asyncio.Event().wait()

asyncio.run(live())
"""


def die(directory: Path, point: str, does: str) -> None:
    """A life that ends at the point."""
    environment = {**os.environ, "ALLOYD_CRASH_AT": point, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", LIFE, str(directory), does], env=environment, timeout=120)
    assert ended.returncode == crash.EXIT_STATUS


async def prepare(directory: Path) -> str:
    """One workflow that the event starts, and a run of another one that waits for it; the run's id."""
    async with open_embedded(directory) as world:
        await world.install(await world.offer(waits(), RESUME, name="waits"))
        await world.install(await world.offer({"key": "a", "operation": "workflow.noop"}, name="goes", event="go"))
        return await world.start_waiting({"text": CANARY})


async def ended(world: Embedded, workflow: str) -> int:
    found: int = await world.bench.database.read(
        lambda conn: conn.execute(
            "SELECT count(*) FROM runs r JOIN workflows w ON w.id = r.workflow_id WHERE w.name = ?", (workflow,)
        ).fetchone()[0]
    )
    return found


@pytest.mark.parametrize(
    ("point", "happened"),
    [
        ("embedded.event_written", False),
        ("embedded.event_accepted", True),
        ("engine.wakeup_taken", True),
    ],
)
async def test_an_event_happens_whole_and_once_or_not_at_all(tmp_path, point, happened):
    run_id = await prepare(tmp_path)
    die(tmp_path, point, "event")
    async with open_embedded(tmp_path) as world:
        if not happened:
            assert (await ended(world, "goes"), await world.bench.state(run_id)) == (0, "waiting")
            await world.tell("go", {"n": 7})
        await world.bench.end(run_id)
        assert await world.output(run_id, "after") == {"n": 7}
        assert (await ended(world, "goes"), await ended(world, "waits")) == (1, 1)
        assert (await world.tell("go")).resumed == ()


@pytest.mark.parametrize("point", ["embedded.purge_asked", "embedded.purge_part", "embedded.purge_deleted"])
async def test_a_purge_that_was_cut_off_is_finished_by_the_next_start(tmp_path, point):
    await prepare(tmp_path)
    die(tmp_path, point, "purge")
    async with open_embedded(tmp_path) as world:
        async with asyncio.timeout(30):
            while await world.bench.database.read(
                lambda conn: conn.execute("SELECT 1 FROM end_user_purges").fetchone()
            ):
                await asyncio.sleep(0)
        assert await world.bench.count("runs") == 0
        found = [path.name for path in tmp_path.iterdir() if CANARY.encode() in path.read_bytes()]
        assert found == []


@pytest.mark.parametrize("point", ["embedded.uninstalled", "embedded.uninstalled_part"])
async def test_runs_of_an_uninstalled_workflow_are_ended_by_the_next_start(tmp_path, point):
    run_ids = [await prepare(tmp_path)]
    async with open_embedded(tmp_path) as world:
        run_ids += [await world.start_waiting() for _ in range(2)]
    die(tmp_path, point, "uninstall")
    async with open_embedded(tmp_path) as world:
        ends = 0
        for run_id in run_ids:
            assert (await world.bench.end(run_id)).state is RunState.CANCELLED
            ends += (await world.bench.told(run_id)).count("run cancelled")
        assert ends == len(run_ids)
        async with asyncio.timeout(30):
            while await world.bench.database.read(
                lambda conn: conn.execute("SELECT 1 FROM uninstalled_workflows").fetchone()
            ):
                await asyncio.sleep(0)
        assert (await world.tell("go")).resumed == ()
