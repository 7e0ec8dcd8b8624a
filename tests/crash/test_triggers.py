"""Schedules that were due, and the events of their runs, start each what they start once, wherever the process ends."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from contextlib import closing

import pytest

from tests.crash.harness import PATIENCE_S, Client, Daemon, now_ms
from tests.crash.points import BY_THE_CLOCK

pytestmark = pytest.mark.crash

MINUTE_MS = 60_000
MISSED = 12
RINGER = {"name": "ringer", "nodes": [{"key": "ring", "operation": "event.emit", "config": {"kind": "bell.rung"}}]}
LISTENER = {
    "name": "listener",
    "nodes": [{"key": "hear", "operation": "workflow.noop"}],
    "trigger": {"type": "event", "event": "bell.*"},
}


async def prepare(daemon: Daemon) -> list[int]:
    """A schedule whose times passed while no daemon ran; those times."""
    await daemon.start()
    async with daemon.client() as client:
        ids = {}
        for definition in (RINGER, LISTENER):
            status, saved = await client.send("POST", "/v1/workflow-definitions", json=definition)
            assert status == 201
            ids[definition["name"]] = saved["id"]
        body = {"workflow_id": ids["ringer"], "cron": "* * * * *", "misfire": "all"}
        status, _made = await client.send("POST", "/v1/schedules", json=body)
        assert status == 201
    assert await daemon.terminate() == 0
    first = (now_ms() // MINUTE_MS - MISSED) * MINUTE_MS
    with closing(sqlite3.connect(daemon.database)) as conn, conn:
        conn.execute("DELETE FROM schedule_fires")
        conn.execute("UPDATE schedules SET next_fire_at = ?, last_fire_at = NULL", (first,))
    return [first + n * MINUTE_MS for n in range(MISSED)]


async def settle(client: Client) -> None:
    """Until every ring has been heard, asking the daemon meanwhile whether it is well."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            runs = await client.get("/v1/workflow-runs", limit="200")
            ended = Counter(run["trigger"] for run in runs if run["status"] == "completed")
            if MISSED <= ended["schedule"] <= ended["event"]:
                return
            assert (await client.send("GET", "/readyz"))[0] == 200


@pytest.mark.parametrize("crash_at", BY_THE_CLOCK)
async def test_each_time_and_each_event_starts_once(scene, crash_at):
    daemon = scene.daemon
    missed = await prepare(daemon)
    await daemon.spawn(crash_at)
    await daemon.read_until_up()
    await daemon.die()
    await daemon.start()
    async with daemon.client() as client:
        await settle(client)
    assert await daemon.terminate() == 0
    with closing(sqlite3.connect(daemon.database)) as conn:
        payloads = {
            kind: [
                json.loads(row[0]) for row in conn.execute("SELECT payload FROM runs WHERE trigger_kind = ?", (kind,))
            ]
            for kind in ("schedule", "event")
        }
        fired = dict(conn.execute("SELECT fire_at, run_id FROM schedule_fires"))
        rings = [row[0] for row in conn.execute("SELECT id FROM events WHERE kind = 'bell.rung'")]
        told = Counter(row[0] for row in conn.execute("SELECT kind FROM events"))
        runs = {row[0] for row in conn.execute("SELECT id FROM runs WHERE trigger_kind = 'schedule'")}
    times = Counter(payload["schedule"]["fire_at"] for payload in payloads["schedule"])
    assert set(times.values()) == {1}, times
    assert set(missed) <= set(fired)
    assert set(fired.values()) == runs
    assert told["schedule.fired"] == len(runs)
    heard = Counter(int(payload["event"]["id"]) for payload in payloads["event"])
    assert set(heard.values()) == {1}, heard
    assert set(heard) == set(rings)
