"""Use cases of invitations: invite, show, accept, revoke."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from hmac import compare_digest

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.invitations import model, store
from alloyd.domain.invitations.model import (
    HOUR_MS,
    CreateInvitation,
    Invitation,
    InvitationSettings,
    InvitationState,
    IssuedInvitation,
)
from alloyd.domain.orgs import service as orgs
from alloyd.domain.teams.service import TeamService, require_team
from alloyd.domain.users import service as users
from alloyd.domain.users.members import Members, find_membership
from alloyd.domain.users.model import normalize_email
from alloyd.errors import AlloydError, Code, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.principal import Kind, Principal, Role

_NO_HASH = bytes(32)


class InvitationService:
    """The only door to invitations.

    One is accepted by the user of its e-mail, or by whoever signed in and has its token; to all others it is not
    there. It ends with whoever made it leaving the organization, and with the team it leads into.
    """

    def __init__(
        self, database: Database, members: Members, teams: TeamService, settings: InvitationSettings | None = None
    ) -> None:
        self._database = database
        self._members = members
        self._teams = teams
        self.settings = settings or InvitationSettings()
        members.on_leave(self._end_of_inviter)
        teams.on_delete(self._end_of_team)

    async def create(self, principal: Principal, new: CreateInvitation, once: Once | None = None) -> IssuedInvitation:
        """Invite somebody to the caller's organization. A repeat of ``once`` answers with the first one, but never
        with its token again.

        Raises ``bad_request`` (email), ``not_found`` (team), ``forbidden`` for a role above the caller's, ``conflict``
        for who is a member or invited already, and in an archived organization, ``rate_limited`` at the bounds of
        :class:`InvitationSettings`. Emits ``invitation.created``.
        """
        email = normalize_email(new.email)
        _require_role_within(principal, new.role)

        def write(tx: Tx) -> IssuedInvitation:
            made = idempotency.find_made(tx, principal.org_id, once)
            if made is not None:
                return IssuedInvitation(_must_find(tx.conn, principal.org_id, made), None)
            orgs.require_active(tx, principal.org_id)
            if new.team_id is not None:
                require_team(tx.conn, principal.org_id, new.team_id)
            self._check_free(tx, principal.org_id, email)
            self._check_bounds(tx, principal.org_id)
            token = model.new_token()
            invitation = Invitation(
                id=new_id(),
                org_id=principal.org_id,
                email=email,
                role=new.role,
                team_id=new.team_id,
                ended_as=None,
                invited_by=principal.id,
                created_at=tx.now,
                expires_at=tx.now + self.settings.ttl_ms,
                ended_at=None,
                accepted_by=None,
            )
            store.insert(tx, invitation, model.hash_token(token))
            payload = {"role": new.role.value, "team_id": new.team_id}
            tx.emit(Event(invitation.org_id, "invitation.created", invitation.id, payload))
            idempotency.remember_made(tx, principal.org_id, once, invitation.id)
            return IssuedInvitation(invitation, token)

        return await self._database.write(write)

    def _check_free(self, tx: Tx, org_id: str, email: str) -> None:
        user = users.find_by_email(tx.conn, email)
        if user is not None and find_membership(tx.conn, org_id, user.id) is not None:
            raise conflict("email: a member of the organization has it", "email")
        if store.exists_pending(tx, org_id, email):
            raise conflict("email: invited already", "email")

    def _check_bounds(self, tx: Tx, org_id: str) -> None:
        settings = self.settings
        made = store.list_made_since(tx, org_id, tx.now - HOUR_MS, settings.per_hour_max)
        if len(made) >= settings.per_hour_max:
            raise _too_many(f"at most {settings.per_hour_max} invitations an hour", made[-1] + HOUR_MS - tx.now)
        pending = store.list_pending_expiries(tx, org_id, settings.pending_max)
        if len(pending) >= settings.pending_max:
            raise _too_many(f"at most {settings.pending_max} pending invitations", pending[0] - tx.now)

    async def get(self, principal: Principal, id_: str) -> Invitation:
        """One of the organization's invitations. Raises ``not_found``."""
        return await self._database.read(lambda conn: _must_find(conn, principal.org_id, id_))

    async def find_organization(self, id_: str) -> str | None:
        """The organization that an invitation belongs to, None when there is no such invitation."""
        return await self._database.read(lambda conn: store.find_org_id(conn, id_))

    async def list_page(self, org_id: str, before_id: str | None, limit: int) -> list[Invitation]:
        """A page of an organization's invitations, newest first, ended ones too."""
        return await self._database.read(lambda conn: store.list_before(conn, org_id, before_id, limit))

    async def accept(
        self, principal: Principal, id_: str, token: str | None = None, once: Once | None = None
    ) -> Invitation:
        """Make the signed-in user a member as the invitation says, and one of its team.

        A repeat of ``once`` answers with the first one. Raises ``not_found`` for all but the user of its e-mail and who
        has its ``token``, ``conflict`` when it is not pending any more, the user is a member already or the
        organization is archived. Emits ``invitation.accepted`` and ``member.added``, and ``team.member_added``.
        """

        def write(tx: Tx) -> Invitation:
            invitation = _find_for(tx.conn, principal, id_, token)
            if idempotency.find_made(tx, invitation.org_id, once) is not None:
                return invitation
            _require_pending(invitation, tx.now)
            self._members.add(tx, invitation.org_id, principal.id, invitation.role)
            if invitation.team_id is not None:
                self._teams.join(tx, invitation.org_id, invitation.team_id, principal.id)
            store.end(tx, invitation.org_id, invitation.id, InvitationState.ACCEPTED, principal.id)
            payload = {"user_id": principal.id, "role": invitation.role.value, "team_id": invitation.team_id}
            tx.emit(Event(invitation.org_id, "invitation.accepted", invitation.id, payload))
            idempotency.remember_made(tx, invitation.org_id, once, invitation.id)
            return replace(invitation, ended_as=InvitationState.ACCEPTED, ended_at=tx.now, accepted_by=principal.id)

        return await self._database.write(write)

    async def revoke(self, principal: Principal, id_: str) -> Invitation:
        """End a pending invitation at once.

        Raises ``not_found``, ``forbidden`` for one with a role above the caller's, ``conflict`` when it is not pending
        any more. Emits ``invitation.revoked``.
        """

        def write(tx: Tx) -> Invitation:
            invitation = _must_find(tx.conn, principal.org_id, id_)
            _require_role_within(principal, invitation.role)
            _require_pending(invitation, tx.now)
            _revoke(tx, invitation.org_id, invitation.id, "revoked")
            return _must_find(tx.conn, invitation.org_id, invitation.id)

        return await self._database.write(write)

    def _end_of_inviter(self, tx: Tx, org_id: str, user_id: str) -> None:
        """Whoever was sent away must not come back by an invitation of their own."""
        for id_ in store.list_pending_ids(tx, org_id, invited_by=user_id):
            _revoke(tx, org_id, id_, "the inviter left")

    def _end_of_team(self, tx: Tx, org_id: str, team_id: str) -> None:
        for id_ in store.list_pending_ids(tx, org_id, team_id=team_id):
            _revoke(tx, org_id, id_, "the team was deleted")


