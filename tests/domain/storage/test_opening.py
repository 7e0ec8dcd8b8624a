"""Opening a file: looked up and opened in one hop, whatever happens to it meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from alloyd.errors import AlloydError, Code
from tests.storage import ONE, Backend


async def test_content_that_vanishes_before_it_is_opened_is_looked_up_again(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.put("f", b"old")
    plain_open, opened = backend.blobs.open_now, []

    async def overwrite() -> None:
        await backend.put("f", b"new")
        await backend.sweeper.sweep()

    loop = asyncio.get_running_loop()

    def overwrite_first(blob_id: str) -> int | None:
        opened.append(blob_id)
        if len(opened) == 1:
            asyncio.run_coroutine_threadsafe(overwrite(), loop).result()
        return plain_open(blob_id)

    monkeypatch.setattr(backend.blobs, "open_now", overwrite_first)
    assert await backend.get("f") == b"new"
    assert len(opened) == 2


async def test_a_caller_that_leaves_while_the_file_is_opened_leaves_nothing_open(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.put("f", b"old")
    plain_open, opening, go_on = backend.blobs.open_now, threading.Event(), threading.Event()
    fds: list[int] = []

    def open_slowly(blob_id: str) -> int | None:
        opening.set()
        go_on.wait()
        fd = plain_open(blob_id)
        assert fd is not None
        fds.append(fd)
        return fd

    monkeypatch.setattr(backend.blobs, "open_now", open_slowly)
    asking = asyncio.create_task(backend.storage.open_file(ONE, "f"))
    await asyncio.to_thread(opening.wait)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    go_on.set()
    while not fds or os.path.exists(f"/proc/self/fd/{fds[0]}"):  # noqa: PTH110
        await asyncio.to_thread(lambda: None)


async def test_content_missing_on_the_disk(backend: Backend) -> None:
    await backend.put("f")
    await backend.blobs.unlink(backend.files_on_disk())
    with pytest.raises(AlloydError, match="missing on the disk") as caught:
        await backend.storage.open_file(ONE, "f")
    assert caught.value.code is Code.INTERNAL
