"""The sweeper of the bucket: it says at once that the bucket can't be used, and is no worse for it."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from alloyd.domain.objects import worker
from alloyd.domain.objects.s3 import S3Backend
from alloyd.domain.objects.worker import ObjectSweeper
from tests.bucket import Bucket
from tests.domain.objects.world import open_world, settings_of


@pytest.mark.parametrize("usable", [True, False])
async def test_at_the_start(tmp_path: Path, bucket: Bucket, usable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path, "s3", bucket) as world:
        await world.put(run_id="r1")
        await world.delete_runs("r1")
        settings = settings_of(bucket) if usable else dataclasses.replace(settings_of(bucket), secret_key="wrong")
        sweeper, swept = ObjectSweeper(3600), asyncio.Event()
        sweeper.bucket = S3Backend(world.disk.database, settings, lambda: None)
        sweep = sweeper.bucket.sweep

        async def note() -> int:
            try:
                return await sweep()
            finally:
                swept.set()

        sweeper.bucket.sweep = note  # type: ignore[method-assign]
        told: list[tuple[str, str]] = []
        monkeypatch.setattr(worker.log, "error", lambda event, reason, **_more: told.append((event, reason)))
        task = asyncio.create_task(sweeper.run())
        await swept.wait()
        swept.clear()
        sweeper.wake()
        await swept.wait()
        task.cancel()
        if usable:
            assert told == []
            assert bucket.files() == []
        else:
            assert told[0][0] == "objects can not be kept in the bucket now"
            assert "refuses its access key" in told[0][1]
            assert {event for event, _reason in told[1:]} == {"sweeping objects failed"}
