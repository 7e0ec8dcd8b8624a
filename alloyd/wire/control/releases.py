"""``/v1/workflow-definitions/{id}/releases``: names that versions have for good."""

from __future__ import annotations

from typing import Annotated

import msgspec

from alloyd.domain.workflows.model import Release
from alloyd.domain.workflows.releases import ReleaseService
from alloyd.domain.workflows.service import WorkflowService
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.workflow_definitions import VERSION_MAX
from alloyd.wire.fields import IdempotencyKey, ReleaseLabel
from alloyd.wire.idempotency import read_once
from alloyd.wire.route import Call, Route


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A label, and which version it names: without `version` the newest published one."""

    release: ReleaseLabel
    version: Annotated[int, msgspec.Meta(ge=1, le=VERSION_MAX)] | None = None
    idempotency_key: IdempotencyKey | None = None


class ReleaseBody(msgspec.Struct, frozen=True):
    """A label that names one version for good."""

    release: str
    version: int
    workflow_id: str
    created_by: str
    created_at: str


class ReleaseRoutes:
    """Handlers over the releases service."""

    def __init__(self, releases: ReleaseService) -> None:
        self._releases = releases

    async def post_release(self, call: Call) -> ReleaseBody:
        """Name a version."""
        body: ReleaseRequest = call.body
        once = read_once(call, body.idempotency_key)
        return _release(await self._releases.release(call.who, call.param("id"), body.release, body.version, once))

    async def list_releases(self, call: Call) -> list[ReleaseBody]:
        """Every name that versions of a workflow have, newest first."""
        return [_release(found) for found in await self._releases.list_all(call.who, call.param("id"))]


def _release(found: Release) -> ReleaseBody:
    return ReleaseBody(found.label, found.version, found.workflow_id, found.created_by, rfc3339(found.created_at))


def routes(releases: ReleaseService, workflows: WorkflowService) -> list[Route]:
    """The routes of this file."""
    handlers = ReleaseRoutes(releases)
    stem = "/workflow-definitions"
    return [
        Route(
            "POST",
            f"{stem}/{{id}}/releases",
            handlers.post_release,
            "workflow.write",
            "Name a version for good; the same name for the same version changes nothing",
            body=ReleaseRequest,
            output=ReleaseBody,
            status=201,
            statuses=(404, 409),
            owner=workflows.find_organization,
        ),
        Route(
            "GET",
            f"{stem}/{{id}}/releases",
            handlers.list_releases,
            "workflow.read",
            "The names of a workflow's versions, newest first",
            output=list[ReleaseBody],
            statuses=(404,),
            owner=workflows.find_organization,
        ),
    ]
