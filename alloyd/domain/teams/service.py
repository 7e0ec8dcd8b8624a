"""Use cases of teams: create, show, rename, delete, and who is in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.orgs import service as orgs
from alloyd.domain.orgs.model import check_name, check_slug
from alloyd.domain.teams import store
from alloyd.domain.teams.model import MEMBERS_PER_TEAM_MAX, TEAMS_PER_ORG_MAX, Team, TeamMember, TeamOf
from alloyd.errors import AlloydError, Code, bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.principal import Kind, Principal, Role, TeamRole

# Runs inside the transaction that changes what a user's team memberships say: (tx, user_id).
MemberHook = Callable[[Tx, str], None]
# Runs inside the transaction that deletes a team, before it is gone, and may refuse: (tx, org_id, team_id).
DeleteHook = Callable[[Tx, str, str], None]


class TeamService:
    """The only door to teams.

    A membership may carry a role of its own. It holds for what belongs to the team, which is the team itself and who
    is in it: there the higher of that role and the one in the organization counts.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._member_hooks: list[MemberHook] = []
        self._delete_hooks: list[DeleteHook] = []

    def on_member_change(self, hook: MemberHook) -> None:
        """Run ``hook(tx, user_id)`` in each transaction that changes a user's standing in a team."""
        self._member_hooks.append(hook)

    def on_delete(self, hook: DeleteHook) -> None:
        """Run ``hook(tx, org_id, team_id)`` in each transaction that deletes a team; it may raise ``conflict``."""
        self._delete_hooks.append(hook)

    # -- teams -----------------------------------------------------------------------------------------------

    async def create(self, principal: Principal, slug: str, name: str, once: Once | None = None) -> Team:
        """Make a team in the caller's organization. A repeat of ``once`` answers with the first one.

        Raises ``bad_request`` (slug, name), ``conflict`` when the slug is taken there, the organization is archived or
        has ``TEAMS_PER_ORG_MAX`` teams. Emits ``team.created``.
        """
        check_slug(slug)
        check_name(name)

        def write(tx: Tx) -> Team:
            made = idempotency.find_made(tx, principal.org_id, once)
            if made is not None:
                return require_team(tx.conn, principal.org_id, made)
            orgs.require_active(tx, principal.org_id)
            if store.count(tx, principal.org_id) >= TEAMS_PER_ORG_MAX:
                raise conflict(f"an organization has at most {TEAMS_PER_ORG_MAX} teams")
            team = Team(new_id(), principal.org_id, slug, name, principal.id, tx.now, tx.now)
            try:
                store.insert(tx, team)
            except sqlite3.IntegrityError:
                raise _slug_taken(slug) from None
            tx.emit(Event(team.org_id, "team.created", team.id, {"slug": slug, "name": name}))
            idempotency.remember_made(tx, principal.org_id, once, team.id)
            return team

        return await self._database.write(write)

    async def get(self, principal: Principal, team_id: str) -> Team:
        """One of the organization's teams. Raises ``not_found``."""
        return await self._database.read(lambda conn: require_team(conn, principal.org_id, team_id))

    async def find_organization(self, team_id: str) -> str | None:
        """The organization that a team belongs to, None when there is no such team."""
        return await self._database.read(lambda conn: store.find_org_id(conn, team_id))

    async def list_page(self, org_id: str, before_id: str | None, limit: int) -> list[Team]:
        """A page of an organization's teams, newest first."""
        return await self._database.read(lambda conn: store.list_before(conn, org_id, before_id, limit))

    async def list_own(self, principal: Principal, before_id: str | None, limit: int) -> list[TeamOf]:
        """A page of the teams the caller is in, in all organizations of theirs; a key is in the one it is bound to."""

        def read(conn: sqlite3.Connection) -> list[TeamOf]:
            if principal.kind is Kind.USER:
                return store.list_of_user(conn, principal.id, before_id, limit)
            team = None if principal.team_id is None else store.find(conn, principal.org_id, principal.team_id)
            return [TeamOf(team, principal.role)] if team is not None and before_id is None else []

        return await self._database.read(read)

    async def rename(
        self, principal: Principal, team_id: str, *, slug: str | None = None, name: str | None = None
    ) -> Team:
        """Give a new slug, a new name, or both.

        Raises ``bad_request``, ``not_found``, ``conflict`` when the slug is taken. Emits ``team.updated``.
        """
        if slug is None and name is None:
            raise bad_request("slug or name: one of them is needed", "slug")
        if slug is not None:
            check_slug(slug)
        if name is not None:
            check_name(name)

        def write(tx: Tx) -> Team:
            team = require_team(tx.conn, principal.org_id, team_id)
            orgs.require_active(tx, team.org_id)
            try:
                store.update_names(tx, team.org_id, team.id, slug or team.slug, name or team.name)
            except sqlite3.IntegrityError:
                raise _slug_taken(slug or team.slug) from None
            renamed = require_team(tx.conn, team.org_id, team.id)
            payload = {"slug": renamed.slug, "name": renamed.name, "former_slug": team.slug}
            tx.emit(Event(team.org_id, "team.updated", team.id, payload))
            return renamed

        return await self._database.write(write)

    async def delete(self, principal: Principal, team_id: str) -> Team:
        """Remove a team; its members stay members of the organization.

        Raises ``not_found``, and ``conflict`` while something holds on to it. Emits ``team.deleted``.
        """

        def write(tx: Tx) -> Team:
            team = require_team(tx.conn, principal.org_id, team_id)
            for refuse in self._delete_hooks:
                refuse(tx, team.org_id, team.id)
            for user_id in store.list_user_ids(tx, team.org_id, team.id):
                self._member_changed(tx, user_id)
            store.delete(tx, team.org_id, team.id)
            tx.emit(Event(team.org_id, "team.deleted", team.id, {"slug": team.slug, "name": team.name}))
            return team

        return await self._database.write(write)

    # -- members ---------------------------------------------------------------------------------------------

    async def list_members(
        self, principal: Principal, team_id: str, before_id: str | None, limit: int
    ) -> list[TeamMember]:
        """A page of a team's members, newest users first. Raises ``not_found``."""

        def read(conn: sqlite3.Connection) -> list[TeamMember]:
            require_team(conn, principal.org_id, team_id)
            return store.list_members(conn, principal.org_id, team_id, before_id, limit)

        return await self._database.read(read)

    async def set_member(
        self, principal: Principal, team_id: str, user_id: str, role: Role | None, once: Once | None = None
    ) -> TeamMember:
        """Make one of the organization's members a member of the team, or give them another role there. A repeat of
        ``once`` changes nothing.

        Raises ``not_found`` (team; user: for who is no member of the organization), ``forbidden`` for a role above the
        caller's, or a member who holds one in this team already, ``conflict`` at ``MEMBERS_PER_TEAM_MAX``. Emits
        ``team.member_added`` or ``team.member_updated``.
        """

        def write(tx: Tx) -> TeamMember:
            require_team(tx.conn, principal.org_id, team_id)
            if idempotency.find_made(tx, principal.org_id, once) is not None:
                return _must_find_member(tx.conn, principal.org_id, team_id, user_id)
            orgs.require_active(tx, principal.org_id)
            idempotency.remember_made(tx, principal.org_id, once, user_id)
            return self.put_member(tx, principal, team_id, user_id, role)

        return await self._database.write(write)

    def put_member(self, tx: Tx, principal: Principal, team_id: str, user_id: str, role: Role | None) -> TeamMember:
        """:meth:`set_member` within another capability's transaction."""
        org_id = principal.org_id
        if store.find_org_role(tx.conn, org_id, user_id) is None:
            raise not_found("user")
        before = store.find_member(tx.conn, org_id, team_id, user_id)
        _check_role(principal, team_id, role)
        if before is not None:
            _check_role(principal, team_id, before.own_role)
            if before.own_role is role:
                return before
        elif store.count_members(tx, org_id, team_id) >= MEMBERS_PER_TEAM_MAX:
            raise conflict(f"a team has at most {MEMBERS_PER_TEAM_MAX} members")
        self._write_member(tx, org_id, team_id, user_id, role, "added" if before is None else "updated")
        return _must_find_member(tx.conn, org_id, team_id, user_id)

    def join(self, tx: Tx, org_id: str, team_id: str, user_id: str) -> None:
        """Make a member of the organization one of the team, without a role of their own there, when the team is
        still there; who is in it already stays as they are. Emits ``team.member_added``."""
        if store.find(tx.conn, org_id, team_id) is None:
            return
        if store.find_member(tx.conn, org_id, team_id, user_id) is None:
            self._write_member(tx, org_id, team_id, user_id, None, "added")

    def _write_member(self, tx: Tx, org_id: str, team_id: str, user_id: str, role: Role | None, verb: str) -> None:
        store.put_member(tx, org_id, team_id, user_id, role)
        payload = {"user_id": user_id, "role": None if role is None else role.value}
        tx.emit(Event(org_id, f"team.member_{verb}", team_id, payload))
        self._member_changed(tx, user_id)

    async def remove_member(self, principal: Principal, team_id: str, user_id: str) -> TeamMember:
        """Take a member out of a team.

        Raises ``not_found`` (team, user), ``forbidden`` for a member whose role in this team is above the caller's.
        Emits ``team.member_removed``.
        """

        def write(tx: Tx) -> TeamMember:
            require_team(tx.conn, principal.org_id, team_id)
            member = _must_find_member(tx.conn, principal.org_id, team_id, user_id)
            _check_role(principal, team_id, member.own_role)
            store.delete_member(tx, principal.org_id, team_id, user_id)
            tx.emit(Event(principal.org_id, "team.member_removed", team_id, {"user_id": user_id}))
            self._member_changed(tx, user_id)
            return member

        return await self._database.write(write)

    def forget_member(self, tx: Tx, org_id: str, user_id: str) -> None:
        """A user leaves the organization: they leave its teams in the same transaction."""
        store.delete_all_of(tx, org_id, user_id)
        self._member_changed(tx, user_id)

    def _member_changed(self, tx: Tx, user_id: str) -> None:
        for hook in self._member_hooks:
            hook(tx, user_id)


def require_team(conn: sqlite3.Connection, org_id: str, team_id: str) -> Team:
    """The organization's team of that id, within another capability's transaction or read. Raises ``not_found``."""
    team = store.find(conn, org_id, team_id) if team_id.isascii() else None
    if team is None:
        raise not_found("team")
    return team


def roles_of(conn: sqlite3.Connection, user_id: str) -> tuple[TeamRole, ...]:
    """The roles that a user's team memberships carry themselves, for the principal that the user becomes."""
    return tuple(store.list_roles(conn, user_id))


def _check_role(principal: Principal, team_id: str, role: Role | None) -> None:
    """Nobody gives, or takes away, a role above the one they have in this team."""
    if role is not None and not principal.role_in_team(team_id).includes(role):
        raise AlloydError(Code.FORBIDDEN, "role: above your own", field="role")


def _must_find_member(conn: sqlite3.Connection, org_id: str, team_id: str, user_id: str) -> TeamMember:
    member = store.find_member(conn, org_id, team_id, user_id) if user_id.isascii() else None
    if member is None:
        raise not_found("user")
    return member


def _slug_taken(slug: str) -> Exception:
    return conflict(f"slug: {slug!r} is taken in this organization", "slug")
