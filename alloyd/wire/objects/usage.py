"""`GET /api/v1/objects/storage-usage`: how much the files of runs take."""

from __future__ import annotations

from typing import Annotated

import msgspec

from alloyd.domain.objects.service import ObjectService
from alloyd.domain.orgs.service import OrgService
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.ids import is_uuid
from alloyd.principal import Role
from alloyd.wire.route import Call, Route


class UsageQuery(msgspec.Struct, frozen=True, rename="camel"):
    """Whose files; everybody's in the organization without ``createdBy``. ``token`` is read before this is."""

    created_by: Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})] | None = None


class ShareJson(msgspec.Struct, frozen=True, rename="camel"):
    """One workflow's files."""

    workflow_id: str
    workflow_name: str
    bytes: int
    file_count: int


class UsageJson(msgspec.Struct, frozen=True, rename="camel"):
    """Sums in bytes; files of no workflow count in them, and have no row in the breakdown."""

    org_key: str
    total_bytes: int
    input_bytes: int
    output_bytes: int
    file_count: int
    breakdown: list[ShareJson]


class UsageRoutes:
    """The handler."""

    def __init__(self, objects: ObjectService, orgs: OrgService) -> None:
        self._objects = objects
        self._orgs = orgs

    async def get_usage(self, call: Call) -> UsageJson:
        """Contract: objects, "Storage usage"."""
        query: UsageQuery = call.query
        who = call.who
        created_by = None if query.created_by is None else query.created_by.lower()
        if created_by is not None:
            if not is_uuid(created_by):
                raise bad_request("createdBy: a UUID is wanted", "createdBy")
            if created_by != who.id and not who.role.includes(Role.ADMIN):
                raise AlloydError(Code.FORBIDDEN, "only an admin may see what another user's files take")
        call.add_header("Referrer-Policy", "no-referrer")  # a token may stand in the URL
        org = await self._orgs.get(who.org_id)
        found = await self._objects.usage(org.id, created_by)
        return UsageJson(
            org.slug,
            found.input_bytes + found.output_bytes,
            found.input_bytes,
            found.output_bytes,
            found.files,
            [ShareJson(share.workflow_id, share.workflow_name, share.bytes, share.files) for share in found.workflows],
        )


def usage_routes(objects: ObjectService, orgs: OrgService) -> list[Route]:
    """The route."""
    handlers = UsageRoutes(objects, orgs)
    return [
        Route(
            "GET",
            "/storage-usage",
            handlers.get_usage,
            "storage.read",
            "What the files of runs take, by workflow",
            query=UsageQuery,
            output=UsageJson,
            statuses=(404,),
        )
    ]
