"""``/v1/assets``: upload, download, list and delete files that are named by an id."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec
from aiohttp import web

from alloyd.domain.assets.model import Asset
from alloyd.domain.assets.service import AssetService
from alloyd.domain.storage.model import upload_too_large
from alloyd.domain.storage.service import Reception
from alloyd.errors import bad_request
from alloyd.kit.clock import Clock, rfc3339
from alloyd.wire.bodystream import BodyReader
from alloyd.wire.control.codec import envelope
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.download import answer_download
from alloyd.wire.fields import FileNameOrNone
from alloyd.wire.idempotency import HEADER, read_once_of
from alloyd.wire.multipart import FormReader
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import ANY_TYPE, Call, Route

# What a form may be longer than its file by: boundaries, part headers.
FORM_BYTES_MAX: Final = 64 * 1024
_FORM: Final = "multipart/form-data"
_SEPARATOR = re.compile(r"[/\\]")  # either may come from a Windows client
_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "format": "binary",
    "description": "The content, of the type that Content-Type says; or multipart/form-data with the part `file`.",
}


class UploadQuery(msgspec.Struct, frozen=True):
    """What the body can't say. ``filename`` goes before a form's own."""

    filename: FileNameOrNone | None = None
    organization_id: str | None = None


class AssetQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list."""

    organization_id: str | None = None


class AssetBody(msgspec.Struct):
    """An asset; it never changes."""

    id: str
    organization_id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    created_by: str
    created_at: str


class AssetRoutes:
    """Handlers over the assets service. ``read_timeout_s`` bounds the wait for each next piece of an upload."""

    def __init__(self, assets: AssetService, clock: Clock, limits: PageLimits, read_timeout_s: float) -> None:
        self._assets = assets
        self._clock = clock
        self._pager = Pager("assets", limits, str)
        self._read_timeout_s = read_timeout_s

    async def post_asset(self, call: Call) -> AssetBody:
        """Store what comes, as it comes; a body that breaks off leaves nothing."""
        query: UploadQuery = call.query
        organization_of(call, query.organization_id)
        declared, bytes_max = call.request.content_length, self._assets.bytes_max
        content_type = call.request.headers.get("Content-Type")
        is_form = (content_type or "").partition(";")[0].strip().lower() == _FORM
        if declared is not None and declared > bytes_max + (FORM_BYTES_MAX if is_form else 0):
            raise upload_too_large(bytes_max)
        filename = query.filename
        async with self._assets.receive() as reception:
            if is_form:
                form_name, content_type = await self._read_form(call, reception)
                filename = filename or form_name
            else:
                body = BodyReader(call.request.content, self._read_timeout_s)
                while piece := await body.read():
                    await reception.write(piece)
            once = None
            if HEADER in call.request.headers:
                asked = (filename, content_type, await reception.sha256())
                once = read_once_of(call, hashlib.sha256(msgspec.json.encode(asked)).hexdigest())
            return _body(await self._assets.keep(call.who, reception, filename, content_type, once))

    async def _read_form(self, call: Call, reception: Reception) -> tuple[str | None, str | None]:
        """The name and type of the part ``file``, whose content is received; other parts have no say."""
        found: list[tuple[str | None, str | None]] = []
        async for part in FormReader(call.request, self._read_timeout_s).parts():
            if part.name != "file":
                await part.read(FORM_BYTES_MAX)
                continue
            if found:
                raise bad_request("file: given more than once", "file")
            found.append((part.filename and _SEPARATOR.split(part.filename)[-1], part.content_type))
            async for chunk in part.chunks():
                await reception.write(chunk)
        if not found:
            raise bad_request("file: required", "file")
        return found[0]

    async def get_asset(self, call: Call) -> web.StreamResponse:
        """An asset's bytes, or a range of them."""
        file = await self._assets.open(call.who, call.param("id"))

        def refuse(message: str) -> bytes:
            error = {"code": "bad_request", "message": message, "details": {"field": "Range"}}
            return envelope(self._clock.now_ms(), call.request_id, call, 416, None, error, {})

        return await answer_download(call, file, refuse, inline=True)

    async def list_assets(self, call: Call) -> list[AssetBody]:
        """The organization's assets, newest first."""
        query: AssetQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        found = await self._assets.list_page(call.who, page.after[0] if page.after else None, page.fetch)
        return [_body(asset) for asset in self._pager.cut(call, page, found, lambda asset: (asset.id,))]

    async def delete_asset(self, call: Call) -> AssetBody:
        """Delete an asset."""
        return _body(await self._assets.delete(call.who, call.param("id")))


def _body(asset: Asset) -> AssetBody:
    return AssetBody(
        id=asset.id,
        organization_id=asset.org_id,
        filename=asset.filename,
        content_type=asset.content_type,
        size_bytes=asset.size,
        sha256=asset.sha256,
        created_by=asset.created_by,
        created_at=rfc3339(asset.created_at),
    )


def routes(assets: AssetService, clock: Clock, limits: PageLimits, read_timeout_s: float) -> list[Route]:
    """The routes of assets."""
    handlers = AssetRoutes(assets, clock, limits, read_timeout_s)
    return [
        Route(
            "POST",
            "/assets",
            handlers.post_asset,
            "asset.create",
            "Store a file under an id of its own",
            query=UploadQuery,
            output=AssetBody,
            status=201,
            statuses=(404, 409, 413, 503),
            raw=True,
            request_media_type="application/octet-stream",
            request_schema=_SCHEMA,
        ),
        Route(
            "GET",
            "/assets",
            handlers.list_assets,
            "asset.read",
            "List assets, newest first",
            query=AssetQuery,
            output=list[AssetBody],
            statuses=(404,),
        ),
        Route(
            "GET",
            "/assets/{id}",
            handlers.get_asset,
            "asset.read",
            "Download an asset, or a range of it",
            statuses=(404, 416, 503),
            streams=ANY_TYPE,
            owner=assets.find_organization,
        ),
        Route(
            "DELETE",
            "/assets/{id}",
            handlers.delete_asset,
            "asset.create",
            "Delete an asset",
            output=AssetBody,
            statuses=(404,),
            owner=assets.find_organization,
        ),
    ]
