"""A bucket for the tests of this room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.bucket import Bucket, serve_bucket
from tests.domain.objects.world import World, open_world


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with serve_bucket(tmp_path_factory.mktemp("s3") / "root") as bucket:
        yield bucket


@pytest.fixture
def bucket(server: Bucket) -> Bucket:
    server.empty()
    return server


@pytest.fixture(params=["local", "s3"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """With either backend."""
    bucket = request.getfixturevalue("bucket") if request.param == "s3" else None
    async with open_world(tmp_path, request.param, bucket) as world:
        yield world


@pytest.fixture
async def both(bucket: Bucket, tmp_path: Path) -> AsyncIterator[World]:
    """The disk takes new objects, and there is a bucket besides."""
    async with open_world(tmp_path, "local", bucket) as world:
        yield world
