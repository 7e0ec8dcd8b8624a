"""The assets that a job's input names: read once, shown to the gateway, and kept as input objects of the job's run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from alloyd.domain.assets.model import Asset
from alloyd.domain.assets.service import AssetService
from alloyd.domain.objects.model import NewObject
from alloyd.domain.objects.service import ObjectService
from alloyd.domain.providers.attachments import (
    ATTACHED_BYTES_MAX,
    Attached,
    replace_attached,
    to_content,
    too_many_bytes,
)
from alloyd.errors import AlloydError, Code
from alloyd.principal import Principal

AT_ONCE: Final = 4  # inputs whose assets are in memory


@dataclass(frozen=True, slots=True)
class Loaded:
    """The contents of an input's assets, by their ids."""

    found: Mapping[str, tuple[Asset, bytes]]
    objects: ObjectService

    def shown(self, given: Any) -> Any:
        """The input as a model is asked. Raises ``bad_request`` with the place of an asset that is no text or image."""

        def content(one: Attached) -> Any:
            asset, content = self.found[one.asset_id]
            return to_content(asset.content_type, content, one.place)

        return replace_attached(given, content)

    async def keep(self, principal: Principal, given: Any, run_id: str) -> Any:
        """Make each asset an input object of ``run_id``; the input with their keys beside the ids.

        They belong to no workflow, as jobs don't. Raises ``unavailable``. Emits ``object.created`` for each.
        """
        made: dict[str, Mapping[str, Any]] = {}
        for asset_id, (asset, content) in self.found.items():
            new = NewObject(
                "input",
                asset.filename,
                asset.content_type,
                run_id=run_id,
                started_by=principal.id,
                bytes_max=ATTACHED_BYTES_MAX,
            )
            made[asset_id] = self.objects.reference(await self.objects.put(principal, new, _whole(content)))
        return replace_attached(given, lambda one: {**one.given, **made[one.asset_id]})


class JobAssets:
    """Assets as jobs use them; an asset may be deleted afterwards, its object stays as long as the run."""

    def __init__(self, assets: AssetService, objects: ObjectService) -> None:
        self._assets = assets
        self._objects = objects
        self._slots = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def load(self, principal: Principal, attached: Sequence[Attached]) -> AsyncIterator[Loaded]:
        """The contents of these assets of the caller's organization, inside the block.

        Raises ``not_found``, ``forbidden``, ``bad_request`` and ``too_large``, each with the field; ``unavailable``.
        """
        async with self._slots:
            found: dict[str, tuple[Asset, bytes]] = {}
            left = ATTACHED_BYTES_MAX
            for one in attached:
                asset_id = one.asset_id
                if asset_id not in found:
                    found[asset_id] = await self._read(principal, one, left)
                    left -= found[asset_id][0].size
            yield Loaded(found, self._objects)

    async def _read(self, principal: Principal, one: Attached, bytes_max: int) -> tuple[Asset, bytes]:
        if not principal.may("asset.read", "asset", one.asset_id):
            raise AlloydError(Code.FORBIDDEN, f"{one.field}: the caller may not read assets", field=one.field)
        try:
            asset = await self._assets.get(principal, one.asset_id)
            if asset.size > bytes_max:
                raise too_many_bytes(one.place)
            async with await self._assets.open(principal, one.asset_id) as file:
                return asset, await file.read(0, asset.size)
        except AlloydError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            raise AlloydError(Code.NOT_FOUND, f"{one.field}: asset not found", field=one.field) from None

    async def forget(self, org_id: str, run_id: str) -> None:
        """Delete what was kept for a run that did not start. Raises ``unavailable``."""
        await self._objects.delete_of_unstarted(org_id, run_id)


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
