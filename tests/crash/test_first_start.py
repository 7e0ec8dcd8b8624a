"""The very first start is killed at each of its points: the next one is well, and somebody has the owner's key."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.crash.checks import check_database, check_litter, open_read_only
from tests.crash.points import AT_THE_FIRST_START

pytestmark = pytest.mark.crash


@pytest.mark.parametrize("crash_at", AT_THE_FIRST_START)
async def test_killed_at_the_first_start(scene, crash_at):
    daemon = scene.daemon
    await daemon.spawn(crash_at)
    assert not await daemon.read_until_up()
    await daemon.die()
    shown = list(daemon.keys)
    assert len(shown) <= 1
    await daemon.start()
    assert daemon.keys, "nobody has a key"
    await _check_well(daemon)
    assert await daemon.terminate() == 0
    check_litter(daemon.data_dir)
    with closing(open_read_only(daemon.database)) as conn:
        check_database(conn)
        assert conn.execute("SELECT slug FROM organizations").fetchall() == [("default",)]
        assert conn.execute("SELECT count(*) FROM workflows").fetchall() == [(1,)]


async def _check_well(daemon):
    """Every key that was shown works, and so does the workflow that a first start makes."""
    async with daemon.client() as client:
        for key in daemon.keys:
            assert (await client.send("GET", "/v1/me", key=key))[0] == 200
        (hello,) = await client.get("/v1/workflow-definitions")
        path = f"/api/private/trigger/{hello['id']}"
        status, data = await client.send("POST", path, json={"name": "you"}, headers={"Prefer": "wait=30"})
        assert (status, data["result"]["output"]) == (200, {"greeting": "Hello, you!"})


async def test_a_key_that_nobody_saw_is_made_anew(scene):
    await scene.daemon.spawn("first_key.made")
    assert not await scene.daemon.read_until_up()
    await scene.daemon.die()
    assert scene.daemon.keys == []
    await scene.daemon.start()
    assert len(scene.daemon.keys) == 1


async def test_the_key_is_shown_once(scene):
    for _ in range(3):
        await scene.daemon.start()
        await scene.daemon.kill()
    assert len(scene.daemon.keys) == 1


async def test_no_second_process_gets_the_directory(scene):
    await scene.daemon.start()
    process = scene.daemon.process
    second = await scene.daemon.spawn()
    assert not await scene.daemon.read_until_up()
    assert await scene.daemon.wait() not in (0, None)
    assert "in use by process" in scene.daemon.errors()
    assert second is not process
    scene.daemon.process = process
    await scene.daemon.kill()
    await scene.daemon.start()  # a killed process leaves no lock behind
