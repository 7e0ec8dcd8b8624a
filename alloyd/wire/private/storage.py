"""Storage routes of the private contract: /api/private/storage."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web

from alloyd.domain.storage.model import Listing
from alloyd.domain.storage.service import StorageService
from alloyd.errors import bad_request
from alloyd.kit.paths import NAME_BYTES_MAX
from alloyd.wire.download import answer_download
from alloyd.wire.fields import BelowRoot, FileName, StoragePath
from alloyd.wire.idempotency import HEADER, read_once, read_once_of
from alloyd.wire.multipart import FormReader
from alloyd.wire.private.upload import UploadForm, check_declared_length
from alloyd.wire.route import ANY_TYPE, Call, Route
from alloyd.wire.success import error_body

LIST_LIMIT_MAX: Final = 1_000_000

_UPLOAD_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "The content; its filename is the name."},
        "path": {"type": "string", "default": "/", "description": "The folder; missing ones are made."},
    },
}


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Query of the listing."""

    path: StoragePath = "/"
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_LIMIT_MAX)] | None = None
    cursor: str | None = None
    prefix: Annotated[str, msgspec.Meta(max_length=NAME_BYTES_MAX, description="Only names that begin so.")] | None = (
        None
    )


class PathQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Query that names one file or folder."""

    path: BelowRoot


class NewFolder(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /folder``: ``name`` in the folder ``path``."""

    name: FileName
    path: StoragePath = "/"


class Rename(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /rename``."""

    path: BelowRoot
    new_name: FileName


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``POST /move``: ``dest_path`` is the folder that it goes into."""

    source_path: BelowRoot
    dest_path: StoragePath


class Where(msgspec.Struct, frozen=True):
    """Answer of every change: the canonical path."""

    path: str


class Meta(msgspec.Struct, frozen=True):
    """A file's meta data; ``hash`` is SHA-256 in hex."""

    path: str
    name: str
    size: int
    created_at: str
    modified_at: str
    hash: str
    mime_type: str


class StorageRoutes:
    """The handlers. ``read_timeout_s`` bounds the wait for each next piece of an upload."""

    def __init__(self, storage: StorageService, read_timeout_s: float) -> None:
        self._storage = storage
        self._read_timeout_s = read_timeout_s

    async def list_folder(self, call: Call) -> msgspec.Raw:
        query: ListQuery = call.query
        return await self._storage.list_folder_json(
            call.who, query.path, limit=query.limit, cursor=query.cursor, prefix=query.prefix
        )

    async def get_meta(self, call: Call) -> Any:
        return (await self._storage.get_file(call.who, call.query.path)).to_meta()

    async def get_download(self, call: Call) -> web.StreamResponse:
        file = await self._storage.open_file(call.who, call.query.path)
        return await answer_download(call, file, partial(error_body, "range_not_satisfiable"))

    async def post_upload(self, call: Call) -> Where:
        check_declared_length(call, self._storage.settings.upload_bytes_max)
        only_new = _read_only_new(call)
        form = FormReader(call.request, self._read_timeout_s)
        async with self._storage.receive() as reception:
            fields = UploadForm()
            path = await fields.read(form, reception)
            once = None
            if HEADER in call.request.headers:
                asked = (str(path), fields.mime_type, await reception.sha256())
                once = read_once_of(call, hashlib.sha256(msgspec.json.encode(asked)).hexdigest())
            await self._storage.place(call.who, reception, path, fields.mime_type, once, only_new=only_new)
        return Where(str(path))

    async def delete_file(self, call: Call) -> Where:
        return Where(await self._storage.delete(call.who, call.query.path))

    async def post_folder(self, call: Call) -> Where:
        body: NewFolder = call.body
        return Where(str(await self._storage.make_folder(call.who, body.name, body.path, read_once(call))))

    async def post_rename(self, call: Call) -> Where:
        body: Rename = call.body
        return Where(str(await self._storage.rename(call.who, body.path, body.new_name, read_once(call))))

    async def post_move(self, call: Call) -> Where:
        body: Move = call.body
        return Where(str(await self._storage.move(call.who, body.source_path, body.dest_path, read_once(call))))


def _read_only_new(call: Call) -> bool:
    """Whether a file that is there already is to stay as it is: `If-None-Match: *`. Raises ``bad_request``."""
    given = call.request.headers.getall("If-None-Match", [])
    if given and given != ["*"]:
        raise bad_request("If-None-Match: only * is known here: store the file if there is none", "If-None-Match")
    return bool(given)


def routes(storage: StorageService, read_timeout_s: float) -> list[Route]:
    """The routes below ``/storage`` (private contract: Storage)."""
    handlers = StorageRoutes(storage, read_timeout_s)
    return [
        Route(
            "GET",
            "/storage",
            handlers.list_folder,
            "storage.read",
            "List a folder's files and folders",
            query=ListQuery,
            output=Listing,
            statuses=(404,),
        ),
        Route(
            "POST",
            "/storage/upload",
            handlers.post_upload,
            "storage.write",
            "Store a file",
            output=Where,
            statuses=(409, 413, 503),
            raw=True,
            request_media_type="multipart/form-data",
            request_schema=_UPLOAD_SCHEMA,
        ),
        Route(
            "GET",
            "/storage/meta",
            handlers.get_meta,
            "storage.read",
            "Get a file's meta data",
            query=PathQuery,
            output=Meta,
            statuses=(404,),
        ),
        Route(
            "DELETE",
            "/storage/file",
            handlers.delete_file,
            "storage.write",
            "Delete a file or a whole folder",
            query=PathQuery,
            output=Where,
            statuses=(404,),
        ),
        Route(
            "GET",
            "/storage/download",
            handlers.get_download,
            "storage.read",
            "Download a file, or a range of it",
            query=PathQuery,
            statuses=(404, 416, 503),
            streams=ANY_TYPE,
        ),
        Route(
            "POST",
            "/storage/folder",
            handlers.post_folder,
            "storage.write",
            "Make a folder",
            body=NewFolder,
            output=Where,
            statuses=(409,),
        ),
        Route(
            "POST",
            "/storage/rename",
            handlers.post_rename,
            "storage.write",
            "Give a file or folder another name",
            body=Rename,
            output=Where,
            statuses=(404, 409),
        ),
        Route(
            "POST",
            "/storage/move",
            handlers.post_move,
            "storage.write",
            "Move a file or folder into another folder",
            body=Move,
            output=Where,
            statuses=(404, 409),
        ),
    ]
