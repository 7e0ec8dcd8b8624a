"""Who calls, and what a role or a scope lets them do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Role(StrEnum):
    """A member's or key's standing in one organization; each includes those after it."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"

    def includes(self, other: Role) -> bool:
        """Whether this role may do all that ``other`` may."""
        return _RANK[self] >= _RANK[other]


_RANK = {Role.VIEWER: 0, Role.MEMBER: 1, Role.ADMIN: 2, Role.OWNER: 3}


@dataclass(frozen=True, slots=True)
class Rule:
    """What an action needs: a role, and besides a surface's broad scope one finer scope that is enough."""

    role: Role
    scope: str


# Every action there is, `<resource>.<verb>`. A route that names another does not start.
ACTIONS: dict[str, Rule] = {
    "organization.read": Rule(Role.VIEWER, "organizations:read"),
    "organization.update": Rule(Role.OWNER, "organizations:write"),
    "organization.invite": Rule(Role.ADMIN, "organizations:write"),
    "member.read": Rule(Role.VIEWER, "organizations:read"),
    "member.update": Rule(Role.ADMIN, "organizations:write"),
    "team.read": Rule(Role.VIEWER, "organizations:read"),
    "team.create": Rule(Role.ADMIN, "organizations:write"),
    "team.update": Rule(Role.ADMIN, "organizations:write"),
    "team.delete": Rule(Role.ADMIN, "organizations:write"),
    "invitation.read": Rule(Role.ADMIN, "organizations:read"),
    "invitation.revoke": Rule(Role.ADMIN, "organizations:write"),
    "grant.read": Rule(Role.ADMIN, "organizations:read"),
    "grant.write": Rule(Role.ADMIN, "organizations:write"),
    "audit.read": Rule(Role.ADMIN, "audit:read"),
    "usage.read": Rule(Role.VIEWER, "usage:read"),
    "job.read": Rule(Role.VIEWER, "jobs:read"),
    "job.create": Rule(Role.MEMBER, "jobs:write"),
    "provider.read": Rule(Role.VIEWER, "providers:read"),
    "provider.execute": Rule(Role.MEMBER, "providers:execute"),
    "asset.read": Rule(Role.VIEWER, "assets:read"),
    "asset.create": Rule(Role.MEMBER, "assets:write"),
    "schedule.read": Rule(Role.VIEWER, "workflows:read"),
    "schedule.write": Rule(Role.MEMBER, "workflows:write"),
    "webhook.read": Rule(Role.MEMBER, "webhooks:read"),
    "webhook.write": Rule(Role.ADMIN, "webhooks:write"),
    "dead_letter.read": Rule(Role.VIEWER, "runs:read"),
    "dead_letter.write": Rule(Role.MEMBER, "runs:write"),
    "run.retry": Rule(Role.MEMBER, "workflows:run"),
    "run.signal": Rule(Role.MEMBER, "runs:write"),
    "integration.read": Rule(Role.VIEWER, "integrations:read"),
    "integration.write": Rule(Role.ADMIN, "integrations:write"),
    "installation.read": Rule(Role.VIEWER, "integrations:read"),
    "installation.write": Rule(Role.MEMBER, "integrations:write"),
    "end_user.read": Rule(Role.VIEWER, "integrations:read"),
    "end_user.write": Rule(Role.MEMBER, "integrations:write"),
    "connector.read": Rule(Role.VIEWER, "integrations:read"),
    "connector.write": Rule(Role.ADMIN, "integrations:write"),
    "credential.read": Rule(Role.ADMIN, "credentials:read"),
    "credential.write": Rule(Role.ADMIN, "credentials:write"),
    "api_key.read": Rule(Role.ADMIN, "keys:read"),
    "api_key.create": Rule(Role.ADMIN, "keys:write"),
    "api_key.disable": Rule(Role.ADMIN, "keys:write"),
    "api_key.rotate": Rule(Role.ADMIN, "keys:write"),
    "api_key.revoke": Rule(Role.ADMIN, "keys:write"),
    "teammate.read": Rule(Role.VIEWER, "teammates:read"),
    "teammate.write": Rule(Role.ADMIN, "teammates:write"),
    "teammate.message": Rule(Role.MEMBER, "teammates:message"),
    "storage.read": Rule(Role.VIEWER, "storage:read"),
    "storage.write": Rule(Role.MEMBER, "storage:write"),
    "workflow.read": Rule(Role.VIEWER, "workflows:read"),
    "workflow.write": Rule(Role.MEMBER, "workflows:write"),
    "workflow.run": Rule(Role.MEMBER, "workflows:run"),
    "run.read": Rule(Role.VIEWER, "runs:read"),
    "run.cancel": Rule(Role.MEMBER, "runs:write"),
    "event.read": Rule(Role.VIEWER, "events:read"),
    "operation.read": Rule(Role.VIEWER, "workflows:read"),
}

# The first words of actions: what a grant can be narrowed to.
RESOURCES = frozenset(action.partition(".")[0] for action in ACTIONS)
ANY_ID = "*"
# What a deny never takes from an owner: or the last one could be locked out, with nobody left to undo it.
OWNERS_OWN = frozenset({"organization", "member", "grant"})

# Broad scopes open a whole surface; the role still limits.
SURFACE_SCOPES = frozenset({"private", "control", "embedded"})
# What a key that is bound to a teammate has in place of scopes. Nobody can ask for it, and no other surface accepts it.
CHANNEL_SCOPE = "channel"
FINE_SCOPES = frozenset(rule.scope for rule in ACTIONS.values())
SCOPES = SURFACE_SCOPES | FINE_SCOPES


