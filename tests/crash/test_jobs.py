"""A job and its idempotency key outlive the process: the same request again leads to the same job, done once."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from alloyd.kit import crash
from tests.crash.harness import PATIENCE_S, Client, LostError

pytestmark = pytest.mark.crash

ASKED = {"modality": "text", "input": "hello", "idempotency_key": "once"}
# The job is the only run there is, so each is its own; with none the process is killed as soon as it has answered.
POINTS = ("", "engine.taken:1", "engine.before_step:1", "engine.after_step:1", "engine.before_record:2")


async def submit(client: Client) -> str | None:
    """The job's id; None when no answer came."""
    try:
        status, data = await client.send("POST", "/v1/jobs", json=ASKED)
    except LostError:
        return None
    assert status == 202
    return str(data["id"])


@pytest.mark.parametrize("crash_at", POINTS)
async def test_the_same_request_again_is_the_same_job(scene, crash_at):
    daemon = scene.daemon
    await daemon.start(crash_at)
    async with daemon.client() as client:
        first = await submit(client)
        if crash_at:
            assert await daemon.wait() == crash.EXIT_STATUS
        else:
            await daemon.kill()
    await daemon.start()
    async with daemon.client() as client, asyncio.timeout(PATIENCE_S):
        again = await submit(client)
        assert again is not None
        assert first in (None, again)
        async with client._session.get(f"{client.url}/v1/jobs/{again}/events", headers=client.headers("")) as stream:
            told = await stream.text()  # ends with the job
        assert told.count("event: job.created") == told.count("event: job.completed") == 1
        assert (await client.get(f"/v1/jobs/{again}"))["status"] == "completed"
        usage = await client.get(f"/v1/jobs/{again}/usage")
        report = await client.get(f"/v1/organizations/{usage['records'][0]['organization_id']}/usage")
        assert report["totals"] == usage["totals"]
    await daemon.kill()
    with closing(sqlite3.connect(daemon.database)) as conn:
        assert conn.execute("SELECT count(*) FROM runs WHERE trigger_kind = 'job'").fetchone() == (1,)
        sums = "SELECT count(*), sum(cost_micro_usd), sum(input_tokens) FROM usage_records"
        hours = "SELECT sum(calls), sum(cost_micro_usd), sum(input_tokens) FROM usage_hours"
        assert conn.execute(sums).fetchone() == conn.execute(hours).fetchone()
