"""`/v1/teams`: an organization's teams, and who is in them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from alloyd.domain.orgs.service import OrgService
from alloyd.domain.teams.model import Team, TeamMember
from alloyd.domain.teams.service import TeamService
from alloyd.kit.clock import rfc3339
from alloyd.principal import Role
from alloyd.wire.control.tenancy import organization_of, require_own_organization
from alloyd.wire.fields import IdempotencyKey, Name, Slug
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import SIGNED_IN, Call, Route


class CreateTeamBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new team."""

    slug: Slug
    name: Name
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class RenameTeamBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new slug, a new name, or both."""

    slug: Slug | None = None
    name: Name | None = None


class AddTeamMemberBody(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the organization for the team. `role` is one of their own in the team; without it they have none."""

    user_id: str
    role: Role | None = None
    idempotency_key: IdempotencyKey | None = None


class TeamRoleBody(msgspec.Struct, frozen=True, kw_only=True):
    """The role of their own that a member has in the team; null for none."""

    role: Role | None = None


class TeamJson(msgspec.Struct, frozen=True, kw_only=True):
    """A team."""

    id: str
    organization_id: str
    slug: str
    name: str
    created_by: str
    created_at: str
    updated_at: str


class OwnTeamJson(TeamJson, frozen=True, kw_only=True):
    """A team the caller is in, with the role that counts there."""

    role: str


