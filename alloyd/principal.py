"""Who calls, and what a role or a scope lets them do."""

from __future__ import annotations

from dataclasses import dataclass
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
class Principal:
    """An authenticated caller. ``org_id`` is the only source of tenancy; ``surface`` the one it came in by."""

    kind: Kind
    id: str
    org_id: str
    role: Role
    scopes: frozenset[str]
    surface: str = "control"
    team_id: str | None = None
    platform_admin: bool = False

    def may(self, action: str) -> bool:
        """Whether role and scopes allow ``action`` in the own organization. Unknown actions are refused."""
        rule = ACTIONS.get(action)
        if rule is None or not self.role.includes(rule.role):
            return False
        return self.surface in self.scopes or rule.scope in self.scopes


def system_principal(org_id: str) -> Principal:
    """alloyd acting for ``org_id`` by itself."""
    return Principal(Kind.SYSTEM, "system", org_id, Role.OWNER, SCOPES)
