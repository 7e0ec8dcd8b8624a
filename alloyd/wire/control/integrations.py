"""``/v1/integrations``: workflows that are offered to end users, grouped by app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.domain.integrations.installations import InstallationService
from alloyd.domain.integrations.model import (
    CATEGORY_CHARS_MAX,
    DESCRIPTION_CHARS_MAX,
    ICON_URL_CHARS_MAX,
    Integration,
    OfferedWorkflow,
)
from alloyd.domain.integrations.service import IntegrationService
from alloyd.kit.clock import rfc3339
from alloyd.kit.text import OPTIONAL_LINE_PATTERN
from alloyd.principal import Principal
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import IdempotencyKey, Name, Slug, told
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route

Category = Annotated[str, told(maxLength=CATEGORY_CHARS_MAX, pattern=OPTIONAL_LINE_PATTERN)]
Description = Annotated[str, told(maxLength=DESCRIPTION_CHARS_MAX, pattern=OPTIONAL_LINE_PATTERN)]
IconUrl = Annotated[
    str,
    told(
        anyOf=[{"format": "uri"}, {"maxLength": 0}],
        maxLength=ICON_URL_CHARS_MAX,
        description="An absolute http or https URL; an empty one is none.",
    ),
]


class CreateIntegrationBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new integration. Its id is `int_` and the slug."""

    slug: Slug
    name: Name
    category: Category | None = None
    icon_url: IconUrl | None = None
    description: Description | None = None
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class UpdateIntegrationBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed; what is not named stays, null takes it away."""

    name: Name | UnsetType = UNSET
    category: Category | UnsetType | None = UNSET
    icon_url: IconUrl | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET


class AddWorkflowBody(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow for an integration, by id or name."""

    workflow_id: str
    idempotency_key: IdempotencyKey | None = None


class IntegrationsQuery(PageQuery, frozen=True, kw_only=True):
    """Whose integrations."""

    organization_id: str | None = None


class IntegrationJson(msgspec.Struct, frozen=True, kw_only=True):
    """An integration."""

    id: str
    organization_id: str
    slug: str
    name: str
    category: str | None
    icon_url: str | None
    description: str | None
    created_by: str
    created_at: str
    updated_at: str


class SpreadJson(msgspec.Struct, frozen=True, kw_only=True):
    """How many installations are at one release of a workflow, and how many of these are active."""

    release: str
    version: int
    installations: int
    active: int


