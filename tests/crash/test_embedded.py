"""A kill while events of end users come in: each that was acknowledged started and resumed its runs, once, and each
that was not did both or neither; asked again under its key, it did both."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from contextlib import closing

import pytest

from tests.crash.checks import check_database, open_read_only
from tests.crash.harness import PATIENCE_S, Client, Daemon, Ledger, LostError
from tests.crash.points import DURING_USERS_EVENTS

pytestmark = pytest.mark.crash

EVENTS = 16
AT_ONE_TIME = 4
API = "/2025-09"
USERS = ("ada@example.com", "bob@example.com")
EVENT = "Order Created"
STARTED = {
    "name": "started",
    "trigger": {"type": "event", "event": EVENT},
    "nodes": [{"key": "n", "operation": "transform", "config": {"values": {"number": "{{ trigger.number }}"}}}],
}
RESUMED = {
    "name": "resumed",
    "trigger": {"type": "event", "event": "begin"},
    "nodes": [
        {
            "key": "wait",
            "operation": "workflow.wait_event",
            "config": {"event": EVENT, "match": {"number": "{{ trigger.number }}"}},
        },
        {
            "key": "n",
            "operation": "transform",
            "depends_on": ["wait.received"],
            "config": {"values": {"number": "{{ steps.wait.output.payload.number }}"}},
        },
    ],
}


def user_of(number: int) -> str:
    return USERS[number % len(USERS)]


async def tell(client: Client, event: str, number: int, key: str) -> int:
    """An event of the number's user; the status."""
    body = {"userId": user_of(number), "event": event, "data": {"number": number}}
    status, _data = await client.send("POST", f"{API}/run/event", json=body, headers={"Idempotency-Key": key})
    return status


async def prepare(daemon: Daemon) -> dict[str, str]:
    """Both workflows, active for both users, and a run for each number that waits for its event; the workflows' ids."""
    await daemon.start()
    ids = {}
    async with daemon.client() as client:
        for user in USERS:
            status, _made = await client.send("POST", f"{API}/users", json={"username": user})
            assert status == 201
        for definition in (STARTED, RESUMED):
            _status, saved = await client.send("POST", "/v1/workflow-definitions", json=definition)
            ids[definition["name"]] = saved["id"]
            for user in USERS:
                body = {"userId": user, "workflowId": saved["id"]}
                status, _made = await client.send("PUT", f"{API}/workflows/activate", json=body)
                assert status == 200
        for number in range(EVENTS):
            assert await tell(client, "begin", number, f"begin-{number}") == 200
        while len(await client.get("/v1/workflow-runs", status="waiting")) < EVENTS:
            assert (await client.send("GET", "/readyz"))[0] == 200
    await daemon.kill()
    return ids


async def tell_all(client: Client, ledger: Ledger, what: str) -> None:
    """Every event, some at one time, until the daemon is gone; the ledger has what was acknowledged."""
    numbers = iter(range(EVENTS))

    async def work() -> None:
        for number in numbers:
            try:
                status = await tell(client, EVENT, number, f"order-{number}")
            except LostError:
                return
            assert status == 200
            ledger.note(what, number=number)

    await asyncio.gather(*(work() for _ in range(AT_ONE_TIME)))


async def settle(daemon: Daemon, client: Client, ids: dict[str, str]) -> tuple[Counter[int], Counter[int]]:
    """How often each event has started a run, and resumed one, once nothing moves any more."""
    async with asyncio.timeout(PATIENCE_S):
        while moves(daemon):
            assert (await client.send("GET", "/readyz"))[0] == 200
    runs = await client.get("/v1/workflow-runs", limit="200")
    counts = []
    for name in ("started", "resumed"):
        found = [run for run in runs if run["workflow_id"] == ids[name] and run["status"] != "waiting"]
        assert {run["status"] for run in found} <= {"completed"}
        details = [await client.get(f"/v1/workflow-runs/{run['id']}") for run in found]
        counts.append(
            Counter(step["output"]["number"] for one in details for step in one["steps"] if step["key"] == "n")
        )
    return counts[0], counts[1]


def moves(daemon: Daemon) -> bool:
    """Whether a run goes on, or will, with what its wait has got."""
    with closing(open_read_only(daemon.database)) as conn:
        unfinished = "SELECT 1 FROM runs WHERE state IN ('queued', 'running')"
        return bool(conn.execute(f"SELECT EXISTS (SELECT 1 FROM wakeups) OR EXISTS ({unfinished})").fetchone()[0])


@pytest.mark.parametrize("crash_at", DURING_USERS_EVENTS)
async def test_each_event_of_a_user_happens_once(scene, crash_at):
    daemon, ledger = scene.daemon, scene.load.shared.ledger
    ids = await prepare(daemon)
    await daemon.spawn(crash_at)
    if await daemon.read_until_up():
        async with daemon.client() as client, asyncio.timeout(PATIENCE_S):
            await tell_all(client, ledger, "event")
    await daemon.die()
    acknowledged = {entry["number"] for entry in ledger.all_of("event")}
    assert len(acknowledged) < EVENTS
    await daemon.start()
    async with daemon.client() as client:
        started, resumed = await settle(daemon, client, ids)
        assert set(started.values()) | set(resumed.values()) <= {1}
        assert set(started) == set(resumed), "an event did one half"
        assert acknowledged <= set(started), "acknowledged and lost"
        await tell_all(client, ledger, "again")
        assert len(ledger.all_of("again")) == EVENTS
        once = Counter(dict.fromkeys(range(EVENTS), 1))
        assert await settle(daemon, client, ids) == (once, once)
    assert await daemon.terminate() == 0
    with closing(open_read_only(daemon.database)) as conn:
        check_database(conn)
        check_rows(conn)


def check_rows(conn: sqlite3.Connection) -> None:
    """Each run is of the user whose event it was, ended once, and nobody waits any more."""
    users = dict(conn.execute("SELECT id, username FROM end_users"))
    rows = conn.execute("SELECT id, end_user_id, payload FROM runs").fetchall()
    assert len(rows) == 2 * EVENTS
    for _run_id, user_id, payload in rows:
        assert users[user_id] == user_of(json.loads(payload)["number"])
    for table in ("event_waits", "wakeups"):
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    ends = Counter(row[0] for row in conn.execute("SELECT run_id FROM events WHERE kind = 'workflow.run.completed'"))
    assert ends == Counter(row[0] for row in rows)


async def test_an_event_without_a_key_that_was_acknowledged_survives_the_kill(scene):
    daemon = scene.daemon
    ids = await prepare(daemon)
    await daemon.start()
    async with daemon.client() as client:
        body = {"userId": USERS[0], "event": EVENT, "data": {"number": 0}}
        status, _data = await client.send("POST", f"{API}/run/event", json=body)
        assert status == 200
    await daemon.kill()
    await daemon.start()
    async with daemon.client() as client:
        assert await settle(daemon, client, ids) == (Counter({0: 1}), Counter({0: 1}))
