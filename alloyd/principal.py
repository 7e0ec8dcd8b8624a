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
    "api_key.read": Rule(Role.ADMIN, "keys:read"),
    "api_key.create": Rule(Role.ADMIN, "keys:write"),
    "api_key.disable": Rule(Role.ADMIN, "keys:write"),
    "api_key.revoke": Rule(Role.ADMIN, "keys:write"),
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

# Broad scopes open a whole surface; the role still limits.
SURFACE_SCOPES = frozenset({"private", "control"})
FINE_SCOPES = frozenset(rule.scope for rule in ACTIONS.values())
SCOPES = SURFACE_SCOPES | FINE_SCOPES


class Kind(StrEnum):
    """What sort of caller a principal is."""

    KEY = "api_key"
    USER = "user"
    OPERATOR = "operator"  # whoever may open the data directory's socket
    SYSTEM = "system"  # alloyd itself: a schedule, the scheduler, recovery


@dataclass(frozen=True, slots=True)
class Standing:
    """A user's role in one organization."""

    org_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. ``org_id`` is the only source of tenancy; ``surface`` the one it came in by.

    A user may belong to several organizations: ``standings`` has all of them, and :meth:`within` moves to another. A
    user of none has an empty ``org_id`` and may do nothing that needs an action.
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

    def may(self, action: str) -> bool:
        """Whether role and scopes allow ``action`` in the own organization. Unknown actions are refused."""
        rule = ACTIONS.get(action)
        if rule is None or not self.role.includes(rule.role):
            return False
        return self.surface in self.scopes or rule.scope in self.scopes


def system_principal(org_id: str) -> Principal:
    """alloyd acting for ``org_id`` by itself."""
    return Principal(Kind.SYSTEM, "system", org_id, Role.OWNER, SCOPES)
