"""A bucket that can't be used: told in clear words at the start and at every use, and nothing is half done."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.objects.s3 import S3Backend
from alloyd.errors import AlloydError, Code
from tests.bucket import Bucket
from tests.domain.objects.world import World, open_world, settings_of

REFUSES = "the object store refuses its access key, or what the key may do"


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def use(world: World, server: Bucket, **changes: Any) -> S3Backend:
    """The bucket as ``changes`` make it, in the place of the right one."""
    wrong = dataclasses.replace(settings_of(server), timeout_s=2, **changes)
    backend = S3Backend(world.disk.database, wrong, lambda: None)
    world.objects.backends["s3"] = backend  # type: ignore[index]  # the test made it a dict
    return backend


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret_key": "wrong"}, REFUSES),
        ({"access_key": "nobody"}, REFUSES),
        ({"bucket": "elsewhere"}, "the object store has no such bucket"),
        ({"endpoint": "http://127.0.0.1:{port}"}, "the object store can't be reached"),
    ],
)
async def test_it_is_told_and_nothing_is_half_done(
    tmp_path: Path, bucket: Bucket, closed_port: int, changes: dict[str, str], reason: str
) -> None:
    async with open_world(tmp_path, "s3", bucket) as world:
        stored = await world.put(b"whole", run_id="r1")
        there, sums, told = bucket.files(), await world.totals(), await world.told()
        wrong = {name: value.format(port=closed_port) for name, value in changes.items()}
        backend = use(world, bucket, **wrong)
        for work in (backend.probe(), world.put(b"more"), world.get(stored)):
            with pytest.raises(AlloydError) as caught:
                await work
            assert caught.value.code is Code.UNAVAILABLE
            assert caught.value.message.endswith(f": {reason}")
            assert caught.value.log
            for word in ("127.0.0.1", "wrong", "nobody", "elsewhere"):
                assert word not in caught.value.message
        assert (await world.totals(), await world.told()) == (sums, told)
        # What is deleted meanwhile is removed from the bucket when it is there again.
        await world.delete_runs("r1")
        with pytest.raises(AlloydError):
            await backend.sweep()
        assert bucket.files() == there
        assert world.s3 is not None
        await world.s3.sweep()
        assert bucket.files() == []


async def test_a_probe_leaves_nothing(tmp_path: Path, bucket: Bucket) -> None:
    async with open_world(tmp_path, "s3", bucket) as world:
        assert world.s3 is not None
        await world.s3.probe()
        assert bucket.files() == []
