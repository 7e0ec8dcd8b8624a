"""Use cases of assets: keep, open, list, delete. Contents are storage's, so sweeping and backups know them."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractAsyncContextManager

from alloyd.db import Database, Tx
from alloyd.domain.assets import store
from alloyd.domain.assets.model import DEFAULT_NAME, Asset
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.storage.model import Blob, FileInfo, choose_mime_type
from alloyd.domain.storage.service import OpenFile, Reception, StorageService
from alloyd.errors import not_found
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.kit.paths import parse_name
from alloyd.principal import Principal

_WHAT = "asset"


class AssetService:
    """The only door to assets."""

    def __init__(self, database: Database, storage: StorageService) -> None:
        self._database = database
        self._storage = storage

    @property
    def bytes_max(self) -> int:
        """The largest asset, in bytes; ``storage.max_upload_bytes``."""
        return self._storage.settings.upload_bytes_max

    def receive(self) -> AbstractAsyncContextManager[Reception]:
        """Take the bytes of an asset; then :meth:`keep` it. See :meth:`StorageService.receive`."""
        return self._storage.receive()

    async def keep(
        self,
        principal: Principal,
        reception: Reception,
        filename: str | None,
        content_type: str | None,
        once: Once | None = None,
    ) -> Asset:
        """Make what was received an asset; durable on return, and goes on to its end when the caller is cancelled.

        A copy of a request, by its key ``once``, gives the first one's asset. Raises ``bad_request`` for a name that is
        none, ``conflict``, ``unavailable``. Emits ``asset.created``.
        """
        name = parse_name(filename or DEFAULT_NAME, "filename")
        org_id, asset_id = principal.org_id, new_id()
        known: list[str] = []

        def write(tx: Tx, blob: Blob) -> Asset | None:
            made = idempotency.find_made(tx, org_id, once)
            if made is not None:
                known.append(made)
                return None
            asset = Asset(
                asset_id,
                org_id,
                name,
                choose_mime_type(content_type, name),
                blob.size,
                blob.sha256,
                blob.id,
                principal.id,
                tx.now,
            )
            store.insert_asset(tx, asset)
            idempotency.remember_made(tx, org_id, once, asset_id)
            told = {"filename": name, "content_type": asset.content_type, "size_bytes": blob.size}
            tx.emit(Event(org_id, "asset.created", asset_id, told))
            return asset

        asset = await self._storage.keep(principal, reception, write)
        return asset if asset is not None else await self.get(principal, known[0])

    async def get(self, principal: Principal, asset_id: str) -> Asset:
        """An asset without its content. Raises ``not_found``."""
        return await self._database.read(lambda conn: _find(conn, principal.org_id, asset_id))

    async def open(self, principal: Principal, asset_id: str) -> OpenFile:
        """An asset's content for reading. Raises ``not_found``, ``unavailable``."""

        def find(conn: sqlite3.Connection) -> FileInfo:
            return _find(conn, principal.org_id, asset_id).to_info()

        return await self._storage.open_found(find)

    async def list_page(self, principal: Principal, before_id: str | None, limit: int) -> list[Asset]:
        """A page of the organization's assets, newest first."""
        return await self._database.read(lambda conn: store.list_page(conn, principal.org_id, before_id, limit))

    async def delete(self, principal: Principal, asset_id: str) -> Asset:
        """Delete an asset; what it was. Raises ``not_found``. Emits ``asset.deleted``."""
        org_id = principal.org_id

        def write(tx: Tx) -> Asset:
            asset = _find(tx.conn, org_id, asset_id)
            store.delete_asset(tx, org_id, asset_id)
            self._storage.let_go(tx, org_id, asset.blob_id, asset.size)
            tx.emit(Event(org_id, "asset.deleted", asset_id, {"filename": asset.filename}))
            return asset

        return await self._database.write(write)

    async def find_organization(self, asset_id: str) -> str | None:
        """Whose asset it is; None when there is none."""
        return await self._database.read(lambda conn: store.find_organization(conn, asset_id))


def _find(conn: sqlite3.Connection, org_id: str, asset_id: str) -> Asset:
    asset = store.find_asset(conn, org_id, asset_id)
    if asset is None:
        raise not_found(_WHAT)
    return asset
