"""`/v1/invitations`: invite people to an organization, accept, revoke."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from alloyd.domain.invitations.model import TOKEN_CHARS_MAX, CreateInvitation, Invitation, IssuedInvitation
from alloyd.domain.invitations.service import InvitationService
from alloyd.domain.orgs.service import OrgService
from alloyd.kit.clock import Clock, rfc3339
from alloyd.principal import Role
from alloyd.wire.control.tenancy import organization_of, require_own_organization
from alloyd.wire.fields import Email, IdempotencyKey
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import SIGNED_IN, Call, Route


class CreateInvitationBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who is invited, as what, and into which team.

    The answer to a repeat with the same `idempotency_key` is the same invitation, but `token` is null: it is told once.
    """

    email: Email
    role: Role = Role.MEMBER
    team_id: str | None = None
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class AcceptBody(msgspec.Struct, frozen=True, kw_only=True):
    """The invitation's token; needed unless the signed-in user has the e-mail that was invited."""

    token: Annotated[str, msgspec.Meta(max_length=TOKEN_CHARS_MAX)] | None = None
    idempotency_key: IdempotencyKey | None = None


class InvitationQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list."""

    organization_id: str | None = None


class InvitationJson(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation; never its token."""

    id: str
    organization_id: str
    email: str
    role: str
    team_id: str | None
    status: str
    invited_by: str
    created_at: str
    expires_at: str
    ended_at: str | None
    accepted_by: str | None


class IssuedInvitationJson(InvitationJson, frozen=True, kw_only=True):
    """An invitation just made. `token` is told this once: a repeat of the request answers null in its place."""

    token: str | None


class Invitations:
    """The handlers of `/v1/invitations`."""

    def __init__(self, invitations: InvitationService, clock: Clock, limits: PageLimits) -> None:
        self._invitations = invitations
        self._clock = clock
        self._pager = Pager("invitations", limits, str)

    async def post_invitation(self, call: Call) -> IssuedInvitationJson:
        """Control contract: `POST /v1/invitations`."""
        body: CreateInvitationBody = call.body
        organization_of(call, body.organization_id)
        new = CreateInvitation(body.email, body.role, body.team_id)
        issued: IssuedInvitation = await self._invitations.create(call.who, new, read_once(call, body.idempotency_key))
        return IssuedInvitationJson(**self._members(issued.invitation), token=issued.token)

    async def list_invitations(self, call: Call) -> Sequence[InvitationJson]:
        """`GET /v1/invitations`, newest first, ended ones too."""
        query: InvitationQuery = call.query
        return await self._list(call, organization_of(call, query.organization_id))

    async def list_of_organization(self, call: Call) -> Sequence[InvitationJson]:
        """`GET /v1/organizations/{id}/invitations`, newest first, ended ones too."""
        return await self._list(call, require_own_organization(call))

    async def _list(self, call: Call, org_id: str) -> Sequence[InvitationJson]:
        page = self._pager.read(call.query)
        found = await self._invitations.list_page(org_id, page.after[0] if page.after else None, page.fetch)
        kept = self._pager.cut(call, page, found, lambda invitation: (invitation.id,))
        return [self._show(invitation) for invitation in kept]

    async def get_invitation(self, call: Call) -> InvitationJson:
        """`GET /v1/invitations/{id}`."""
        return self._show(await self._invitations.get(call.who, call.param("id")))

    async def accept_invitation(self, call: Call) -> InvitationJson:
        """Control contract: `POST /v1/invitations/{id}/accept`."""
        body: AcceptBody = call.body
        once = read_once(call, body.idempotency_key, ("token",))
        return self._show(await self._invitations.accept(call.who, call.param("id"), body.token, once))

    async def revoke_invitation(self, call: Call) -> InvitationJson:
        """Control contract: `POST /v1/invitations/{id}/revoke`."""
        return self._show(await self._invitations.revoke(call.who, call.param("id")))

    def _show(self, invitation: Invitation) -> InvitationJson:
        return InvitationJson(**self._members(invitation))

    def _members(self, invitation: Invitation) -> dict[str, Any]:
        return {
            "id": invitation.id,
            "organization_id": invitation.org_id,
            "email": invitation.email,
            "role": invitation.role.value,
            "team_id": invitation.team_id,
            "status": invitation.state(self._clock.now_ms()).value,
            "invited_by": invitation.invited_by,
            "created_at": rfc3339(invitation.created_at),
            "expires_at": rfc3339(invitation.expires_at),
            "ended_at": None if invitation.ended_at is None else rfc3339(invitation.ended_at),
            "accepted_by": invitation.accepted_by,
        }


def routes(invitations: InvitationService, orgs: OrgService, clock: Clock, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Invitations(invitations, clock, limits)
    return [
        Route(
            "POST",
            "/invitations",
            api.post_invitation,
            "organization.invite",
            "Invite somebody; the answer holds the token to accept with this once",
            body=CreateInvitationBody,
            output=IssuedInvitationJson,
            status=201,
            statuses=(404, 409, 429),
        ),
        Route(
            "GET",
            "/invitations",
            api.list_invitations,
            "invitation.read",
            "The organization's invitations, newest first, ended ones too",
            query=InvitationQuery,
            output=list[InvitationJson],
            statuses=(404,),
        ),
        Route(
            "GET",
            "/organizations/{id}/invitations",
            api.list_of_organization,
            "invitation.read",
            "The organization's invitations, newest first, ended ones too",
            query=PageQuery,
            output=list[InvitationJson],
            statuses=(404,),
            owner=orgs.find_organization,
        ),
        Route(
            "GET",
            "/invitations/{id}",
            api.get_invitation,
            "invitation.read",
            "One invitation",
            output=InvitationJson,
            statuses=(404,),
            owner=invitations.find_organization,
        ),
        Route(
            "POST",
            "/invitations/{id}/accept",
            api.accept_invitation,
            SIGNED_IN,
            "Become a member: for the signed-in user of its e-mail, or with its token",
            body=AcceptBody,
            output=InvitationJson,
            statuses=(404, 409),
            audit_as="invitation.accept",
        ),
        Route(
            "POST",
            "/invitations/{id}/revoke",
            api.revoke_invitation,
            "invitation.revoke",
            "End a pending invitation",
            output=InvitationJson,
            statuses=(404, 409),
            owner=invitations.find_organization,
        ),
    ]
