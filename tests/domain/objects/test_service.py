"""Objects in either backend: kept, found, deleted; nothing is left over, and the sums are those of the rows."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alloyd.domain.objects import store
from alloyd.domain.objects.model import NewObject, is_key
from alloyd.domain.objects.s3 import PART_BYTES
from alloyd.domain.users import service as users
from alloyd.errors import AlloydError, Code
from tests.domain.objects.world import CONTENT, World, open_world, pieces


async def test_what_an_object_is(world: World) -> None:
    stored = await world.put(workflow_id="w1", run_id="r1", filename="dir\\sub/bérlin.txt", origin="o1")
    assert re.fullmatch(r"acme/w1/r1/output/[A-Za-z0-9_-]{43}/bérlin\.txt", stored.key)
    assert is_key(stored.key)
    assert (stored.size, stored.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert (stored.filename, stored.content_type) == ("bérlin.txt", "text/plain")
    assert stored.backend == world.objects.settings.backend
    assert await world.row(stored) == stored
    assert await world.get(stored) == CONTENT
    assert await world.told() == [("object.created", stored.id)]
    assert world.bytes_kept() == 1


async def test_keys_are_never_the_same(world: World) -> None:
    made = [await world.put(b"x") for _ in range(5)]
    assert len({one.key for one in made}) == 5
    assert made[0].key.startswith("acme/-/-/output/")


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 5])
async def test_sizes(world: World, size: int) -> None:
    content = random.Random(size).randbytes(size)
    cuts = [content[at : at + 1_000_000] for at in range(0, size, 1_000_000)]
    stored = await world.objects.put(world.who, NewObject("output", "a", bytes_max=size + 1), pieces(*cuts, b""))
    assert (stored.size, stored.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert await world.get(stored) == content
    async with await world.objects.open(stored.key) as file:
        assert await file.read(size // 3, 100) == content[size // 3 : size // 3 + 100]


async def test_too_large_leaves_nothing(world: World) -> None:
    for content, bytes_max in ((b"x" * 11, 10), (b"x" * (PART_BYTES + 1), PART_BYTES)):
        with pytest.raises(AlloydError) as caught:
            await world.put(content, bytes_max=bytes_max)
        assert caught.value.code is Code.TOO_LARGE
    await world.sweep()
    assert (world.bytes_kept(), await world.scan(), await world.totals()) == (0, {}, {})


async def test_a_stream_that_breaks_leaves_nothing(world: World) -> None:
    async def broken(count: int) -> AsyncIterator[bytes]:
        yield b"x" * count
        raise AlloydError(Code.BAD_REQUEST, "broken off")

    for count in (10, PART_BYTES + 10):
        with pytest.raises(AlloydError, match="broken off"):
            await world.objects.put(world.who, NewObject("output", "a", bytes_max=10**9), broken(count))
    await world.sweep()
    assert (world.bytes_kept(), await world.scan()) == (0, {})


async def test_a_caller_who_goes_leaves_nothing(world: World) -> None:
    began = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x"
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(world.objects.put(world.who, NewObject("output", "a"), endless()))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.sweep()
    assert (world.bytes_kept(), await world.scan()) == (0, {})


@pytest.mark.parametrize("filename", ["..", "a\x00b", "\ud800", "x" * 300, " . "])
async def test_names_that_are_none(world: World, filename: str) -> None:
    with pytest.raises(AlloydError) as caught:
        await world.put(filename=filename)
    assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "filename")


async def test_a_repeat_finds_the_first(world: World) -> None:
    first = await world.put(origin="o1")
    assert await world.put(b"other", filename="b.txt", origin="o1") == first
    both = await asyncio.gather(*(world.put(bytes([n]), origin="o2") for n in range(5)))
    assert len({one.key for one in both}) == 1
    await world.sweep()
    assert world.bytes_kept() == 2


async def test_objects_go_with_their_run(world: World) -> None:
    kept = await world.put(run_id="r1")
    gone = [await world.put(run_id="r2"), await world.put(run_id="r2", direction="input"), await world.put(run_id="r3")]
    assert await world.delete_runs("r2", "r3", "nothing") == 3
    await world.sweep()
    assert world.bytes_kept() == 1
    assert [await world.row(one) for one in gone] == [None] * 3
    assert await world.get(kept) == CONTENT
    with pytest.raises(AlloydError, match="not found"):
        await world.get(gone[0])


async def test_no_more_than_asked_are_deleted_at_once(world: World) -> None:
    for _ in range(3):
        await world.put(run_id="r1")
    who = world.who
    counts = [
        await world.disk.database.write(lambda tx: world.objects.delete_of_runs(tx, who.org_id, ["r1"], 2))
        for _ in range(3)
    ]
    assert counts == [2, 1, 0]


async def test_another_organizations_runs_are_not_touched(world: World) -> None:
    stored = await world.put(run_id="r1")
    assert await world.disk.database.write(lambda tx: world.objects.delete_of_runs(tx, "other", ["r1"])) == 0
    assert await world.row(stored) == stored


async def test_usage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "find_account", lambda _conn, id_: SimpleNamespace() if id_ in ("ann", "bob") else None)
    await world.put(b"12345", workflow_id="w1", run_id="r1", started_by="ann")
    await world.put(b"123", workflow_id="w1", run_id="r1", started_by="bob", direction="input")
    await world.put(b"1234567890", workflow_id="w2", run_id="r2", started_by="some-key")
    await world.put(b"1", started_by="ann")
    whole = await world.objects.usage(world.who.org_id)
    assert (whole.input_bytes, whole.output_bytes, whole.files) == (3, 16, 4)
    assert [(share.workflow_id, share.bytes, share.files) for share in whole.workflows] == [("w2", 10, 1), ("w1", 8, 2)]
    anns = await world.objects.usage(world.who.org_id, "ann")
    assert (anns.input_bytes, anns.output_bytes, anns.files) == (0, 6, 2)
    assert [(share.workflow_id, share.bytes) for share in anns.workflows] == [("w1", 5)]
    nobody = await world.objects.usage(world.who.org_id, "nobody")
    assert (nobody.input_bytes, nobody.output_bytes, nobody.files, nobody.workflows) == (0, 0, 0, ())
    await world.delete_runs("r1", "r2")
    assert (await world.objects.usage(world.who.org_id)).files == 1
    assert await world.totals() == await world.scan()


PLAN = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "delete"]),
        st.integers(0, 3),
        st.sampled_from([None, "w1", "w2"]),
        st.sampled_from(["input", "output"]),
        st.integers(0, 300),
    ),
    min_size=1,
    max_size=25,
)


@given(PLAN)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_sums_are_those_of_the_rows(tmp_path_factory: pytest.TempPathFactory, plan) -> None:
    """Whatever is written and deleted at the same time."""
    directory: Path = tmp_path_factory.mktemp("sums")

    async def act(world: World, what: str, run: int, workflow: str | None, direction: str, size: int) -> None:
        if what == "put":
            await world.put(b"x" * size, run_id=f"r{run}", workflow_id=workflow, direction=direction)
        else:
            await world.delete_runs(f"r{run}")

    async with open_world(directory) as world:
        await asyncio.gather(*(act(world, *step) for step in plan))
        assert await world.totals() == await world.scan()
        usage = await world.objects.usage(world.who.org_id)
        rows = (await world.scan()).values()
        assert usage.input_bytes + usage.output_bytes == sum(total for total, _files in rows)
        assert usage.files == sum(files for _total, files in rows)


async def test_what_nobody_names_is_swept_from_the_bucket(bucket, tmp_path: Path) -> None:
    """As a crash leaves it: announced, uploaded, never named."""
    async with open_world(tmp_path, "s3", bucket) as world:
        kept = await world.put()
        row = await world.row(kept)
        assert row is not None
        orphan = bucket.root / "bucket" / world.who.org_id / "orphan"
        orphan.write_bytes(b"x")
        place = f"{world.who.org_id}/orphan"
        await world.disk.database.write(lambda tx: store.insert_leaving(tx, world.who.org_id, place))
        missing = f"{world.who.org_id}/missing"
        await world.disk.database.write(lambda tx: store.insert_leaving(tx, world.who.org_id, missing))
        assert world.s3 is not None
        assert await world.s3.sweep() == 2
        assert not orphan.exists()
        assert await world.get(kept) == CONTENT
        assert await world.s3.sweep() == 0


async def test_an_upload_under_way_is_not_swept(bucket, tmp_path: Path) -> None:
    async with open_world(tmp_path, "s3", bucket) as world:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x"
            began.set()
            await go_on.wait()
            yield b"y"

        task = asyncio.create_task(world.objects.put(world.who, NewObject("output", "a"), slow()))
        await began.wait()
        assert world.s3 is not None
        assert await world.s3.sweep() == 0
        go_on.set()
        stored = await task
        assert await world.s3.sweep() == 0
        assert await world.get(stored) == b"xy"


async def test_a_bucket_that_is_not_configured_any_more(bucket, tmp_path: Path) -> None:
    async with open_world(tmp_path, "s3", bucket) as world:
        stored = await world.put()
        world.objects.backends.pop("s3")  # type: ignore[attr-defined]  # the test made it a dict
        with pytest.raises(AlloydError) as caught:
            await world.get(stored)
        assert caught.value.code is Code.UNAVAILABLE
        with pytest.raises(AlloydError, match="not configured"):
            await world.put()


async def test_a_bucket_that_does_not_answer(tmp_path: Path, bucket) -> None:
    async with open_world(tmp_path, "s3", bucket) as world:
        stored, _gone = await world.put(), await world.put(run_id="r1")
        (bucket.root / "bucket").rename(bucket.root / "elsewhere")
        try:
            with pytest.raises(AlloydError) as caught:
                await world.put()
            assert caught.value.code is Code.UNAVAILABLE
            assert bucket.url not in caught.value.message
            with pytest.raises(AlloydError, match="no such bucket"):  # which says nothing about the object
                await world.get(stored)
            await world.delete_runs("r1")
            with pytest.raises(AlloydError, match="no such bucket"):
                await world.sweep()
        finally:
            (bucket.root / "elsewhere").rename(bucket.root / "bucket")
        assert list(await world.scan()) == [("", "", "output")]
