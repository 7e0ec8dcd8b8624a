"""SIGTERM under load: what is asked already is answered, nothing acknowledged is lost, runs go on at the next start."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from tests.crash.checks import check_all
from tests.crash.harness import PATIENCE_S
from tests.crash.load import content_of, save_workflows

pytestmark = pytest.mark.crash

STOPS = 3
SLEEP = {"name": "sleep", "nodes": [{"key": "rest", "operation": "workflow.delay", "config": {"for": "1h"}}]}
# Half of an upload is on the way when the signal comes.
_EDGE = b"--edge\r\n"
_HEAD = b'Content-Disposition: form-data; name="file"; filename="half"\r\n\r\n'


async def test_stop_under_load(scene):
    daemon, load = scene.daemon, scene.load
    await daemon.start()
    async with daemon.client() as client:
        await save_workflows(client, load.shared)
    for _ in range(STOPS):
        async with daemon.client() as client, asyncio.timeout(PATIENCE_S):
            living = asyncio.create_task(load.live(client))
            await until_heard(load, 300)
            assert await daemon.terminate() == 0, daemon.errors()
            await living
        await daemon.start()
    await daemon.kill()
    await check_all(daemon, load, scene.other)


async def until_heard(load, more):
    """So many more events have come."""
    wanted = len(load.listener.heard) + more
    while len(load.listener.heard) < wanted:
        load.listener.news.clear()
        await load.listener.news.wait()


async def test_what_was_asked_is_answered(scene):
    daemon = scene.daemon
    await daemon.start()
    content = content_of(scene.rng, 0, 1) + b"x" * 300_000
    async with daemon.client() as client, asyncio.timeout(PATIENCE_S):
        status, saved = await client.send("POST", "/v1/workflow-definitions", json=SLEEP)
        assert status == 201
        path = f"/api/private/trigger/{saved['id']}"
        waiting = asyncio.create_task(client.send("POST", path, json={}, headers={"Prefer": "wait=60"}))
        reader, writer = await begin_upload(daemon, content)
        await until_waiting(client)
        stopping = asyncio.create_task(daemon.terminate())
        status, data = await waiting  # nothing moves the run any more: no reason to keep the caller
        assert (status, data["result"]["status"]) == (200, "queued")
        await until_refused(daemon)
        assert not stopping.done()
        writer.write(content[len(content) // 2 :] + b"\r\n--edge--\r\n")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"success": True, "data": {"path": "half"}}
        assert await stopping == 0
    await daemon.start()
    async with daemon.client() as client:
        assert await client.get("/api/private/storage/download", path="half") == content
        run = await client.get(f"/v1/workflow-runs/{data['runId']}")
        assert run["status"] == "waiting"


async def begin_upload(daemon, content):
    """The first half of an upload whose handler is at work: it has asked for the body."""
    host, _, port = daemon.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    size = len(_EDGE + _HEAD) + len(content) + len(b"\r\n--edge--\r\n")
    writer.write(
        b"POST /api/private/storage/upload HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        b"Content-Type: multipart/form-data; boundary=edge\r\n"
        + f"api-key: {daemon.key}\r\nContent-Length: {size}\r\n\r\n".encode()
    )
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert await reader.readline() == b"\r\n"
    writer.write(_EDGE + _HEAD + content[: len(content) // 2])
    await writer.drain()
    return reader, writer


async def until_waiting(client):
    """Until the run that was started waits for its timer."""
    while not await client.get("/v1/workflow-runs", status="waiting"):
        pass


async def until_refused(daemon):
    """Until nobody new is let in."""
    host, _, port = daemon.url.removeprefix("http://").partition(":")
    with contextlib.suppress(ConnectionError):
        while True:
            _reader, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            await writer.wait_closed()
