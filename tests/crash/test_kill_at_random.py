"""SIGKILL at random moments under load: nothing acknowledged is lost, nothing recorded happens twice.

ALLOYD_CRASH_KILLS raises the number of kills, ALLOYD_CRASH_SEED repeats the choices of a failing test.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.crash.checks import check_all
from tests.crash.load import save_workflows

pytestmark = pytest.mark.crash

KILLS = int(os.environ.get("ALLOYD_CRASH_KILLS", "50"))
LIFE_MS = (10, 300)


async def test_kill_at_random_moments(scene):
    daemon, load = scene.daemon, scene.load
    await daemon.start()
    async with daemon.client() as client:
        await save_workflows(client, load.shared)
    for _ in range(KILLS):
        async with daemon.client() as client:
            living = asyncio.create_task(load.live(client))
            done, _running = await asyncio.wait({living}, timeout=scene.rng.uniform(*LIFE_MS) / 1000)
            await daemon.kill()
            await living
            assert not done
        await daemon.start()
    await daemon.kill()
    await check_all(daemon, load, scene.other)
    assert len(load.shared.ledger.all_of("kill")) == KILLS + 1
