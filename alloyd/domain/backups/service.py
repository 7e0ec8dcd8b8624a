"""Backups of the running daemon: made and checked in threads, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

from alloyd.db import Database, Tx
from alloyd.db.snapshot import KeepGoing
from alloyd.domain.backups import store
from alloyd.domain.backups.checking import verify_archive
from alloyd.domain.backups.creation import PARTIAL_SUFFIX, Origin, make_archive, partial_path
from alloyd.domain.backups.model import BackupReport, Manifest, Places
from alloyd.errors import AlloydError, Code, bad_request, conflict
from alloyd.kit.clock import Clock

T = TypeVar("T")

PATH_BYTES_MAX = 4096


class BackupService:
    """Makes backups while everything goes on, and checks them.

    ``hold()`` keeps contents from being removed while it is entered. ``free_bytes_min()`` is what has to stay free on
    every disk.
    """

    def __init__(
        self,
        database: Database,
        places: Places,
        clock: Clock,
        hold: Callable[[], AbstractAsyncContextManager[None]],
        free_bytes_min: Callable[[], int],
        alloyd_version: str,
    ) -> None:
        self._database = database
        self._places = places
        self._clock = clock
        self._hold = hold
        self._free_bytes_min = free_bytes_min
        self._alloyd_version = alloyd_version
        self._busy = False

    async def create(self, path: Path) -> BackupReport:
        """Write database, contents and keys as of now to the new file ``path``; it is whole and durable then.

        Only the owner can read it: keys are in it. Raises ``bad_request`` naming ``path`` for one that can't be,
        ``conflict`` when a file is there or a backup is being made, ``unavailable`` when a disk is too small or fails.
        """
        _check_path(path, self._places.database.parent)
        with self._alone():
            await self._database.write(lambda tx: store.set_note(tx, store.PARTIAL_BACKUP, str(partial_path(path))))
            try:
                async with self._hold():
                    origin = Origin(self._alloyd_version, self._clock.now_ms())
                    free_bytes_min = self._free_bytes_min()
                    report = await _in_thread(
                        lambda keep_going: make_archive(self._places, path, origin, free_bytes_min, keep_going)
                    )
            finally:
                # On a full disk the note stays: at the next start it leads to a file that is not there.
                with contextlib.suppress(AlloydError):
                    await self._database.write(lambda tx: store.delete_note(tx, store.PARTIAL_BACKUP))
            await self._database.write(lambda tx: _tell_made(tx, path, report.manifest.created_at))
        return report

    async def verify(self, path: Path) -> Manifest:
        """Check every byte of the archive at ``path``. Raises ``not_found``, ``unprocessable`` saying what is damaged.

        ``conflict`` when its schema is newer than the program, ``unavailable`` when the disk is too small.
        """
        return await _in_thread(lambda keep_going: verify_archive(path, self._places.tmp, keep_going))

    async def find_last(self) -> int | None:
        """When the newest backup was begun that was made whole, in ms since the epoch."""
        text = await self._database.read(lambda conn: store.find_note(conn, store.LAST_BACKUP_AT))
        return None if text is None else int(text)

    async def clean_up(self) -> bool:
        """At the start: remove the part of a backup that was cut off by a crash; whether there was one."""
        text = await self._database.read(lambda conn: store.find_note(conn, store.PARTIAL_BACKUP))
        if text is None:
            return False
        partial = Path(text)
        removed = await asyncio.to_thread(_remove_partial, partial)
        await self._database.write(lambda tx: store.delete_note(tx, store.PARTIAL_BACKUP))
        return removed

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if self._busy:
            raise conflict("a backup is being made; wait for its end")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False


def _tell_made(tx: Tx, path: Path, made_at: int) -> None:
    store.set_note(tx, store.LAST_BACKUP_AT, str(made_at))
    tx.audit(f"backup:{path.name}", action="backup.create")


async def _in_thread(work: Callable[[KeepGoing], T]) -> T:
    """Run ``work`` in a thread of its own. A cancelled caller stops it, and waits until it has put things in order."""
    stopped = threading.Event()

    def keep_going() -> None:
        if stopped.is_set():
            raise AlloydError(Code.UNAVAILABLE, "the work was stopped")

    job = asyncio.ensure_future(asyncio.to_thread(work, keep_going))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        stopped.set()
        while not job.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({job})
        if not job.cancelled():
            job.exception()
        raise


def _check_path(path: Path, data_dir: Path) -> None:
    if not path.is_absolute():
        raise bad_request("path: an absolute path on the daemon's machine", "path")
    if len(os.fsencode(path)) > PATH_BYTES_MAX or "\0" in str(path) or not path.name or ".." in path.parts:
        raise bad_request("path: not a path of a file", "path")
    parent = path.parent
    if not parent.is_dir():
        raise bad_request("path: its folder is not there", "path")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise bad_request("path: its folder can't be written to by the daemon", "path")
    inside = _below(parent.resolve(), data_dir.resolve())
    if inside is not None and inside.parts[:1] != ("backups",):
        raise bad_request("path: inside the data directory only its folder backups takes one", "path")


def _below(path: Path, root: Path) -> Path | None:
    return path.relative_to(root) if path.is_relative_to(root) else None


def _remove_partial(partial: Path) -> bool:
    # The row was ours, yet a file by another name, or no plain one, is not what we left.
    if not partial.name.endswith(PARTIAL_SUFFIX) or partial.is_symlink() or not partial.is_file():
        return False
    with contextlib.suppress(OSError):
        partial.unlink()
        return True
    return False
