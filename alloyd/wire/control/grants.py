"""`/v1/grants`: what single members and keys may do beyond, or short of, their roles."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from alloyd.domain.authz.model import CreateGrant, Effect, StoredGrant
from alloyd.domain.authz.service import GrantService
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import GrantedAction, GrantedPrincipal, GrantedResource, IdempotencyKey
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route


class CreateGrantBody(msgspec.Struct, frozen=True, kw_only=True):
    """A refinement of a role.

    `principal` is `user:<id>`, `api_key:<id>` or the id alone; `action` exact or `<resource>.*`; `resource` narrows it
    to `<type>:<id>` or `<type>:*`.
    """

    principal: GrantedPrincipal
    action: GrantedAction
    effect: Effect
    resource: GrantedResource | None = None
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class GrantQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list; `principal` as in a create."""

    organization_id: str | None = None
    principal: GrantedPrincipal | None = None


class GrantJson(msgspec.Struct, frozen=True, kw_only=True):
    """A grant."""

    id: str
    organization_id: str
    principal: str
    principal_kind: str
    principal_id: str
    action: str
    resource: str | None
    effect: str
    granted_by: str
    created_at: str


class Grants:
    """The handlers of `/v1/grants`."""

    def __init__(self, grants: GrantService, limits: PageLimits) -> None:
        self._grants = grants
        self._pager = Pager("grants", limits, str)

    async def post_grant(self, call: Call) -> GrantJson:
        """`POST /v1/grants`; holds at once."""
        body: CreateGrantBody = call.body
        organization_of(call, body.organization_id)
        new = CreateGrant(body.principal, body.action, body.effect, body.resource)
        return _grant_json(await self._grants.create(call.who, new, read_once(call, body.idempotency_key)))

    async def list_grants(self, call: Call) -> Sequence[GrantJson]:
        """`GET /v1/grants`, newest first."""
        query: GrantQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        before = page.after[0] if page.after else None
        found = await self._grants.list_page(call.who, query.principal, before, page.fetch)
        return [_grant_json(grant) for grant in self._pager.cut(call, page, found, lambda grant: (grant.id,))]

    async def get_grant(self, call: Call) -> GrantJson:
        """`GET /v1/grants/{id}`."""
        return _grant_json(await self._grants.get(call.who, call.param("id")))

    async def delete_grant(self, call: Call) -> GrantJson:
        """`DELETE /v1/grants/{id}`; the answer is what the grant was."""
        return _grant_json(await self._grants.delete(call.who, call.param("id")))


def _grant_json(grant: StoredGrant) -> GrantJson:
    return GrantJson(
        id=grant.id,
        organization_id=grant.org_id,
        principal=str(grant.subject),
        principal_kind=grant.subject.kind.value,
        principal_id=grant.subject.id,
        action=grant.action,
        resource=grant.resource,
        effect=grant.effect.value,
        granted_by=grant.granted_by,
        created_at=rfc3339(grant.created_at),
    )


def routes(grants: GrantService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Grants(grants, limits)
    return [
        Route(
            "POST",
            "/grants",
            api.post_grant,
            "grant.write",
            "Allow or deny a member or a key an action, on one resource or on any",
            body=CreateGrantBody,
            output=GrantJson,
            status=201,
            statuses=(404, 409),
        ),
        Route(
            "GET",
            "/grants",
            api.list_grants,
            "grant.read",
            "The organization's grants, newest first",
            query=GrantQuery,
            output=list[GrantJson],
            statuses=(404,),
        ),
        Route(
            "GET",
            "/grants/{id}",
            api.get_grant,
            "grant.read",
            "One grant",
            output=GrantJson,
            statuses=(404,),
            owner=grants.find_organization,
        ),
        Route(
            "DELETE",
            "/grants/{id}",
            api.delete_grant,
            "grant.write",
            "Take a grant back; holds at once",
            output=GrantJson,
            statuses=(404,),
            owner=grants.find_organization,
        ),
    ]
