"""`/v1/me`: who the caller is, where it belongs, and what it may do there."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from alloyd.domain.authz.service import decide
from alloyd.domain.keys.service import KeyService
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.users.service import UserService
from alloyd.principal import ACTIONS, Kind, Principal, Standing
from alloyd.wire.identity import OrganizationJson, organization_json
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import SIGNED_IN, Call, Route


class MeJson(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The caller. A key has no e-mail; its name stands for the display name. A user may belong to no organization."""

    principal_id: str
    kind: str
    authenticated: bool
    organization_id: str | None
    role: str | None
    scopes: tuple[str, ...]
    team_id: str | None = None
    platform_admin: bool = False
    email: str | None = None
    display_name: str | None = None


class OwnOrganizationJson(OrganizationJson, frozen=True, kw_only=True):
    """An organization with the caller's role there."""

    role: str


class PermissionsJson(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller may do in one organization, where no particular resource is named."""

    organization_id: str
    team_id: str | None
    role: str
    actions: tuple[str, ...]


class Me:
    """The handlers of `/v1/me`."""

    def __init__(self, keys: KeyService, users: UserService, orgs: OrgService, limits: PageLimits) -> None:
        self._keys = keys
        self._users = users
        self._orgs = orgs
        self._organizations = Pager("my_organizations", limits, str)
        self._permissions = Pager("my_permissions", limits, str)

    async def get_me(self, call: Call) -> MeJson:
        """Control contract: `GET /v1/me`."""
        who = call.who
        email, name = await self._names_of(who)
        return MeJson(
            principal_id=who.id,
            kind=who.kind.value,
            authenticated=True,
            organization_id=who.org_id or None,
            role=who.role.value if who.org_id else None,
            team_id=who.team_id,
            platform_admin=who.platform_admin,
            scopes=tuple(sorted(who.scopes)),
            email=email,
            display_name=name,
        )

    async def _names_of(self, who: Principal) -> tuple[str | None, str]:
        if who.kind is Kind.KEY:
            return None, (await self._keys.get(who, who.id)).name
        if who.kind is Kind.USER:
            user = await self._users.get_by_name(who.id)
            return user.email, user.display_name
        return None, who.id

    async def list_organizations(self, call: Call) -> Sequence[OwnOrganizationJson]:
        """Control contract: `GET /v1/me/organizations`, the newest organization first."""
        shown = _page(call, self._organizations)
        found = await self._orgs.list_of([standing.org_id for standing in shown])
        roles = {standing.org_id: standing.role for standing in shown}
        return [
            OwnOrganizationJson(**msgspec.structs.asdict(organization_json(org)), role=roles[org.id].value)
            for org in found
        ]

    async def list_permissions(self, call: Call) -> Sequence[PermissionsJson]:
        """Control contract: `GET /v1/me/permissions`."""
        return [_permissions_in(call.who, standing) for standing in _page(call, self._permissions)]


def _page(call: Call, pager: Pager) -> Sequence[Standing]:
    """A page of the caller's organizations, the newest one first."""
    who, query = call.who, call.query
    page = pager.read(query)
    own = who.standings or ((Standing(who.org_id, who.role),) if who.org_id else ())
    ordered = sorted(own, key=lambda standing: standing.org_id, reverse=True)
    behind = [standing for standing in ordered if page.after is None or standing.org_id < page.after[0]]
    return pager.cut(call, page, behind[: page.fetch], lambda standing: (standing.org_id,))


def _permissions_in(who: Principal, standing: Standing) -> PermissionsJson:
    there = who.within(standing.org_id) or who
    return PermissionsJson(
        organization_id=standing.org_id,
        team_id=there.team_id,
        role=standing.role.value,
        actions=tuple(sorted(action for action in ACTIONS if decide(there, action).allowed)),
    )


def routes(keys: KeyService, users: UserService, orgs: OrgService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    me = Me(keys, users, orgs, limits)
    return [
        Route("GET", "/me", me.get_me, SIGNED_IN, "Who the caller is", output=MeJson),
        Route(
            "GET",
            "/me/organizations",
            me.list_organizations,
            SIGNED_IN,
            "The caller's organizations, with the role in each",
            query=PageQuery,
            output=list[OwnOrganizationJson],
        ),
        Route(
            "GET",
            "/me/permissions",
            me.list_permissions,
            SIGNED_IN,
            "What the caller may do in each organization",
            query=PageQuery,
            output=list[PermissionsJson],
        ),
    ]
