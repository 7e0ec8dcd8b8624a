"""`/v1/organizations/{id}/members`: who belongs to an organization, and as what."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from alloyd.domain.orgs.service import OrgService
from alloyd.domain.users.members import Members
from alloyd.domain.users.model import Member
from alloyd.kit.clock import rfc3339
from alloyd.principal import Role
from alloyd.wire.control.tenancy import require_own_organization
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route


class MemberJson(msgspec.Struct, frozen=True, kw_only=True):
    """A member of an organization."""

    user_id: str
    email: str
    display_name: str
    role: str
    joined_at: str
    disabled: bool


class RoleBody(msgspec.Struct, frozen=True, kw_only=True):
    """Another role, at most the caller's own."""

    role: Role


class OrganizationMembers:
    """The handlers of `/v1/organizations/{id}/members`."""

    def __init__(self, members: Members, limits: PageLimits) -> None:
        self._members = members
        self._pager = Pager("members", limits, int, str)

    async def list_members(self, call: Call) -> Sequence[MemberJson]:
        """Control contract: `GET /v1/organizations/{id}/members`, who joined last first."""
        require_own_organization(call)
        query: PageQuery = call.query
        page = self._pager.read(query)
        after = None if page.after is None else (int(page.after[0]), str(page.after[1]))
        found = await self._members.list_all(call.who, page.fetch, after)
        kept = self._pager.cut(call, page, found, lambda member: (member.joined_at, member.user_id))
        return [_member_json(member) for member in kept]

    async def patch_member(self, call: Call) -> MemberJson:
        """`PATCH /v1/organizations/{id}/members/{user_id}`."""
        require_own_organization(call)
        body: RoleBody = call.body
        return _member_json(await self._members.set_role(call.who, call.param("user_id"), body.role))

    async def delete_member(self, call: Call) -> MemberJson:
        """`DELETE /v1/organizations/{id}/members/{user_id}`; the answer is what the member was."""
        require_own_organization(call)
        return _member_json(await self._members.expel(call.who, call.param("user_id")))


def _member_json(member: Member) -> MemberJson:
    return MemberJson(
        user_id=member.user_id,
        email=member.email,
        display_name=member.display_name,
        role=member.role.value,
        joined_at=rfc3339(member.joined_at),
        disabled=member.disabled,
    )


def routes(members: Members, orgs: OrgService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = OrganizationMembers(members, limits)
    owner = orgs.find_organization
    return [
        Route(
            "GET",
            "/organizations/{id}/members",
            api.list_members,
            "member.read",
            "Who belongs to the organization",
            query=PageQuery,
            output=list[MemberJson],
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "PATCH",
            "/organizations/{id}/members/{user_id}",
            api.patch_member,
            "member.update",
            "Give a member another role, at most one's own",
            body=RoleBody,
            output=MemberJson,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "DELETE",
            "/organizations/{id}/members/{user_id}",
            api.delete_member,
            "member.update",
            "Take a member out of the organization",
            output=MemberJson,
            statuses=(404, 409),
            owner=owner,
        ),
    ]
