"""`/v1/objects` and `/v1/storage-usage`: the files of runs, and how much is stored."""

from __future__ import annotations

from functools import partial

import msgspec
from aiohttp import web

from alloyd.domain.objects.model import Direction, StoredObject
from alloyd.domain.objects.service import ObjectService
from alloyd.domain.storage.service import StorageService
from alloyd.kit.clock import Clock, rfc3339
from alloyd.wire.control.codec import envelope
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.download import answer_download
from alloyd.wire.fields import Filter
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import ANY_TYPE, Call, Route

# Lines of the breakdown by workflow; what has none of them is in the sums.
SHARES_MAX = 200


class ObjectQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list: one run's with `workflow_run_id`."""

    workflow_run_id: Filter | None = None
    organization_id: str | None = None


class StorageUsageQuery(msgspec.Struct, frozen=True):
    """Whose."""

    organization_id: str | None = None


class ObjectBody(msgspec.Struct):
    """A file of a run. Its key is not told here: who has it needs no credential."""

    id: str
    organization_id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    direction: Direction
    workflow_id: str | None
    workflow_run_id: str | None
    created_by: str | None
    created_at: str


class FilesBody(msgspec.Struct):
    """Sums of files."""

    size_bytes: int
    files: int


class WorkflowShareBody(FilesBody):
    """What the files of one workflow's runs take."""

    workflow_id: str
    workflow_name: str


class ObjectSumsBody(FilesBody):
    """The files of runs: inputs, outputs, and the workflows that have most."""

    input_bytes: int
    output_bytes: int
    by_workflow: list[WorkflowShareBody]


class StorageUsageBody(msgspec.Struct):
    """What is stored. `disk` has files of storage, assets, what is being deleted, and objects that lie in no bucket."""

    organization_id: str
    disk: FilesBody
    objects: ObjectSumsBody
    upload_bytes_max: int


class ObjectRoutes:
    """The handlers."""

    def __init__(self, objects: ObjectService, storage: StorageService, clock: Clock, limits: PageLimits) -> None:
        self._objects = objects
        self._storage = storage
        self._clock = clock
        self._pager = Pager("objects", limits, str)

    async def list_objects(self, call: Call) -> list[ObjectBody]:
        """The organization's objects, newest first."""
        query: ObjectQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        before = page.after[0] if page.after else None
        found = await self._objects.list_page(call.who.org_id, before, page.fetch, query.workflow_run_id)
        return [_body(stored) for stored in self._pager.cut(call, page, found, lambda stored: (stored.id,))]

    async def get_content(self, call: Call) -> web.StreamResponse:
        """An object's bytes, or a range of them."""
        file = await self._objects.open_own(call.who, call.param("id"))
        return await answer_download(call, file, partial(self._refuse, call))

    def _refuse(self, call: Call, message: str) -> bytes:
        error = {"code": "bad_request", "message": message, "details": {"field": "Range"}}
        return envelope(self._clock.now_ms(), call.request_id, call, 416, None, error, {})

    async def get_usage(self, call: Call) -> StorageUsageBody:
        """What the organization stores, from sums that are kept."""
        query: StorageUsageQuery = call.query
        organization_of(call, query.organization_id)
        stored, made = await self._storage.usage(call.who), await self._objects.usage(call.who.org_id)
        shares = [
            WorkflowShareBody(
                size_bytes=share.bytes,
                files=share.files,
                workflow_id=share.workflow_id,
                workflow_name=share.workflow_name,
            )
            for share in made.workflows[:SHARES_MAX]
        ]
        sums = ObjectSumsBody(
            size_bytes=made.input_bytes + made.output_bytes,
            files=made.files,
            input_bytes=made.input_bytes,
            output_bytes=made.output_bytes,
            by_workflow=shares,
        )
        files = FilesBody(stored.bytes, stored.files)
        return StorageUsageBody(call.who.org_id, files, sums, self._storage.settings.upload_bytes_max)


def _body(stored: StoredObject) -> ObjectBody:
    return ObjectBody(
        id=stored.id,
        organization_id=stored.org_id,
        filename=stored.filename,
        content_type=stored.content_type,
        size_bytes=stored.size,
        sha256=stored.sha256,
        direction=stored.direction,
        workflow_id=stored.workflow_id,
        workflow_run_id=stored.run_id,
        created_by=stored.created_by,
        created_at=rfc3339(stored.created_at),
    )


def routes(objects: ObjectService, storage: StorageService, clock: Clock, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    handlers = ObjectRoutes(objects, storage, clock, limits)
    return [
        Route(
            "GET",
            "/objects",
            handlers.list_objects,
            "storage.read",
            "List the files of runs, newest first",
            query=ObjectQuery,
            output=list[ObjectBody],
            statuses=(404,),
        ),
        Route(
            "GET",
            "/objects/{id}/content",
            handlers.get_content,
            "storage.read",
            "Download a file of a run, or a range of it",
            statuses=(404, 416, 503),
            streams=ANY_TYPE,
            owner=objects.find_organization,
        ),
        Route(
            "GET",
            "/storage-usage",
            handlers.get_usage,
            "storage.read",
            "What files of storage and of runs take",
            query=StorageUsageQuery,
            output=StorageUsageBody,
            statuses=(404,),
        ),
    ]