def _find_for(conn: sqlite3.Connection, principal: Principal, id_: str, token: str | None) -> Invitation:
    """The invitation if ``principal`` may know of it; the same work and words whatever is missing."""
    found = store.find_with_hash(conn, id_)
    given = model.hash_token(token or "")
    has_token = compare_digest(given, _NO_HASH if found is None else found[1]) and token is not None
    account = users.find_account(conn, principal.id) if principal.kind is Kind.USER else None
    if found is None or account is None or not (has_token or account.user.email == found[0].email):
        raise not_found("invitation")
    return found[0]


def _revoke(tx: Tx, org_id: str, id_: str, reason: str) -> None:
    store.end(tx, org_id, id_, InvitationState.REVOKED)
    tx.emit(Event(org_id, "invitation.revoked", id_, {"reason": reason}))


def _must_find(conn: sqlite3.Connection, org_id: str, id_: str) -> Invitation:
    found = store.find(conn, org_id, id_)
    if found is None:
        raise not_found("invitation")
    return found


def _require_pending(invitation: Invitation, now_ms: int) -> None:
    state = invitation.state(now_ms)
    if state is not InvitationState.PENDING:
        raise conflict(f"the invitation is {state}")


def _require_role_within(principal: Principal, role: Role) -> None:
    if not principal.role.includes(role):
        raise AlloydError(Code.FORBIDDEN, "role: above your own", field="role")


def _too_many(message: str, wait_ms: int) -> AlloydError:
    return AlloydError(Code.RATE_LIMITED, message, retry_after_s=max(1, -(-wait_ms // 1000)))
