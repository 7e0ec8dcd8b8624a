"""A kill while a step makes an object: afterwards there is one object, its bytes are there, and nothing else is."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from tests.bucket import Bucket, serve_bucket
from tests.crash.harness import PATIENCE_S, Daemon
from tests.crash.points import DURING_AN_UPLOAD

pytestmark = pytest.mark.crash

CONTENT = bytes(range(256)) * 300
FLOW = {
    "name": "make",
    "nodes": [
        {
            "key": "make",
            "operation": "storage.put_object",
            "config": {
                "filename": "made.bin",
                "content": base64.b64encode(CONTENT).decode(),
                "encoding": "base64",
            },
        }
    ],
}
ON_THE_DISK = ("blob.fsynced", "blob.renamed", "storage.before_swap", "storage.after_swap", "engine.after_step")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with serve_bucket(tmp_path_factory.mktemp("s3") / "root") as bucket:
        yield bucket


@pytest.fixture
def bucket(server: Bucket) -> Bucket:
    server.empty()
    return server


async def begin(daemon: Daemon, crash_at: str, settings: Mapping[str, str] | None = None) -> str:
    """A run that is interrupted; its id."""
    await daemon.start(settings=settings)
    async with daemon.client() as client:
        _status, saved = await client.send("POST", "/v1/workflow-definitions", json=FLOW)
    await daemon.kill()
    await daemon.start(crash_at, settings)
    async with daemon.client() as client:
        body = {"workflow_definition_id": saved["id"]}
        _status, run = await client.send("POST", "/v1/workflow-runs", json=body)
        status, _data = await client.send("POST", f"/v1/workflow-runs/{run['id']}/start")
        assert status == 202
    await daemon.die()
    return str(run["id"])


async def end(daemon: Daemon, run_id: str) -> dict[str, Any]:
    """The step's output, once the run has ended."""
    async with daemon.client() as client:
        while (run := await client.get(f"/v1/workflow-runs/{run_id}"))["status"] not in ("completed", "failed"):
            continue
        assert run["status"] == "completed", run
        output: dict[str, Any] = run["steps"][0]["output"]
        status, body = await client.send("GET", output["url"])
        assert (status, body) == (200, CONTENT)
    return output


def check_one(daemon: Daemon, output: Mapping[str, Any]) -> None:
    """One object, and the sums are its."""
    with closing(sqlite3.connect(daemon.database)) as connection:
        rows = connection.execute("SELECT object_key, size FROM objects").fetchall()
        sums = connection.execute("SELECT sum(bytes), sum(files) FROM object_totals").fetchone()
    assert rows == [(output["object_key"], len(CONTENT))]
    assert sums == (len(CONTENT), 1)


async def swept(daemon: Daemon, bucket: Bucket) -> None:
    """Wait until nothing lies in the bucket that no object names."""
    async with daemon.client() as client:
        while len(bucket.files()) > 1:
            await client.get("/v1/me")


@pytest.mark.parametrize("crash_at", DURING_AN_UPLOAD[:3])
async def test_in_the_bucket(scene, bucket: Bucket, crash_at: str) -> None:
    daemon = scene.daemon
    async with asyncio.timeout(PATIENCE_S):
        run_id = await begin(daemon, crash_at, bucket.environment())
        await daemon.start(settings=bucket.environment())
        output = await end(daemon, run_id)
        await swept(daemon, bucket)
        assert await daemon.terminate() == 0
    assert len(bucket.files()) == 1
    check_one(daemon, output)


async def test_while_the_bucket_is_swept(scene, bucket: Bucket) -> None:
    daemon = scene.daemon
    async with asyncio.timeout(PATIENCE_S):
        run_id = await begin(daemon, "object.uploaded", bucket.environment())
        await daemon.spawn("object.before_remove", bucket.environment())
        await daemon.die()
        await daemon.start(settings=bucket.environment())
        output = await end(daemon, run_id)
        await swept(daemon, bucket)
        assert await daemon.terminate() == 0
    check_one(daemon, output)


@pytest.mark.parametrize("crash_at", ON_THE_DISK)
async def test_on_the_disk(scene, crash_at: str) -> None:
    daemon = scene.daemon
    async with asyncio.timeout(PATIENCE_S):
        run_id = await begin(daemon, crash_at)
        await daemon.start()
        output = await end(daemon, run_id)
        assert await daemon.terminate() == 0
    check_one(daemon, output)
    assert len(list(daemon.data_dir.glob("blobs/*/*"))) == 1
