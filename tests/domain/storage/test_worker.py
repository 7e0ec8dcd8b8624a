"""The sweeper: what it takes away, what it leaves, and when it must wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from alloyd.domain.storage import worker
from alloyd.domain.storage.model import Usage
from alloyd.errors import AlloydError, Code
from tests.storage import ONE, TWO, Backend, open_backend


async def test_deleted_folder_is_taken_apart(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TRASH_ROWS_MAX", 3)
    monkeypatch.setattr(worker, "UNLINKS_MAX", 2)
    for path in ("d/a", "d/b", "d/e/f/g", "d/e/h", "d/i/j", "kept"):
        await backend.put(path, b"abc")
    await backend.put("d/a", b"abc", TWO)
    await backend.storage.delete(ONE, "d")
    assert await backend.storage.usage(ONE) == Usage(18, 6)  # the trash counts until it is swept
    backend.told()
    assert await backend.sweeper.sweep() == 5
    assert await backend.storage.usage(ONE) == Usage(3, 1)
    assert await backend.storage.usage(TWO) == Usage(3, 1)
    assert (await backend.tree(), await backend.tree(TWO)) == (["kept"], ["d/", "d/a"])
    assert len(backend.files_on_disk()) == 2
    rows = await backend.database.read(
        lambda conn: conn.execute(
            "SELECT (SELECT count(*) FROM storage_nodes), (SELECT count(*) FROM blobs)"
        ).fetchone()
    )
    assert rows == (4 - 1, 2)
    assert await backend.sweeper.sweep() == 0
    assert backend.told() == []


async def test_name_is_free_at_once_and_trash_may_hold_it_often(backend: Backend) -> None:
    for _ in range(3):
        await backend.put("d/f", b"x")
        await backend.storage.delete(ONE, "d")
    await backend.put("d/f", b"last")
    await backend.sweeper.sweep()
    assert await backend.get("d/f") == b"last"
    assert len(backend.files_on_disk()) == 1


async def test_overwritten_content_goes(backend: Backend) -> None:
    for content in (b"1", b"22", b"333"):
        await backend.put("f", content)
    assert len(backend.files_on_disk()) == 3
    assert await backend.storage.usage(ONE) == Usage(3, 1)
    assert await backend.sweeper.sweep() == 2
    assert await backend.get("f") == b"333"


async def test_hold_pauses_removing(backend: Backend) -> None:
    await backend.put("f", b"1")
    await backend.put("f", b"2")
    async with backend.sweeper.hold():
        async with backend.sweeper.hold():
            assert await backend.sweeper.sweep() == 0
        assert await backend.sweeper.sweep() == 0
        assert len(backend.files_on_disk()) == 2
    assert await backend.sweeper.sweep() == 1


async def test_leftovers_of_a_crash(tmp_path: Path) -> None:
    async with open_backend(tmp_path) as before:
        await before.put("f", b"abc")
        (named,) = before.files_on_disk()
        draft = before.blobs.new_draft(10)
        await draft.seal()  # renamed, never committed
        (tmp_path / "tmp" / "half").write_bytes(b"x")
        (tmp_path / "tmp" / "folder").mkdir()
        (tmp_path / "tmp" / "folder" / "inner").write_bytes(b"x")
        (tmp_path / "blobs" / "not-ours").mkdir()
        (tmp_path / "blobs" / "ab").mkdir(exist_ok=True)
        (tmp_path / "blobs" / "ab" / "lost+found").mkdir()
    async with open_backend(tmp_path) as after:
        receiving = after.blobs.new_draft(10)
        await receiving.seal()
        half = after.blobs.new_draft(1 << 20)
        await half.write(b"x" * 300_000)
        assert await after.sweeper.clean_up() == 1
        assert after.files_in_tmp() == [half.id]
        assert set(after.files_on_disk()) == {named, receiving.id, "lost+found"}
        assert await after.get("f") == b"abc"
        assert await after.sweeper.clean_up() == 0
        await half.discard()


async def test_clean_up_waits_for_a_hold(backend: Backend) -> None:
    await backend.blobs.new_draft(10).seal()
    backend.blobs.in_flight.clear()
    hold = backend.sweeper.hold()
    await hold.__aenter__()
    task = asyncio.create_task(backend.sweeper.clean_up())
    await backend.blobs.list_shards()
    await backend.database.read(lambda _conn: None)
    assert not task.done()
    assert len(backend.files_on_disk()) == 1
    await hold.__aexit__(None, None, None)
    assert await task == 1


async def test_run_sweeps_when_woken_and_survives_a_failing_disk(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, swept = asyncio.Event(), asyncio.Event()
    plain = backend.blobs.unlink

    async def unlink(ids: list[str]) -> None:
        if not failed.is_set():
            failed.set()
            raise AlloydError(Code.UNAVAILABLE, "a file can't be removed: the disk failed")
        await plain(ids)
        swept.set()

    monkeypatch.setattr(backend.blobs, "unlink", unlink)
    await backend.put("f", b"1")
    await backend.put("f", b"2")
    task = asyncio.create_task(backend.sweeper.run())
    async with asyncio.timeout(30):
        await failed.wait()
        await backend.storage.delete(ONE, "f")
        await swept.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await backend.sweeper.sweep()
    assert backend.files_on_disk() == []


async def test_run_sweeps_at_its_interval(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []
    enough = asyncio.Event()

    async def sweep() -> int:
        rounds.append(1)
        if len(rounds) == 3:
            enough.set()
        return 0

    sweeper = worker.StorageSweeper(backend.database, backend.blobs, 0)
    monkeypatch.setattr(sweeper, "sweep", sweep)
    task = asyncio.create_task(sweeper.run())
    async with asyncio.timeout(30):
        await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
