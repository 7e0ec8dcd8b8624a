"""The whole program, with its objects on the disk and in a bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from alloyd.config.objects import ObjectsConfig
from tests.app import Served, open_app
from tests.bucket import Bucket, serve_bucket
from tests.log.conftest import restored, stream

__all__ = ["bucket", "local", "restored", "served", "stream"]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with serve_bucket(tmp_path_factory.mktemp("s3") / "root") as bucket:
        yield bucket


@pytest.fixture(params=["local", "s3"])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Served]:
    """With either backend: a test of what holds for both."""
    config = ObjectsConfig()
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        bucket.empty()
        config = bucket.config()
    async with open_app(tmp_path, objects=config) as served:
        yield served


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served
