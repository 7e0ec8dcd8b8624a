"""Objects on the local disk: storage's blobs, so that its sweeper and the backups know them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from alloyd.db import Tx
from alloyd.domain.objects import store
from alloyd.domain.objects.backend import to_info
from alloyd.domain.objects.model import BackendName, Placed, StoredObject
from alloyd.domain.storage.model import Blob, FileInfo
from alloyd.domain.storage.service import OpenFile, StorageService
from alloyd.principal import system_principal

T = TypeVar("T")


class LocalBackend:
    """The default. A download is served by alloyd itself."""

    name: BackendName = "local"

    def __init__(self, storage: StorageService) -> None:
        self._storage = storage

    async def put(
        self,
        org_id: str,
        chunks: AsyncIterator[bytes],
        bytes_max: int,
        filename: str,  # the bucket tells it to browsers; here the row does
        content_type: str,
        write: Callable[[Tx, Placed], T | None],
    ) -> T | None:
        """See :class:`ObjectBackend`."""

        def name(tx: Tx, blob: Blob) -> T | None:
            return write(tx, Placed(blob.id, blob.size, blob.sha256))

        async with self._storage.receive(bytes_max) as reception:
            async for chunk in chunks:
                await reception.write(chunk)
            return await self._storage.keep(system_principal(org_id), reception, name)

    def let_go(self, tx: Tx, stored: StoredObject) -> None:
        """See :class:`ObjectBackend`."""
        self._storage.let_go(tx, stored.org_id, stored.place, stored.size)

    async def open(self, stored: StoredObject) -> OpenFile:
        """See :class:`ObjectBackend`."""

        def find(conn: sqlite3.Connection) -> FileInfo:
            found = store.find_by_key(conn, stored.key)
            if found is None or found.backend != self.name:
                raise FileNotFoundError
            return to_info(found)

        return await self._storage.open_found(find)

    async def presign(self, stored: StoredObject, method: str, ttl_s: int) -> str | None:
        """See :class:`ObjectBackend`."""
        return None