class TeamMemberJson(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a team. `role` is what counts there, the higher of `team_role` and `organization_role`."""

    team_id: str
    user_id: str
    email: str
    display_name: str
    role: str
    team_role: str | None
    organization_role: str
    joined_at: str


class Teams:
    """The handlers of `/v1/teams`."""

    def __init__(self, teams: TeamService, limits: PageLimits) -> None:
        self._teams = teams
        self._pager = Pager("teams", limits, str)
        self._own = Pager("my_teams", limits, str)
        self._members = Pager("team_members", limits, str)

    async def post_team(self, call: Call) -> TeamJson:
        """Control contract: `POST /v1/teams`."""
        body: CreateTeamBody = call.body
        organization_of(call, body.organization_id)
        once = read_once(call, body.idempotency_key)
        return _team_json(await self._teams.create(call.who, body.slug, body.name, once))

    async def list_teams(self, call: Call) -> Sequence[TeamJson]:
        """Control contract: `GET /v1/organizations/{id}/teams`, newest first."""
        org_id = require_own_organization(call)
        page = self._pager.read(call.query)
        found = await self._teams.list_page(org_id, page.after[0] if page.after else None, page.fetch)
        return [_team_json(team) for team in self._pager.cut(call, page, found, lambda team: (team.id,))]

    async def list_own(self, call: Call) -> Sequence[OwnTeamJson]:
        """Control contract: `GET /v1/me/teams`, newest first."""
        page = self._own.read(call.query)
        found = await self._teams.list_own(call.who, page.after[0] if page.after else None, page.fetch)
        kept = self._own.cut(call, page, found, lambda own: (own.team.id,))
        return [OwnTeamJson(**msgspec.structs.asdict(_team_json(own.team)), role=own.role.value) for own in kept]

    async def get_team(self, call: Call) -> TeamJson:
        """Control contract: `GET /v1/teams/{id}`."""
        return _team_json(await self._teams.get(call.who, call.param("id")))

    async def patch_team(self, call: Call) -> TeamJson:
        """`PATCH /v1/teams/{id}`: another slug or name."""
        body: RenameTeamBody = call.body
        return _team_json(await self._teams.rename(call.who, call.param("id"), slug=body.slug, name=body.name))

    async def delete_team(self, call: Call) -> TeamJson:
        """`DELETE /v1/teams/{id}`; the answer is what the team was."""
        return _team_json(await self._teams.delete(call.who, call.param("id")))

    async def list_members(self, call: Call) -> Sequence[TeamMemberJson]:
        """`GET /v1/teams/{id}/members`, the newest users first."""
        page = self._members.read(call.query)
        before = page.after[0] if page.after else None
        found = await self._teams.list_members(call.who, call.param("id"), before, page.fetch)
        return [_member_json(each) for each in self._members.cut(call, page, found, lambda each: (each.user_id,))]

    async def post_member(self, call: Call) -> TeamMemberJson:
        """`POST /v1/teams/{id}/members`; who is in it already gets the role."""
        body: AddTeamMemberBody = call.body
        once = read_once(call, body.idempotency_key)
        return _member_json(await self._teams.set_member(call.who, call.param("id"), body.user_id, body.role, once))

    async def put_member(self, call: Call) -> TeamMemberJson:
        """`PUT /v1/teams/{id}/members/{user_id}`."""
        body: TeamRoleBody = call.body
        found = await self._teams.set_member(call.who, call.param("id"), call.param("user_id"), body.role)
        return _member_json(found)

    async def delete_member(self, call: Call) -> TeamMemberJson:
        """`DELETE /v1/teams/{id}/members/{user_id}`; the answer is what the member was."""
        return _member_json(await self._teams.remove_member(call.who, call.param("id"), call.param("user_id")))


def _team_json(team: Team) -> TeamJson:
    return TeamJson(
        id=team.id,
        organization_id=team.org_id,
        slug=team.slug,
        name=team.name,
        created_by=team.created_by,
        created_at=rfc3339(team.created_at),
        updated_at=rfc3339(team.updated_at),
    )


def _member_json(member: TeamMember) -> TeamMemberJson:
    return TeamMemberJson(
        team_id=member.team_id,
        user_id=member.user_id,
        email=member.email,
        display_name=member.display_name,
        role=member.role.value,
        team_role=None if member.own_role is None else member.own_role.value,
        organization_role=member.org_role.value,
        joined_at=rfc3339(member.created_at),
    )


def routes(teams: TeamService, orgs: OrgService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Teams(teams, limits)
    return [
        Route(
            "POST",
            "/teams",
            api.post_team,
            "team.create",
            "Make a team",
            body=CreateTeamBody,
            output=TeamJson,
            status=201,
            statuses=(404, 409),
        ),
        Route(
            "GET",
            "/organizations/{id}/teams",
            api.list_teams,
            "team.read",
            "The organization's teams, newest first",
            query=PageQuery,
            output=list[TeamJson],
            statuses=(404,),
            owner=orgs.find_organization,
        ),
        Route(
            "GET",
            "/me/teams",
            api.list_own,
            SIGNED_IN,
            "The teams the caller is in, with the role that counts in each",
            query=PageQuery,
            output=list[OwnTeamJson],
        ),
        *_by_id(api, teams),
    ]


def _by_id(api: Teams, teams: TeamService) -> list[Route]:
    owner = teams.find_organization
    return [
        Route(
            "GET",
            "/teams/{id}",
            api.get_team,
            "team.read",
            "One team",
            output=TeamJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "PATCH",
            "/teams/{id}",
            api.patch_team,
            "team.update",
            "Give a team another slug, another name, or both",
            body=RenameTeamBody,
            output=TeamJson,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "DELETE",
            "/teams/{id}",
            api.delete_team,
            "team.delete",
            "Delete a team; its members stay in the organization, pending invitations into it end",
            output=TeamJson,
            statuses=(404, 409),
            owner=owner,
        ),
        *_of_members(api, teams),
    ]


def _of_members(api: Teams, teams: TeamService) -> list[Route]:
    owner = teams.find_organization
    members = "/teams/{id}/members"
    return [
        Route(
            "GET",
            members,
            api.list_members,
            "team.read",
            "Who is in a team",
            query=PageQuery,
            output=list[TeamMemberJson],
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "POST",
            members,
            api.post_member,
            "team.update",
            "Make a member of the organization one of the team, with or without a role of their own there",
            body=AddTeamMemberBody,
            output=TeamMemberJson,
            status=201,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "PUT",
            f"{members}/{{user_id}}",
            api.put_member,
            "team.update",
            "Make a member of the organization one of the team, or give the member another role there",
            body=TeamRoleBody,
            output=TeamMemberJson,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "DELETE",
            f"{members}/{{user_id}}",
            api.delete_member,
            "team.update",
            "Take a member out of a team",
            output=TeamMemberJson,
            statuses=(404,),
            owner=owner,
        ),
    ]
