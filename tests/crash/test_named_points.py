"""The process ends at each named point; started again, everything acknowledged is there and nothing is twice."""

from __future__ import annotations

import asyncio
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alloyd.kit import crash
from tests.crash.checks import check_all
from tests.crash.harness import PATIENCE_S, Daemon, Ledger
from tests.crash.load import Shared, save_workflows
from tests.crash.points import (
    AT_A_STOP,
    AT_THE_FIRST_START,
    BY_THE_CLOCK,
    DURING_A_BACKUP,
    DURING_A_CONVERSATION,
    DURING_A_DELIVERY,
    DURING_AN_UPLOAD,
    DURING_USERS_EVENTS,
    ELSEWHERE,
    UNDER_LOAD,
)

pytestmark = pytest.mark.crash


def test_every_point_is_tried():
    tried = {
        at.partition(":")[0]
        for at in (
            *AT_THE_FIRST_START,
            *UNDER_LOAD,
            *AT_A_STOP,
            *DURING_A_BACKUP,
            *DURING_A_DELIVERY,
            *DURING_AN_UPLOAD,
            *DURING_USERS_EVENTS,
            *DURING_A_CONVERSATION,
            *BY_THE_CLOCK,
        )
    }
    assert tried | ELSEWHERE.keys() == set(crash.POINTS), "reached by no test, or by no code"


@dataclass
class Prepared:
    """A data directory with workflows and waiting runs, whose daemon was killed."""

    data_dir: Path
    key: str
    shared: Shared


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Made once, copied for each test."""
    return asyncio.run(_prepare(tmp_path_factory.mktemp("prepared")))


async def _prepare(place: Path) -> Prepared:
    ledger = Ledger(place / "ledger.jsonl")
    daemon = Daemon(place / "data", ledger)
    shared = Shared(ledger, random.Random(0))
    try:
        await daemon.start()
        async with daemon.client() as client:
            await save_workflows(client, shared)
            for workflow in ("nap", "nap", "nap", "pure"):
                number = shared.next_number()
                path = f"/api/private/trigger/{shared.workflows[workflow]}"
                status, data = await client.send("POST", path, json={"number": number})
                assert status == 200
                ledger.note("run", id=data["runId"], number=number, once=False, kind=workflow)
        await daemon.kill()
    finally:
        await daemon.end()
        ledger.close()
    return Prepared(daemon.data_dir, daemon.key, shared)


def take_over(scene: Any, prepared: Prepared) -> None:
    """The test goes on where the prepared directory was left."""
    daemon, shared = scene.daemon, scene.load.shared
    shutil.copytree(prepared.data_dir, daemon.data_dir, ignore=lambda _folder, names: {"alloyd.sock"} & set(names))
    daemon.key = prepared.key
    shared.workflows = prepared.shared.workflows
    shared.number = prepared.shared.number
    shared.ledger.take_over(prepared.shared.ledger)


@pytest.mark.parametrize("crash_at", UNDER_LOAD)
async def test_under_load(scene, prepared, crash_at):
    daemon, load = scene.daemon, scene.load
    take_over(scene, prepared)
    await daemon.spawn(crash_at)
    if await daemon.read_until_up():
        async with daemon.client() as client, asyncio.timeout(PATIENCE_S):
            await load.live(client)
    await daemon.die()
    await check_all(daemon, load, scene.other)


@pytest.mark.parametrize("crash_at", AT_A_STOP)
async def test_at_a_stop(scene, prepared, crash_at):
    daemon, load = scene.daemon, scene.load
    take_over(scene, prepared)
    await daemon.start(crash_at)
    async with daemon.client() as client:
        living = asyncio.create_task(load.live(client))
        await load.listener.news.wait()
        assert await daemon.terminate() == crash.EXIT_STATUS
        await living
    await check_all(daemon, load, scene.other)


@pytest.mark.parametrize("crash_at", DURING_A_BACKUP)
async def test_during_a_backup(scene, prepared, crash_at):
    daemon, load = scene.daemon, scene.load
    take_over(scene, prepared)
    await daemon.start(crash_at)
    path = daemon.data_dir / "backups" / "one.backup"
    connector = aiohttp.UnixConnector(str(daemon.data_dir / "alloyd.sock"))
    async with daemon.client() as client, aiohttp.ClientSession(connector=connector) as session:
        living = asyncio.create_task(load.live(client))
        await load.listener.news.wait()
        with pytest.raises(aiohttp.ClientError):
            await session.post("http://alloyd/operator/backup", json={"path": str(path)})
        await living
    await daemon.die()
    await check_all(daemon, load, scene.other)
    assert path.exists() == (crash_at == "backup.renamed")