class Kind(StrEnum):
    """What sort of caller a principal is."""

    KEY = "api_key"
    USER = "user"
    END_USER = "end_user"  # somebody whom an organization has workflows for, in a browser
    OPERATOR = "operator"  # whoever may open the data directory's socket
    SYSTEM = "system"  # alloyd itself: a schedule, the scheduler, recovery


@dataclass(frozen=True, slots=True)
class Standing:
    """A user's role in one organization."""

    org_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class TeamRole:
    """The role that a user's membership in a team carries itself."""

    org_id: str
    team_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class Grant:
    """What refines a role in one organization: ``action`` is exact or ``<resource>.*``.

    ``kind`` and ``id`` narrow it to a resource, or to all of a kind (``id`` is ``*``); both are empty for any.
    """

    org_id: str
    action: str
    allow: bool
    kind: str = ""
    id: str = ""

    def covers(self, org_id: str, action: str, kind: str, id_: str) -> bool:
        """Whether this is about ``action`` on that resource; one without a kind is one of the action's own."""
        if self.org_id != org_id:
            return False
        if self.action != action and not (self.action.endswith(".*") and action.startswith(self.action[:-1])):
            return False
        if not self.kind:
            return True
        return self.kind == (kind or action.partition(".")[0]) and self.id in (ANY_ID, id_)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and why or why not, in words for the caller."""

    allowed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. ``org_id`` is the only source of tenancy; ``surface`` the one it came in by.

    A user may belong to several organizations: ``standings`` has all of them, and :meth:`within` moves to another. A
    user of none has an empty ``org_id`` and may do nothing that needs an action. ``expires_at`` is when a token ends,
    in milliseconds since the epoch; None for what is ended by whoever issued it. ``run_id`` is the run whose step acts.
    ``teammate_id`` is the one teammate that a bound key may talk to.
    """

    kind: Kind
    id: str
    org_id: str
    role: Role
    scopes: frozenset[str]
    surface: str = "control"
    team_id: str | None = None
    platform_admin: bool = False
    standings: tuple[Standing, ...] = ()
    grants: tuple[Grant, ...] = ()
    team_roles: tuple[TeamRole, ...] = ()
    expires_at: int | None = None
    run_id: str | None = None
    teammate_id: str | None = None

    def within(self, org_id: str) -> Principal | None:
        """The same caller acting in ``org_id``; None when it does not belong there."""
        if org_id == self.org_id and org_id:
            return self
        for standing in self.standings:
            if standing.org_id == org_id:
                return replace(self, org_id=org_id, role=standing.role, team_id=None)
        return None

    @property
    def org_ids(self) -> frozenset[str]:
        """Every organization whose things the caller may be shown."""
        own = {standing.org_id for standing in self.standings} | {self.org_id}
        return frozenset(own - {""})

    @property
    def refined(self) -> bool:
        """Whether it matters which resource an action is done to: grants or roles in teams say more than the role."""
        return bool(self.grants or self.team_roles)

    def may(self, action: str, kind: str = "", id_: str = "") -> bool:
        """Whether role, grants and scopes allow ``action`` in the own organization, on the resource ``kind`` ``id_``.

        Unknown actions are refused.
        """
        if self.grants or self.team_roles or not self.org_id:
            return self.decide(action, kind, id_).allowed
        rule = ACTIONS.get(action)
        if rule is None or not self.org_id or not self.role.includes(rule.role):
            return False
        return self.surface in self.scopes or rule.scope in self.scopes

    def decide(self, action: str, kind: str = "", id_: str = "") -> Decision:
        """:meth:`may` with the reason: a scope is always needed; then a deny wins over an allow, that over the role."""
        rule = ACTIONS.get(action)
        if rule is None:
            return Decision(False, "there is no such action")
        if not self.org_id:
            return Decision(False, "it needs an organization, and the caller belongs to none")
        if self.surface not in self.scopes and rule.scope not in self.scopes:
            return Decision(False, f"the scopes of this credential do not hold {rule.scope}")
        if self.is_denied(action, kind, id_):
            return Decision(False, "a grant denies it")
        if any(grant.allow and grant.covers(self.org_id, action, kind, id_) for grant in self.grants):
            return Decision(True, "a grant allows it")
        role = self.role_in_team(id_) if kind == "team" and action.startswith("team.") else self.role
        if role.includes(rule.role):
            return Decision(True, f"the role {role.value} allows it")
        return Decision(False, f"the role {role.value} is not enough: {rule.role.value} is needed")

    def is_denied(self, action: str, kind: str = "", id_: str = "") -> bool:
        """Whether a grant denies ``action`` on the resource, whatever else says; never what an owner always keeps."""
        if self.role is Role.OWNER and action.partition(".")[0] in OWNERS_OWN:
            return False
        return any(not grant.allow and grant.covers(self.org_id, action, kind, id_) for grant in self.grants)

    def role_in_team(self, team_id: str) -> Role:
        """What counts for what belongs to a team: the higher of the role in it and the one in the organization."""
        for own in self.team_roles:
            if own.team_id == team_id and own.org_id == self.org_id and own.role.includes(self.role):
                return own.role
        return self.role


def system_principal(org_id: str, run_id: str | None = None) -> Principal:
    """alloyd acting for ``org_id`` by itself, in the run ``run_id`` if one is named."""
    return Principal(Kind.SYSTEM, "system", org_id, Role.OWNER, SCOPES, run_id=run_id)
