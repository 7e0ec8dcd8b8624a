"""The one place that says no: every route's permission is asked here. And the grants that refine roles."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from dataclasses import replace

from alloyd.db import Database, Tx
from alloyd.domain.authz import store
from alloyd.domain.authz.model import (
    GRANTS_PER_PRINCIPAL_MAX,
    CreateGrant,
    Effect,
    Resource,
    StoredGrant,
    Subject,
    SubjectKind,
    actions_of,
    check_resource_kind,
    parse_principal,
    parse_resource,
)
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.orgs import service as orgs
from alloyd.errors import AlloydError, Code, conflict, not_found
from alloyd.events.hub import Hub
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.principal import ACTIONS, OWNERS_OWN, Decision, Grant, Kind, Principal, Role

__all__ = [
    "OPERATOR_ONLY",
    "PLATFORM_ONLY",
    "GrantService",
    "Resource",
    "authorize",
    "copy_denies",
    "copy_grants",
    "decide",
    "grants_of",
    "refuse_denied",
]

# The permission of what only the data directory's socket serves; no role and no scope grants it.
OPERATOR_ONLY = "operator"
# The permission of what concerns the whole installation: for users who administer it, and the operator.
PLATFORM_ONLY = "platform-admin"

# Runs inside the transaction that changes a principal's grants: (tx, org_id, whom they are about).
GrantHook = Callable[[Tx, str, Subject], None]


def authorize(principal: Principal, action: str, resource: Resource | None = None) -> None:
    """Return when ``principal`` may do ``action``, on ``resource`` if one is given.

    Raises ``forbidden`` when role, grants or scopes don't allow it and for an action that does not exist;
    ``not_found`` for a resource of another organization, which is as good as not there. What no rule allows is
    refused.
    """
    kind, id_ = ("", "") if resource is None else (_word(resource.kind), resource.id)
    if action == OPERATOR_ONLY:
        if principal.kind is not Kind.OPERATOR:
            raise _forbidden("only the operator of this installation may do that")
    elif action == PLATFORM_ONLY:
        if not principal.platform_admin:
            raise _forbidden("only administrators of this installation may do that")
    elif action not in ACTIONS:
        raise _forbidden("nobody may do that", log=f"unknown action {action!r}")
    elif not principal.may(action, kind, id_):
        raise _forbidden(f"{action}: {principal.decide(action, kind, id_).reason}")
    if resource is not None and resource.org_id != principal.org_id:
        raise not_found(resource.kind)


def refuse_denied(principal: Principal, action: str, resource: Resource) -> None:
    """Raise ``forbidden`` when a grant denies ``action`` on a thing that the request's path does not name.

    The route's permission was asked before; here only a deny counts, which holds whichever way the thing is reached.
    """
    if principal.grants and principal.is_denied(action, _word(resource.kind), resource.id):
        raise _forbidden(f"{action}: a grant denies it")


def decide(principal: Principal, action: str, resource: Resource | None = None) -> Decision:
    """:func:`authorize` as an answer instead of an error; a resource of another organization is not found."""
    if resource is None:
        return principal.decide(action)
    if action in ACTIONS and resource.org_id != principal.org_id:
        return Decision(False, f"{resource.kind} not found")
    return principal.decide(action, _word(resource.kind), resource.id)


def grants_of(conn: sqlite3.Connection, org_ids: Collection[str], principal_id: str) -> tuple[Grant, ...]:
    """The grants that travel with a principal: those about it in the organizations it can act in."""
    return tuple(store.list_carried(conn, org_ids, principal_id))


def copy_denies(tx: Tx, principal: Principal, key_id: str) -> None:
    """What ``principal`` is denied is denied to the key it makes: a new key must not be a way around."""
    _copy(tx, principal.org_id, principal.id, key_id, denies_only=True)


def copy_grants(tx: Tx, org_id: str, from_key_id: str, to_key_id: str) -> None:
    """The key that replaces another one has its grants."""
    _copy(tx, org_id, from_key_id, to_key_id, denies_only=False)


def _copy(tx: Tx, org_id: str, from_id: str, to_key_id: str, *, denies_only: bool) -> None:
    for grant in store.list_of(tx.conn, org_id, from_id):
        if grant.effect is Effect.DENY or not denies_only:
            store.insert_missing(tx, replace(grant, id=new_id(), subject=Subject(SubjectKind.KEY, to_key_id)))


class GrantService:
    """The only door to grants.

    Nobody allows an action that their own role does not have, nobody denies anything to their equals (but owners to
    owners), and only who stands as high as the granter takes a grant back.
    """

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._hooks: list[GrantHook] = []

    def on_change(self, hook: GrantHook) -> None:
        """Run ``hook(tx, org_id, subject)`` in each transaction that changes what a principal carries."""
        self._hooks.append(hook)

    async def create(self, principal: Principal, new: CreateGrant, once: Once | None = None) -> StoredGrant:
        """Refine what a member or a key of the organization may do. A repeat of ``once`` answers with the first one.

        Raises ``bad_request`` (principal, action, resource), ``not_found`` for a principal that is not in the
        organization, ``forbidden`` for what the caller can't pass on, ``conflict`` for a grant that is there already
        or would have no effect. Emits ``grant.created``.
        """
        actions = actions_of(new.action)
        kind, id_ = ("", "") if new.resource is None else parse_resource(new.resource)
        if kind:
            check_resource_kind(kind)
        named_kind, named_id = parse_principal(new.principal)

        def write(tx: Tx) -> StoredGrant:
            made = idempotency.find_made(tx, principal.org_id, once)
            if made is not None:
                return _must_find(tx.conn, principal.org_id, made)
            orgs.require_active(tx, principal.org_id)
            subject, role = _find_subject(tx.conn, principal.org_id, named_kind, named_id)
            _check_allowed_to(principal, new.effect, actions, role)
            if len(store.list_of(tx.conn, principal.org_id, subject.id)) >= GRANTS_PER_PRINCIPAL_MAX:
                raise conflict(f"a principal has at most {GRANTS_PER_PRINCIPAL_MAX} grants in an organization")
            grant = StoredGrant(
                new_id(),
                principal.org_id,
                subject,
                new.action,
                kind,
                id_,
                new.effect,
                principal.id,
                principal.role,
                tx.now,
            )
            if not store.insert_missing(tx, grant):
                raise conflict("there is the same grant already")
            tx.emit(Event(grant.org_id, "grant.created", grant.id, _told(grant)))
            self._changed(tx, grant.org_id, subject, takes_away=grant.effect is Effect.DENY)
            idempotency.remember_made(tx, principal.org_id, once, grant.id)
            return grant

        return await self._database.write(write)

    async def get(self, principal: Principal, id_: str) -> StoredGrant:
        """One of the organization's grants. Raises ``not_found``."""
        return await self._database.read(lambda conn: _must_find(conn, principal.org_id, id_))

    async def find_organization(self, id_: str) -> str | None:
        """The organization that a grant belongs to, None when there is no such grant."""
        return await self._database.read(lambda conn: store.find_org_id(conn, id_))

    async def list_page(
        self, principal: Principal, about: str | None, before_id: str | None, limit: int
    ) -> list[StoredGrant]:
        """A page of the organization's grants, newest first; only those about one principal if ``about`` names it.

        Raises ``bad_request`` (principal).
        """
        about_id = None if about is None else parse_principal(about)[1]
        return await self._database.read(
            lambda conn: store.list_before(conn, principal.org_id, about_id, before_id, limit)
        )

    async def delete(self, principal: Principal, id_: str) -> StoredGrant:
        """Take a grant back. Raises ``not_found``, and ``forbidden`` for the grant of somebody who stands above the
        caller. Emits ``grant.deleted``."""

        def write(tx: Tx) -> StoredGrant:
            grant = _must_find(tx.conn, principal.org_id, id_)
            if not principal.role.includes(grant.granter_role):
                raise _forbidden(f"the grant was made by an {grant.granter_role.value}, who stands above you")
            store.delete(tx, grant.org_id, grant.id)
            tx.emit(Event(grant.org_id, "grant.deleted", grant.id, _told(grant)))
            self._changed(tx, grant.org_id, grant.subject, takes_away=grant.effect is Effect.ALLOW)
            return grant

        return await self._database.write(write)

    def forget_member(self, tx: Tx, org_id: str, user_id: str) -> None:
        """A user leaves the organization: what was allowed beyond the role ends; what was denied stays denied."""
        store.delete_allows(tx, org_id, user_id)

    def _changed(self, tx: Tx, org_id: str, subject: Subject, *, takes_away: bool) -> None:
        for hook in self._hooks:
            hook(tx, org_id, subject)
        if takes_away:  # open streams were allowed by what was: their readers come back and are asked again
            tx.after_commit(lambda: self._close_streams(subject.id))

    def _close_streams(self, principal_id: str) -> None:
        self._hub.close_tagged(principal_id, "what the principal may do has changed")


