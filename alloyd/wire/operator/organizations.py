"""`/operator/organizations`: every organization of this installation."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from alloyd.domain.orgs.service import OrgService
from alloyd.wire.idempotency import read_once
from alloyd.wire.identity import OrganizationJson, organization_json
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import OPERATOR, Call, Route


class CreateOrganizationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new organization."""

    slug: str
    name: str
    idempotency_key: str | None = None


class RenameOrganizationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new slug, a new name, or both."""

    slug: str | None = None
    name: str | None = None


class Organizations:
    """The handlers of `/operator/organizations`; `{id}` is an id or slug."""

    def __init__(self, orgs: OrgService, limits: PageLimits) -> None:
        self._orgs = orgs
        self._pager = Pager("organizations", limits, str)

    async def post_organization(self, call: Call) -> OrganizationJson:
        """`alloyd org create`."""
        body: CreateOrganizationBody = call.body
        once = read_once(call, body.idempotency_key)
        return organization_json(await self._orgs.create(body.slug, body.name, once))

    async def list_organizations(self, call: Call) -> Sequence[OrganizationJson]:
        """`alloyd org list`: newest first, archived ones too."""
        page = self._pager.read(call.query)
        found = await self._orgs.list_all(page.fetch, page.after[0] if page.after else None)
        kept = self._pager.cut(call, page, found, lambda org: (org.id,))
        return [organization_json(org) for org in kept]

    async def get_organization(self, call: Call) -> OrganizationJson:
        """`alloyd org show`."""
        return organization_json(await self._orgs.get_by_name(call.param("id")))

    async def rename_organization(self, call: Call) -> OrganizationJson:
        """`alloyd org rename`."""
        body: RenameOrganizationBody = call.body
        return organization_json(await self._orgs.rename(call.param("id"), slug=body.slug, name=body.name))

    async def archive_organization(self, call: Call) -> OrganizationJson:
        """`alloyd org archive`."""
        return organization_json(await self._orgs.archive(call.param("id")))


def routes(orgs: OrgService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Organizations(orgs, limits)
    return [
        Route(
            "POST",
            "/organizations",
            api.post_organization,
            OPERATOR,
            "Make an organization",
            body=CreateOrganizationBody,
            output=OrganizationJson,
            status=201,
            statuses=(409,),
            audit_as="organization.create",
        ),
        Route(
            "GET",
            "/organizations",
            api.list_organizations,
            OPERATOR,
            "All organizations",
            query=PageQuery,
            output=list[OrganizationJson],
        ),
        Route(
            "GET",
            "/organizations/{id}",
            api.get_organization,
            OPERATOR,
            "One organization",
            output=OrganizationJson,
            statuses=(404,),
        ),
        Route(
            "PATCH",
            "/organizations/{id}",
            api.rename_organization,
            OPERATOR,
            "Rename an organization",
            body=RenameOrganizationBody,
            output=OrganizationJson,
            statuses=(404, 409),
            audit_as="organization.update",
        ),
        Route(
            "POST",
            "/organizations/{id}/archive",
            api.archive_organization,
            OPERATOR,
            "Archive an organization: its keys stop at once and for good",
            output=OrganizationJson,
            statuses=(404,),
            audit_as="organization.archive",
        ),
    ]
