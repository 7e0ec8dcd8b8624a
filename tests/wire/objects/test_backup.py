"""Backups have the objects of the disk, and tell of those in the bucket."""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from alloyd.domain.backups import store
from alloyd.domain.objects.local import LocalBackend
from tests.app import Served, open_app
from tests.bucket import Bucket
from tests.wire.objects.things import make


async def test_objects_of_the_disk_are_in_it(local: Served, tmp_path: Path) -> None:
    stored = await make(local)
    file = tmp_path / "whole.backup"
    report = await local.app.backups.create(file)
    assert report.manifest.files == 1
    assert (await local.app.backups.verify(file)).files == 1
    with tarfile.open(file) as archive:
        assert f"blobs/{stored.place[:2]}/{stored.place}" in archive.getnames()


async def test_an_object_without_its_content_is_seen(local: Served) -> None:
    stored = await make(local)
    database = local.app.data_dir.database

    def lost() -> str | None:
        with closing(sqlite3.connect(database)) as connection:
            return store.find_file_without_blob(connection)

    assert lost() is None
    backend = LocalBackend(local.app.storage)
    await local.app.database.write(lambda tx: backend.let_go(tx, stored))  # and the row stays: a fault
    assert lost() == stored.id


@pytest.mark.parametrize("count", [0, 2])
async def test_objects_in_the_bucket_are_told_of(tmp_path: Path, bucket: Bucket, count: int) -> None:
    async with open_app(tmp_path, objects=bucket.config()) as served:
        for _ in range(count):
            await make(served, b"12345")
        assert await served.app.objects.count_in("s3") == (count, 5 * count)
        report = await served.app.backups.create(tmp_path / "whole.backup")
        assert report.manifest.files == 0
