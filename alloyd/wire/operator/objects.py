"""`/operator/objects`: what objects there are, and moving them between the disk and the bucket."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from alloyd.domain.objects.migration import MigrationService
from alloyd.domain.objects.model import StoredObject
from alloyd.domain.objects.service import ObjectService
from alloyd.kit.clock import rfc3339
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import OPERATOR, Call, Route


class MigrateBody(msgspec.Struct, frozen=True):
    """Where to, and after which object; the next call goes on after ``next_id``."""

    to: Literal["local", "s3"]
    after_id: Annotated[str, msgspec.Meta(max_length=64)] = ""


class MigratedJson(msgspec.Struct, frozen=True):
    """What one step moved; damaged objects stay where they are. Without ``next_id`` it was the last."""

    moved: int
    bytes: int
    damaged: list[str]
    next_id: str | None


class BackendJson(msgspec.Struct, frozen=True):
    """What lies in one backend, of all organizations."""

    configured: bool
    files: int
    bytes: int


class PlacesJson(msgspec.Struct, frozen=True):
    """Where objects lie, and where new ones go."""

    backend: str
    local: BackendJson
    s3: BackendJson


class ObjectJson(msgspec.Struct, frozen=True):
    """An object. Who has the key may download it."""

    id: str
    object_key: str
    direction: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    workflow_id: str | None
    run_id: str | None
    created_by: str | None
    backend: str
    created_at: str


class ObjectRoutes:
    """The handlers."""

    def __init__(self, objects: ObjectService, migration: MigrationService, limits: PageLimits) -> None:
        self._objects = objects
        self._migration = migration
        self._pager = Pager("objects", limits, str)

    async def get_places(self, _call: Call) -> PlacesJson:
        """`alloyd objects usage`."""
        return PlacesJson(self._objects.settings.backend, await self._backend("local"), await self._backend("s3"))

    async def _backend(self, name: str) -> BackendJson:
        files, total = await self._objects.count_in(name)
        return BackendJson(name in self._objects.backends, files, total)

    async def list_objects(self, call: Call) -> list[ObjectJson]:
        """`alloyd objects list`."""
        page = self._pager.read(call.query)
        before = page.after[0] if page.after else None
        found = await self._objects.list_page(call.who.org_id, before, page.fetch)
        return [_object_json(stored) for stored in self._pager.cut(call, page, found, lambda stored: (stored.id,))]

    async def post_migrate(self, call: Call) -> MigratedJson:
        """One step of `alloyd objects migrate`."""
        body: MigrateBody = call.body
        done = await self._migration.move_some(body.to, body.after_id)
        return MigratedJson(done.moved, done.bytes, list(done.damaged), done.next_id)


def _object_json(stored: StoredObject) -> ObjectJson:
    return ObjectJson(
        stored.id,
        stored.key,
        stored.direction,
        stored.filename,
        stored.content_type,
        stored.size,
        stored.sha256,
        stored.workflow_id,
        stored.run_id,
        stored.created_by,
        stored.backend,
        rfc3339(stored.created_at),
    )


def routes(objects: ObjectService, migration: MigrationService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = ObjectRoutes(objects, migration, limits)
    return [
        Route("GET", "/objects/places", api.get_places, OPERATOR, "Where objects lie", output=PlacesJson),
        Route(
            "GET",
            "/objects",
            api.list_objects,
            OPERATOR,
            "An organization's objects, newest first",
            query=PageQuery,
            output=list[ObjectJson],
        ),
        Route(
            "POST",
            "/objects/migrate",
            api.post_migrate,
            OPERATOR,
            "Move the next objects to the other backend",
            body=MigrateBody,
            output=MigratedJson,
            statuses=(503,),
            audit_as="object.migrate",
        ),
    ]
