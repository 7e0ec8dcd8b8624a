"""Who belongs to which organization, and as what: every write of a membership is made here."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from alloyd.db import Database, Tx
from alloyd.domain.orgs import service as orgs
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.users import store
from alloyd.domain.users.model import MEMBERSHIPS_PER_USER_MAX, Member, Membership
from alloyd.errors import AlloydError, Code, conflict, not_found
from alloyd.events.hub import Hub
from alloyd.events.model import Event
from alloyd.principal import Principal, Role

# Told, on the event loop after the commit, the id of a user whose rights or memberships changed.
ChangeHook = Callable[[str], None]
# Runs inside the transaction that takes a user out of an organization: (tx, org_id, user_id).
LeaveHook = Callable[[Tx, str, str], None]

_CHANGED = "the memberships changed"


class Members:
    """The only door to memberships. Whatever changes here holds at once: for cached users and on open streams too.

    A changed user's streams are closed and may be opened again: what they cover is settled as they open.
    """

    def __init__(self, database: Database, hub: Hub, orgs_: OrgService) -> None:
        self._database = database
        self._hub = hub
        self._change_hooks: list[ChangeHook] = []
        self._leave_hooks: list[LeaveHook] = []
        orgs_.on_archive(self._end_all_of)

    def on_change(self, hook: ChangeHook) -> None:
        """Call ``hook(user_id)`` whenever a user's rights or memberships changed, before anybody is answered."""
        self._change_hooks.append(hook)

    def on_leave(self, hook: LeaveHook) -> None:
        """Run ``hook(tx, org_id, user_id)`` in each transaction that takes a user out of an organization."""
        self._leave_hooks.append(hook)

    def note_change(self, tx: Tx, user_id: str, reason: str) -> None:
        """The transaction changes what the user may do: forget what is cached, and close the user's streams."""

        def end() -> None:
            for hook in self._change_hooks:
                hook(user_id)
            self._hub.close_tagged(user_id, reason)

        tx.after_commit(end)

    def _end_all_of(self, tx: Tx, org_id: str) -> None:
        """The organization is being archived."""
        user_ids = store.list_member_ids(tx, org_id)

        def end() -> None:
            for user_id in user_ids:
                for hook in self._change_hooks:
                    hook(user_id)
            self._hub.close_all_tagged(user_ids, "the organization was archived")

        tx.after_commit(end)

    # -- within another capability's transaction -------------------------------------------------------------

    def add(self, tx: Tx, org_id: str, user_id: str, role: Role) -> Membership:
        """Make a user a member of an organization.

        Raises ``not_found`` (user, organization), ``conflict`` when the user is a member already, has too many
        memberships, or the organization is archived. Emits ``member.added``.
        """
        orgs.require_active(tx, org_id)
        if store.find(tx.conn, user_id) is None:
            raise not_found("user")
        if store.count_memberships(tx, user_id, MEMBERSHIPS_PER_USER_MAX) >= MEMBERSHIPS_PER_USER_MAX:
            raise conflict(f"a user belongs to at most {MEMBERSHIPS_PER_USER_MAX} organizations")
        membership = Membership(org_id, user_id, role)
        try:
            store.insert_membership(tx, membership)
        except sqlite3.IntegrityError:
            raise conflict("the user is a member already") from None
        tx.emit(Event(org_id, "member.added", user_id, {"role": role.value}))
        self.note_change(tx, user_id, _CHANGED)
        return membership

    def change_role(self, tx: Tx, org_id: str, user_id: str, role: Role) -> Membership:
        """Give a member another role; the same one changes nothing.

        Raises ``not_found`` for no member, ``conflict`` for the last owner or an archived organization. Emits
        ``member.role_changed``.
        """
        orgs.require_active(tx, org_id)
        held = get_membership(tx.conn, org_id, user_id)
        if held.role is role:
            return held
        if held.role is Role.OWNER:
            _require_another_owner(tx, org_id, user_id)
        store.update_role(tx, org_id, user_id, role)
        tx.emit(Event(org_id, "member.role_changed", user_id, {"role": role.value, "former_role": held.role.value}))
        self.note_change(tx, user_id, _CHANGED)
        return Membership(org_id, user_id, role)

    def remove(self, tx: Tx, org_id: str, user_id: str) -> Membership:
        """Take a user out of an organization; what it was.

        Raises ``not_found`` for no member, ``conflict`` for the last owner or an archived organization. Emits
        ``member.removed``.
        """
        orgs.require_active(tx, org_id)
        held = get_membership(tx.conn, org_id, user_id)
        if held.role is Role.OWNER:
            _require_another_owner(tx, org_id, user_id)
        for hook in self._leave_hooks:
            hook(tx, org_id, user_id)
        store.delete_membership(tx, org_id, user_id)
        tx.emit(Event(org_id, "member.removed", user_id, {"role": held.role.value}))
        self.note_change(tx, user_id, _CHANGED)
        return held

    # -- use cases -------------------------------------------------------------------------------------------

    async def list_all(self, principal: Principal, limit: int, after: tuple[int, str] | None = None) -> list[Member]:
        """A page of the organization's members, who joined last first; ``after`` is (joined_at, user id) of the page
        before."""
        return await self._database.read(lambda conn: store.list_members(conn, principal.org_id, after, limit))

    async def set_role(self, principal: Principal, user_id: str, role: Role) -> Member:
        """Give a member of the caller's organization another role.

        Raises ``forbidden`` for a role or a member above the caller's own, and as :meth:`change_role`.
        """

        def write(tx: Tx) -> Member:
            _require_rule_over(principal, get_membership(tx.conn, principal.org_id, user_id).role)
            _require_rule_over(principal, role)
            self.change_role(tx, principal.org_id, user_id, role)
            return _must_find_member(tx.conn, principal.org_id, user_id)

        return await self._database.write(write)

    async def expel(self, principal: Principal, user_id: str) -> Member:
        """Take a member out of the caller's organization; what it was.

        Raises ``forbidden`` for a member above the caller, and as :meth:`remove`.
        """

        def write(tx: Tx) -> Member:
            member = _must_find_member(tx.conn, principal.org_id, user_id)
            _require_rule_over(principal, member.role)
            self.remove(tx, principal.org_id, user_id)
            return member

        return await self._database.write(write)


def find_membership(conn: sqlite3.Connection, org_id: str, user_id: str) -> Membership | None:
    """A user's standing in an organization, for another capability's transaction or read; None for no member."""
    return store.find_membership(conn, org_id, user_id)


def get_membership(conn: sqlite3.Connection, org_id: str, user_id: str) -> Membership:
    """:func:`find_membership`; raises ``not_found``."""
    found = store.find_membership(conn, org_id, user_id)
    if found is None:
        raise not_found("member")
    return found


def _must_find_member(conn: sqlite3.Connection, org_id: str, user_id: str) -> Member:
    found = store.find_member(conn, org_id, user_id)
    if found is None:
        raise not_found("member")
    return found


def _require_another_owner(tx: Tx, org_id: str, user_id: str) -> None:
    if not store.has_other_owner(tx, org_id, user_id):
        raise conflict("an organization keeps at least one owner: make another member owner first")


def _require_rule_over(principal: Principal, role: Role) -> None:
    if not principal.role.includes(role):
        raise AlloydError(Code.FORBIDDEN, "role: above your own", field="role")