class OfferedWorkflowJson(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow of an integration. `newest_release` is what installing it gives, null for a draft; `installed` says at
    which releases it is installed, the newest version first."""

    workflow_id: str
    name: str
    integration_id: str
    added_at: str
    newest_release: str | None
    installed: list[SpreadJson]


class Integrations:
    """The handlers of `/v1/integrations`."""

    def __init__(
        self, integrations: IntegrationService, installations: InstallationService, limits: PageLimits
    ) -> None:
        self._integrations = integrations
        self._installations = installations
        self._pager = Pager("integrations", limits, int, str)
        self._workflows = Pager("integration_workflows", limits, str)

    async def post_integration(self, call: Call) -> IntegrationJson:
        """`POST /v1/integrations`."""
        body: CreateIntegrationBody = call.body
        organization_of(call, body.organization_id)
        made = await self._integrations.create(
            call.who,
            body.slug,
            body.name,
            category=body.category,
            icon_url=body.icon_url,
            description=body.description,
            once=read_once(call, body.idempotency_key),
        )
        return _json(made)

    async def list_integrations(self, call: Call) -> Sequence[IntegrationJson]:
        """`GET /v1/integrations`, newest first."""
        organization_of(call, call.query.organization_id)
        page = self._pager.read(call.query)
        before = (page.after[0], page.after[1]) if page.after else None
        found = await self._integrations.list_page(call.who, before, page.fetch)
        return [_json(one) for one in self._pager.cut(call, page, found, lambda one: (one.created_at, one.slug))]

    async def get_integration(self, call: Call) -> IntegrationJson:
        """`GET /v1/integrations/{id}`."""
        return _json(await self._integrations.get(call.who, call.param("id")))

    async def patch_integration(self, call: Call) -> IntegrationJson:
        """`PATCH /v1/integrations/{id}`."""
        body: UpdateIntegrationBody = call.body
        changed = await self._integrations.update(
            call.who,
            call.param("id"),
            name=body.name,
            category=body.category,
            icon_url=body.icon_url,
            description=body.description,
        )
        return _json(changed)

    async def delete_integration(self, call: Call) -> IntegrationJson:
        """`DELETE /v1/integrations/{id}`; the answer is what it was."""
        return _json(await self._integrations.delete(call.who, call.param("id")))

    async def list_workflows(self, call: Call) -> Sequence[OfferedWorkflowJson]:
        """`GET /v1/integrations/{id}/workflows`, the newest workflow first."""
        page, id_ = self._workflows.read(call.query), call.param("id")
        before = page.after[0] if page.after else None
        found = await self._integrations.list_workflows(call.who, id_, before, page.fetch)
        kept = self._workflows.cut(call, page, found, lambda one: (one.workflow_id,))
        return await self._show(call.who, kept, id_)

    async def post_workflow(self, call: Call) -> OfferedWorkflowJson:
        """`POST /v1/integrations/{id}/workflows`."""
        body: AddWorkflowBody = call.body
        once, id_ = read_once(call, body.idempotency_key), call.param("id")
        added = await self._integrations.add_workflow(call.who, id_, body.workflow_id, once)
        return (await self._show(call.who, [added], id_))[0]

    async def delete_workflow(self, call: Call) -> OfferedWorkflowJson:
        """`DELETE /v1/integrations/{id}/workflows/{workflow_id}`; the answer is what was taken out."""
        id_ = call.param("id")
        taken = await self._integrations.remove_workflow(call.who, id_, call.param("workflow_id"))
        return (await self._show(call.who, [taken], id_))[0]

    async def _show(
        self, who: Principal, found: Sequence[OfferedWorkflow], integration_id: str
    ) -> list[OfferedWorkflowJson]:
        ids = [one.workflow_id for one in found]
        newest = await self._installations.find_newest(who, ids)
        spread = await self._installations.list_spread(who, ids)
        return [
            OfferedWorkflowJson(
                workflow_id=one.workflow_id,
                name=one.name,
                integration_id=integration_id,
                added_at=rfc3339(one.created_at),
                newest_release=newest.get(one.workflow_id),
                installed=[
                    SpreadJson(
                        release=each.release,
                        version=each.version,
                        installations=each.installations,
                        active=each.active,
                    )
                    for each in spread[one.workflow_id]
                ],
            )
            for one in found
        ]


def _json(one: Integration) -> IntegrationJson:
    return IntegrationJson(
        id=one.id,
        organization_id=one.org_id,
        slug=one.slug,
        name=one.name,
        category=one.category,
        icon_url=one.icon_url,
        description=one.description,
        created_by=one.created_by,
        created_at=rfc3339(one.created_at),
        updated_at=rfc3339(one.updated_at),
    )


def routes(integrations: IntegrationService, installations: InstallationService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Integrations(integrations, installations, limits)
    return [
        Route(
            "POST",
            "/integrations",
            api.post_integration,
            "integration.write",
            "Make an integration",
            body=CreateIntegrationBody,
            output=IntegrationJson,
            status=201,
            statuses=(404, 409),
        ),
        Route(
            "GET",
            "/integrations",
            api.list_integrations,
            "integration.read",
            "List integrations, newest first",
            query=IntegrationsQuery,
            output=list[IntegrationJson],
            statuses=(404,),
        ),
        *_single_routes(api, integrations),
        *_workflow_routes(api, integrations),
    ]


def _single_routes(api: Integrations, integrations: IntegrationService) -> list[Route]:
    one, owner = "/integrations/{id}", integrations.find_organization
    return [
        Route(
            "GET",
            one,
            api.get_integration,
            "integration.read",
            "Show an integration",
            output=IntegrationJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "PATCH",
            one,
            api.patch_integration,
            "integration.write",
            "Change an integration; its slug stays",
            body=UpdateIntegrationBody,
            output=IntegrationJson,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "DELETE",
            one,
            api.delete_integration,
            "integration.write",
            "Delete an integration; its workflows stay, and so do their installations",
            output=IntegrationJson,
            statuses=(404,),
            owner=owner,
        ),
    ]


def _workflow_routes(api: Integrations, integrations: IntegrationService) -> list[Route]:
    stem, owner = "/integrations/{id}/workflows", integrations.find_organization
    return [
        Route(
            "GET",
            stem,
            api.list_workflows,
            "integration.read",
            "The workflows of an integration, the newest first",
            query=PageQuery,
            output=list[OfferedWorkflowJson],
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "POST",
            stem,
            api.post_workflow,
            "integration.write",
            "Put a workflow into an integration",
            body=AddWorkflowBody,
            output=OfferedWorkflowJson,
            status=201,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "DELETE",
            f"{stem}/{{workflow_id}}",
            api.delete_workflow,
            "integration.write",
            "Take a workflow out of an integration; its installations stay",
            output=OfferedWorkflowJson,
            statuses=(404,),
            owner=owner,
        ),
    ]
