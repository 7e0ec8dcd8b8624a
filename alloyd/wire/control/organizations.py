"""`/v1/organizations`: found one, show and rename the caller's own."""

from __future__ import annotations

import msgspec

from alloyd.domain.orgs.service import OrgService
from alloyd.domain.users.service import UserService
from alloyd.errors import AlloydError, Code
from alloyd.principal import Kind
from alloyd.wire.control.tenancy import require_own_organization
from alloyd.wire.fields import IdempotencyKey, Name, Slug
from alloyd.wire.idempotency import read_once
from alloyd.wire.identity import OrganizationJson, organization_json
from alloyd.wire.route import SIGNED_IN, Call, Route


class CreateOrganizationBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new organization, whose owner the signed-in user becomes."""

    slug: Slug
    name: Name
    idempotency_key: IdempotencyKey | None = None


class RenameBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new slug, a new name, or both."""

    slug: Slug | None = None
    name: Name | None = None


class Organizations:
    """The handlers of `/v1/organizations`."""

    def __init__(self, orgs: OrgService, users: UserService) -> None:
        self._orgs = orgs
        self._users = users

    async def post_organization(self, call: Call) -> OrganizationJson:
        """Control contract: `POST /v1/organizations`. A key has its one organization, and no owner to be."""
        body: CreateOrganizationBody = call.body
        if call.who.kind is not Kind.USER:
            raise AlloydError(Code.FORBIDDEN, "only a user who signed in can found an organization")
        once = read_once(call, body.idempotency_key)
        return organization_json(await self._users.found_organization(call.who.id, body.slug, body.name, once))

    async def get_organization(self, call: Call) -> OrganizationJson:
        """Control contract: `GET /v1/organizations/{id}`; another's is 404."""
        return organization_json(await self._orgs.get(require_own_organization(call)))

    async def patch_organization(self, call: Call) -> OrganizationJson:
        """`PATCH /v1/organizations/{id}`: another slug or name."""
        body: RenameBody = call.body
        org_id = require_own_organization(call)
        return organization_json(await self._orgs.rename(org_id, slug=body.slug, name=body.name))


def routes(orgs: OrgService, users: UserService) -> list[Route]:
    """The routes of this file."""
    organizations = Organizations(orgs, users)
    return [
        Route(
            "POST",
            "/organizations",
            organizations.post_organization,
            SIGNED_IN,
            "Found an organization; the signed-in user becomes its owner",
            body=CreateOrganizationBody,
            output=OrganizationJson,
            status=201,
            statuses=(403, 409),
            audit_as="organization.create",
        ),
        Route(
            "GET",
            "/organizations/{id}",
            organizations.get_organization,
            "organization.read",
            "One of the caller's organizations",
            output=OrganizationJson,
            statuses=(404,),
            owner=orgs.find_organization,
        ),
        Route(
            "PATCH",
            "/organizations/{id}",
            organizations.patch_organization,
            "organization.update",
            "Give the organization another slug, another name, or both",
            body=RenameBody,
            output=OrganizationJson,
            statuses=(404, 409),
            owner=orgs.find_organization,
        ),
    ]
