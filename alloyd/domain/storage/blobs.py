"""File contents on the disk, under random names: written to tmp/, fsynced, renamed into blobs/, opened, removed.

A content is durable, and its directory too, before a row may name it. Work on the disk is done in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from alloyd.domain.storage.model import Blob, upload_too_large
from alloyd.errors import AlloydError, Code
from alloyd.kit import crash

T = TypeVar("T")

DISK_THREADS = 8
# What is gathered in memory before a hop to a thread; a smaller file needs one hop in all.
FLUSH_BYTES = 256 * 1024
READ_BYTES = 256 * 1024

_ID_BYTES = 16
_ID = re.compile(r"[0-9a-f]{32}\Z")
_SHARD = re.compile(r"[0-9a-f]{2}\Z")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EXISTING_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class BlobStore:
    """The directories ``blobs/`` and ``tmp/`` of the data directory.

    ``on_fatal`` is called when an fsync failed, and is expected to end the process. ``disk_free_bytes_min`` tells
    how much must be free on the disk for a new content to be taken.
    """

    def __init__(
        self, data_dir: Path, on_fatal: Callable[[BaseException], None], disk_free_bytes_min: Callable[[], int]
    ) -> None:
        self.blobs_dir = data_dir / "blobs"
        self.tmp_dir = data_dir / "tmp"
        self.disk_free_bytes_min = disk_free_bytes_min
        self.on_fatal = on_fatal
        # Ids that no row names yet, but may any moment: not orphans.
        self.in_flight: set[str] = set()
        for directory in (self.blobs_dir, self.tmp_dir):
            directory.mkdir(mode=0o700, exist_ok=True)
        # What the process before this one left behind; all later files in tmp/ are somebody's.
        self._leftovers = _names(self.tmp_dir)
        self._durable_shards: set[str] = set()
        self._threads = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk")

    async def run(self, fn: Callable[[], T]) -> T:
        """Run ``fn`` in one of the disk's threads.

        A cancelled caller waits for it too: descriptors may not be closed, and given out anew, while it uses them.
        """
        job = asyncio.get_running_loop().run_in_executor(self._threads, fn)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            while not job.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({job})
            job.exception()
            raise

    def close(self) -> None:
        """Wait for what the threads do, and end them."""
        self._threads.shutdown(wait=True)

    def path_of(self, blob_id: str) -> Path:
        """Where a content lies; ``blob_id`` is one of ours, never a caller's text."""
        return self.blobs_dir / blob_id[:2] / blob_id

    def new_draft(self, bytes_max: int) -> Draft:
        """A content to be written, of at most ``bytes_max`` bytes. It is to be kept or discarded."""
        blob_id = secrets.token_hex(_ID_BYTES)
        self.in_flight.add(blob_id)
        return Draft(self, blob_id, bytes_max)

    def open_now(self, blob_id: str) -> int | None:
        """A file descriptor to read a content from, None when it is not there (any more). Blocks: not on the loop.

        Whoever has it reads the content to its end, also after it was removed.
        """
        try:
            return os.open(self.path_of(blob_id), _EXISTING_FILE)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise disk_error("the file can't be read", error) from error

    async def read(self, fd: int, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``offset``; fewer only at the end."""
        return await self.run(lambda: _read(fd, offset, count))

    async def read_chunks(self, fd: int, offset: int, count: int) -> AsyncIterator[bytes]:
        """``count`` bytes from ``offset`` in pieces of at most :data:`READ_BYTES`."""
        end = offset + count
        while offset < end:
            chunk = await self.read(fd, offset, min(READ_BYTES, end - offset))
            if not chunk:
                raise AlloydError(Code.INTERNAL, "the file's content is cut short on the disk")
            yield chunk
            offset += len(chunk)

    async def unlink(self, blob_ids: Sequence[str]) -> None:
        """Remove contents; those that are gone already don't matter."""
        await self.run(lambda: self._unlink(blob_ids))

    def _unlink(self, blob_ids: Sequence[str]) -> None:
        for blob_id in blob_ids:
            crash.reach("sweep.before_unlink")
            try:
                self.path_of(blob_id).unlink(missing_ok=True)
            except OSError as error:
                raise disk_error("a file can't be removed", error) from error
            crash.reach("sweep.after_unlink")

    async def remove_leftovers(self) -> int:
        """Remove what an earlier process left in tmp/; how many entries there were."""
        return await self.run(self._remove_leftovers)

    def _remove_leftovers(self) -> int:
        names, self._leftovers = self._leftovers, []
        for name in names:
            path = self.tmp_dir / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(names)

    async def list_shards(self) -> list[str]:
        """The folders of blobs/."""
        return await self.run(lambda: [name for name in _names(self.blobs_dir) if _SHARD.match(name)])

    async def list_shard(self, shard: str) -> list[str]:
        """The ids of the contents in one folder of blobs/."""
        return await self.run(lambda: [name for name in _names(self.blobs_dir / shard) if _ID.match(name)])

    # -- in a thread, called by Draft --------------------------------------------------------------------------

    def check_space(self) -> None:
        """Raises ``unavailable`` when too little of the disk is free."""
        found = os.statvfs(self.tmp_dir)
        if found.f_bavail * found.f_frsize < self.disk_free_bytes_min():
            raise AlloydError(Code.UNAVAILABLE, "nothing was stored: too little free disk space", retry_after_s=60)

    def make_shard(self, shard: str) -> Path:
        """The folder of contents whose id begins with ``shard``; durable itself when this returns."""
        directory = self.blobs_dir / shard
        if shard not in self._durable_shards:
            directory.mkdir(mode=0o700, exist_ok=True)
            crash.reach("blob.folder_made")
            self.sync_directory(self.blobs_dir)
            self._durable_shards.add(shard)
        return directory

    def sync_directory(self, directory: Path) -> None:
        """Make the names in ``directory`` durable."""
        fd = os.open(directory, _DIRECTORY)
        try:
            self.sync(fd)
        finally:
            os.close(fd)

    def sync(self, fd: int) -> None:
        """fsync. When it fails nobody knows what the disk holds, so the process is to end, not to go on."""
        try:
            os.fsync(fd)
        except OSError as error:
            self.on_fatal(error)
            raise


class Draft:
    """A content that is being written. ``size`` is what it has so far, in bytes."""

    def __init__(self, blobs: BlobStore, blob_id: str, bytes_max: int) -> None:
        self.id = blob_id
        self.size = 0
        self._blobs = blobs
        self._bytes_max = bytes_max
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._fd: int | None = None
        self._digest = hashlib.sha256()

    async def write(self, chunk: bytes) -> None:
        """Append. Raises ``too_large``; ``unavailable`` when the disk is full or fails."""
        self.size += len(chunk)
        if self.size > self._bytes_max:
            raise upload_too_large(self._bytes_max)
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk)
        if self._gathered_bytes >= FLUSH_BYTES:
            chunks = self._take()
            await self._blobs.run(lambda: self._guarded(lambda: self._append(chunks)))

    async def sha256(self) -> str:
        """The hash of what was written so far, in hex. Raises ``unavailable``."""
        chunks = self._take()
        await self._blobs.run(lambda: self._guarded(lambda: self._append(chunks)))
        return self._digest.hexdigest()

    async def seal(self) -> Blob:
        """Make the content durable under its id. Raises ``unavailable`` when the disk is full or fails."""
        chunks = self._take()
        await self._blobs.run(lambda: self._guarded(lambda: self._finish(chunks)))
        return Blob(self.id, self.size, self._digest.hexdigest())

    def keep(self) -> None:
        """A row names the content: it is no longer ours."""
        self._blobs.in_flight.discard(self.id)

    async def discard(self) -> None:
        """Remove every trace. Safe at any time, also when the caller is cancelled."""
        self._gathered.clear()
        await self._blobs.run(self._remove)

    def _take(self) -> list[bytes]:
        chunks, self._gathered = self._gathered, []
        self._gathered_bytes = 0
        return chunks

    # -- in a thread -------------------------------------------------------------------------------------------

    def _guarded(self, fn: Callable[[], None]) -> None:
        try:
            fn()
        except OSError as error:
            raise disk_error("nothing was stored", error) from error

    @property
    def _tmp_path(self) -> Path:
        return self._blobs.tmp_dir / self.id

    def _append(self, chunks: list[bytes]) -> None:
        if self._fd is None:
            self._blobs.check_space()
            self._fd = os.open(self._tmp_path, _NEW_FILE, 0o600)
            crash.reach("blob.created")
        for chunk in chunks:
            self._digest.update(chunk)
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def _finish(self, chunks: list[bytes]) -> None:
        self._append(chunks)
        assert self._fd is not None
        crash.reach("blob.written")
        self._blobs.sync(self._fd)
        crash.reach("blob.fsynced")
        self._close()
        shard = self._blobs.make_shard(self.id[:2])
        self._tmp_path.rename(shard / self.id)
        crash.reach("blob.renamed")
        self._blobs.sync_directory(shard)
        crash.reach("blob.directory_fsynced")

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _remove(self) -> None:
        try:
            self._close()
            self._tmp_path.unlink(missing_ok=True)
            self._blobs.path_of(self.id).unlink(missing_ok=True)
        except OSError:
            return  # the disk fails: what is left has no row, and the sweep at the next start finds it
        self._blobs.in_flight.discard(self.id)


def _names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def _read(fd: int, offset: int, count: int) -> bytes:
    pieces: list[bytes] = []
    try:
        while count > 0:
            piece = os.pread(fd, count, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            count -= len(piece)
    except OSError as error:
        raise disk_error("the file can't be read", error) from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def disk_error(what: str, error: OSError) -> AlloydError:
    """What a caller is told of a failing disk: ``what``, and why, without any path."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = "the disk is full" if full else "the disk failed"
    return AlloydError(Code.UNAVAILABLE, f"{what}: {reason}", log=repr(error), retry_after_s=60 if full else 5)
