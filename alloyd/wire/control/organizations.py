"""`/v1/organizations`: the caller's own organization."""

from __future__ import annotations

from alloyd.domain.authz.service import Resource, authorize
from alloyd.domain.orgs.service import OrgService
from alloyd.wire.identity import OrganizationJson, organization_json
from alloyd.wire.route import Call, Route


class Organizations:
    """The handlers of `/v1/organizations`."""

    def __init__(self, orgs: OrgService) -> None:
        self._orgs = orgs

    async def get_organization(self, call: Call) -> OrganizationJson:
        """Control contract: `GET /v1/organizations/{id}`; another's is 404."""
        org_id = call.param("id")
        authorize(call.who, "organization.read", Resource("organization", org_id, org_id))
        return organization_json(await self._orgs.get(org_id))


def routes(orgs: OrgService) -> list[Route]:
    """The routes of this file."""
    organizations = Organizations(orgs)
    return [
        Route(
            "GET",
            "/organizations/{id}",
            organizations.get_organization,
            "organization.read",
            "One of the caller's organizations",
            output=OrganizationJson,
            statuses=(404,),
        )
    ]
