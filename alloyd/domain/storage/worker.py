"""The sweeper: takes deleted folders apart in small steps, and removes contents that no row names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alloyd.db import Database
from alloyd.domain.storage import store
from alloyd.domain.storage.blobs import BlobStore
from alloyd.errors import AlloydError
from alloyd.log import get_logger

log = get_logger("alloyd.storage")

# Rows of one transaction: small, since everybody's writes wait behind it.
TRASH_ROWS_MAX = 500
UNLINKS_MAX = 200
ORPHANS_PAGE = 1000


class StorageSweeper:
    """One for the daemon. :meth:`run` is its loop; :meth:`wake` is to be called when there is something to sweep."""

    def __init__(self, database: Database, blobs: BlobStore, interval_s: float) -> None:
        self._database = database
        self._blobs = blobs
        self._interval_s = interval_s
        self._awake = asyncio.Event()
        self._unlinking = asyncio.Lock()
        self._holds = 0
        self._unheld = asyncio.Event()
        self._unheld.set()

    def wake(self) -> None:
        """There is something to sweep."""
        self._awake.set()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """While inside, no content is removed: a backup copies what its snapshot names."""
        async with self._unlinking:  # wait for the batch that is being removed now
            self._holds += 1
            self._unheld.clear()
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                self._unheld.set()
                self.wake()

    async def run(self) -> None:
        """Sweep for ever: first what an earlier process left, then whenever woken, and every ``interval_s``."""
        cleaned = False
        while True:
            self._awake.clear()
            try:
                if not cleaned:
                    await self.clean_up()
                    cleaned = True
                await self.sweep()
            except AlloydError as error:  # the disk is full or fails: again at the next round
                log.error("sweeping storage failed", reason=error.log or error.message)
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def sweep(self) -> int:
        """Empty the trash and remove the contents let go of; how many contents. Raises ``unavailable``."""
        while await self._database.write(lambda tx: store.take_apart_trash(tx, TRASH_ROWS_MAX)):
            pass
        removed = 0
        while count := await self._remove_some():
            removed += count
        return removed

    async def settle(self) -> None:
        """:meth:`sweep`, after a backup that keeps contents from being removed."""
        while True:
            await self._unheld.wait()
            await self.sweep()
            if not self._holds:
                return

    async def _remove_some(self) -> int:
        async with self._unlinking:
            if self._holds:
                return 0
            unused = await self._database.read(lambda conn: store.list_unused_blobs(conn, UNLINKS_MAX))
            if unused:
                # The file first: a crash in between leaves a row that leads here again, not a file without one.
                await self._blobs.unlink([blob_id for _org_id, blob_id in unused])
                await self._database.write(lambda tx: store.delete_blobs(tx, unused))
            return len(unused)

    async def clean_up(self) -> int:
        """Remove what an earlier process left in tmp/, and contents that it did not come to name; how many those."""
        leftovers = await self._blobs.remove_leftovers()
        orphans = 0
        for shard in await self._blobs.list_shards():
            ids = await self._blobs.list_shard(shard)
            for start in range(0, len(ids), ORPHANS_PAGE):
                orphans += await self._remove_orphans(ids[start : start + ORPHANS_PAGE])
        if leftovers or orphans:
            log.info("removed what an earlier process left", tmp=leftovers, blobs=orphans)
        return orphans

    async def _remove_orphans(self, ids: list[str]) -> int:
        while True:
            await self._unheld.wait()
            async with self._unlinking:
                if self._holds:
                    continue
                # In this order: who was not in flight before the rows were read has a row by then, or never will.
                in_flight = set(self._blobs.in_flight)
                named = await self._database.read(lambda conn: store.find_named_blobs(conn, ids))
                orphans = [blob_id for blob_id in ids if blob_id not in named and blob_id not in in_flight]
                await self._blobs.unlink(orphans)
                return len(orphans)
