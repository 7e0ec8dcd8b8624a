"""Moving objects between the disk and the bucket: copied, compared, then removed; resumable; sums untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from alloyd.domain.objects.model import MIGRATED_AT_ONCE
from alloyd.errors import AlloydError, Code
from tests.domain.objects.world import World, open_world


async def migrate(world: World, to) -> tuple[int, list[str]]:
    moved, damaged, after = 0, [], ""
    while after is not None:
        step = await world.migration.move_some(to, after)
        moved, after = moved + step.moved, step.next_id
        damaged += step.damaged
    return moved, damaged


async def test_there_and_back(both: World) -> None:
    made = [await both.put(bytes([n]) * n, filename=f"{n}.txt") for n in range(MIGRATED_AT_ONCE + 4)]
    sums = await both.totals()
    for to in ("s3", "local", "s3"):
        assert await migrate(both, to) == (len(made), [])
        await both.sweep()
        assert both.bytes_kept() == len(made)
        for n, stored in enumerate(made):
            row = await both.row(stored)
            assert row is not None
            assert (row.backend, row.key) == (to, stored.key)
            assert await both.get(stored) == bytes([n]) * n
        assert await both.totals() == sums
        assert await migrate(both, to) == (0, [])


async def test_it_goes_on_where_it_was(both: World) -> None:
    made = [await both.put() for _ in range(MIGRATED_AT_ONCE + 2)]
    assert (await both.migration.move_some("s3", "")).moved == MIGRATED_AT_ONCE
    assert await migrate(both, "s3") == (2, [])  # as a second start of the command does
    assert {(await both.row(one)).backend for one in made} == {"s3"}  # type: ignore[union-attr]


async def test_new_objects_go_where_they_went(both: World) -> None:
    await both.put()
    await migrate(both, "s3")
    assert (await both.put()).backend == "local"


@pytest.mark.parametrize(
    ("to", "damage"),
    [("s3", "changed"), ("s3", "cut short"), ("s3", "missing"), ("local", "changed"), ("local", "missing")],
)
async def test_damaged_objects_stay(both: World, to, damage: str) -> None:
    bad, good = await both.put(b"abcdef"), await both.put(b"123456")
    if to == "local":
        await migrate(both, "s3")
    files = both.bucket.files() if to == "local" else sorted(both.disk.blobs.blobs_dir.glob("*/*"))  # type: ignore[union-attr]
    file: Path = next(file for file in files if file.read_bytes() == b"abcdef")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"abcdeX" if damage == "changed" else b"abc")
    assert await migrate(both, to) == (1, [bad.id])
    row, other = await both.row(bad), await both.row(good)
    assert row is not None
    assert other is not None
    assert (row.backend == to, other.backend == to) == (False, True)
    await both.sweep()
    assert await both.get(good) == b"123456"


async def test_what_is_deleted_meanwhile_is_passed_over(both: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = await both.put(run_id="r1")
    target = both.objects.backends["s3"]
    put = target.put

    async def put_late(*args):
        await both.delete_runs("r1")
        return await put(*args)

    monkeypatch.setattr(target, "put", put_late)
    assert await migrate(both, "s3") == (0, [])
    await both.sweep()
    assert await both.row(stored) is None
    assert both.bytes_kept() == 0


async def test_without_a_bucket(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for to in ("s3", "local"):
            with pytest.raises(AlloydError) as caught:
                await world.migration.move_some(to, "")
            assert (caught.value.code, caught.value.field) == (Code.BAD_REQUEST, "to")
