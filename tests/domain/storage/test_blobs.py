"""Contents on the disk: durable in order, unnamed until then, and clear words when the disk fails."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alloyd.domain.storage import blobs as blobs_module
from alloyd.errors import AlloydError, Code
from alloyd.kit import crash
from tests.storage import ONE, Backend


def failing(code: int, at: int = 1) -> Callable[..., Any]:
    """A system call that fails with ``code`` the ``at``-th time and ever after."""
    calls = []

    def call(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) >= at:
            raise OSError(code, os.strerror(code), "/a/secret/path")
        return len(args[1])

    return call


@pytest.mark.parametrize("size", [0, 1, 1000, 256 * 1024, 256 * 1024 + 1, 3_000_000])
async def test_written_is_read(backend: Backend, size: int) -> None:
    content = os.urandom(size)
    draft = backend.blobs.new_draft(size)
    for start in range(0, size, 70_000):
        await draft.write(content[start : start + 70_000])
    blob = await draft.seal()
    assert (blob.size, blob.sha256) == (size, hashlib.sha256(content).hexdigest())
    path = backend.blobs.path_of(blob.id)
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert backend.files_in_tmp() == []
    fd = backend.blobs.open_now(blob.id)
    assert fd is not None
    assert b"".join([piece async for piece in backend.blobs.read_chunks(fd, 0, size)]) == content
    assert await backend.blobs.read(fd, 1, 5) == content[1:6]
    os.close(fd)


async def test_order_of_the_steps(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = []
    monkeypatch.setattr(crash, "reach", reached.append)
    await backend.put("f")
    await backend.storage.delete(ONE, "f")
    await backend.sweeper.sweep()
    assert [name for name in reached if not name.startswith("db.")] == [
        "blob.created",
        "blob.written",
        "blob.fsynced",
        "blob.folder_made",
        "blob.renamed",
        "blob.directory_fsynced",
        "storage.before_swap",
        "storage.after_swap",
        "sweep.before_unlink",
        "sweep.after_unlink",
    ]


async def test_every_directory_on_the_way_is_fsynced(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    plain = os.fsync

    def fsync(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        plain(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    draft = backend.blobs.new_draft(10)
    blob = await draft.seal()
    base = backend.data_dir
    shard = str(base / "blobs" / blob.id[:2])
    assert synced == [str(base / "tmp" / blob.id), str(base / "blobs"), shard]


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("write", errno.ENOSPC, "nothing was stored: the disk is full"),
        ("write", errno.EDQUOT, "nothing was stored: the disk is full"),
        ("write", errno.EIO, "nothing was stored: the disk failed"),
        ("open", errno.EROFS, "nothing was stored: the disk failed"),
        ("open", errno.EMFILE, "nothing was stored: the disk failed"),
        ("statvfs", errno.EIO, "nothing was stored: the disk failed"),
    ],
)
@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_disk_faults(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, call: str, code: int, message: str, size: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(code))
        with pytest.raises(AlloydError) as caught:
            await backend.put("f", b"x" * size)
    assert caught.value.code is Code.UNAVAILABLE
    assert caught.value.message == message
    assert caught.value.retry_after_s
    assert (backend.files_in_tmp(), backend.files_on_disk(), await backend.tree()) == ([], [], [])
    assert backend.fatal == []
    await backend.put("f", b"x" * size)


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_failed_fsync_ends_the_process(backend: Backend, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    with monkeypatch.context() as patch:
        calls: list[int] = []

        def fsync(fd: int) -> None:
            calls.append(fd)
            if len(calls) == at:
                raise OSError(errno.EIO, "Input/output error")

        patch.setattr(os, "fsync", fsync)
        with pytest.raises(AlloydError, match="the disk failed"):
            await backend.put("f")
    assert len(backend.fatal) == 1
    assert await backend.tree() == []


async def test_read_faults(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    await backend.put("f", b"abc")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing(errno.EIO))
        with pytest.raises(AlloydError, match="can't be read: the disk failed"):
            await backend.get("f")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EIO))
        with pytest.raises(AlloydError, match="can't be read"):
            await backend.get("f")
    backend.blobs.path_of(backend.files_on_disk()[0]).write_bytes(b"a")
    async with await backend.storage.open_file(ONE, "f") as file:
        pieces = file.read_chunks()
        assert await anext(pieces) == b"a"
        with pytest.raises(AlloydError, match="cut short"):
            await anext(pieces)


async def test_no_link_is_followed(backend: Backend) -> None:
    await backend.put("f", b"abc")
    path = backend.blobs.path_of(backend.files_on_disk()[0])
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(AlloydError, match="can't be read"):
        await backend.get("f")


async def test_discard_at_any_time(backend: Backend) -> None:
    for stage in ("new", "gathered", "written", "sealed"):
        draft = backend.blobs.new_draft(1 << 20)
        if stage != "new":
            await draft.write(b"x")
        if stage == "written":
            await draft.write(b"x" * blobs_module.FLUSH_BYTES)
        if stage == "sealed":
            await draft.seal()
        await draft.discard()
        await draft.discard()
        assert (backend.files_in_tmp(), backend.files_on_disk(), backend.blobs.in_flight) == ([], [], set())


async def test_refused_commit_removes_the_content(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def write(_fn: object) -> None:
        raise AlloydError(Code.UNAVAILABLE, "nothing was stored: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(backend.database, "write", write)
        with pytest.raises(AlloydError, match="disk is full"):
            await backend.put("f")
    assert (backend.files_on_disk(), backend.blobs.in_flight) == ([], set())


async def test_commit_that_succeeded_though_it_said_otherwise(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = backend.database.write

    async def write(fn: Any) -> None:
        await plain(fn)
        raise AlloydError(Code.UNAVAILABLE, "the disk failed")

    with monkeypatch.context() as patch:
        patch.setattr(backend.database, "write", write)
        with pytest.raises(AlloydError, match="the disk failed"):
            await backend.put("f", b"abc")
    assert await backend.get("f") == b"abc"
    assert backend.blobs.in_flight == set()
