"""Storage as the operations of a workflow use it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from alloyd.errors import AlloydError, Code
from tests.storage import ONE, Backend


async def test_step_files(backend: Backend) -> None:
    meta = await backend.storage.write_bytes(ONE, "a/b.txt", b"hello", None)
    assert (meta["path"], meta["size"], meta["mime_type"]) == ("a/b.txt", 5, "text/plain")
    assert await backend.storage.read_bytes(ONE, "a/b.txt", 5) == (meta, b"hello")
    with pytest.raises(AlloydError) as caught:
        await backend.storage.read_bytes(ONE, "a/b.txt", 4)
    assert caught.value.code is Code.TOO_LARGE
    assert await backend.storage.read_meta(ONE, "a/b.txt") == meta
    async with backend.storage.open_stream(ONE, "a/b.txt") as (found, chunks):
        await backend.storage.write_bytes(ONE, "a/b.txt", b"newer", None)
        assert (found, b"".join([chunk async for chunk in chunks])) == (meta, b"hello")
    assert await backend.storage.delete(ONE, "/a/") == "a"


async def test_a_stream_that_breaks_off_stores_nothing(backend: Backend) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        await backend.storage.write_stream(ONE, "f", broken(), None)
    with pytest.raises(AlloydError) as caught:
        await backend.storage.read_meta(ONE, "f")
    assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(AlloydError, match="root"):
        await backend.storage.write_stream(ONE, "/", broken(), None)