def _find_subject(conn: sqlite3.Connection, org_id: str, kind: SubjectKind | None, id_: str) -> tuple[Subject, Role]:
    """Whom a grant is about, and their role. An id alone is looked for among members, then among keys."""
    if kind is not SubjectKind.KEY:
        role = store.find_user_role(conn, org_id, id_)
        if role is not None:
            return Subject(SubjectKind.USER, id_), role
    if kind is not SubjectKind.USER:
        role = store.find_key_role(conn, org_id, id_)
        if role is not None:
            return Subject(SubjectKind.KEY, id_), role
    raise not_found("principal")


def _check_allowed_to(principal: Principal, effect: Effect, actions: list[str], role: Role) -> None:
    """Raise ``forbidden`` for what the caller can't pass on or take away, ``conflict`` for what has no effect."""
    if not principal.role.includes(role):
        raise _forbidden("principal: stands above you", field="principal")
    if effect is Effect.ALLOW:
        for action in actions:
            if not principal.role.includes(ACTIONS[action].role) or not principal.may(action):
                raise _forbidden(f"action: {action} is not yours to allow", field="action")
    elif role is Role.OWNER:
        if {action.partition(".")[0] for action in actions} <= OWNERS_OWN:
            raise conflict("action: an owner always keeps it, or the last one could be locked out", "action")
    elif role is principal.role:
        raise _forbidden("principal: stands as high as you", field="principal")


def _must_find(conn: sqlite3.Connection, org_id: str, id_: str) -> StoredGrant:
    grant = store.find(conn, org_id, id_)
    if grant is None:
        raise not_found("grant")
    return grant


def _told(grant: StoredGrant) -> dict[str, str | None]:
    return {
        "principal": str(grant.subject),
        "action": grant.action,
        "resource": grant.resource,
        "effect": grant.effect.value,
    }


def _word(kind: str) -> str:
    return kind.replace(" ", "_")


def _forbidden(message: str, *, field: str | None = None, log: str | None = None) -> AlloydError:
    return AlloydError(Code.FORBIDDEN, message, field=field, log=log)
