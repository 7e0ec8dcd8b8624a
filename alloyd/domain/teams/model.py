"""What a team and a member of it are."""

from __future__ import annotations

from dataclasses import dataclass

from alloyd.principal import Role

TEAMS_PER_ORG_MAX = 1000
MEMBERS_PER_TEAM_MAX = 1000


@dataclass(frozen=True, slots=True)
class Team:
    """A team of one organization; times are milliseconds since the epoch."""

    id: str
    org_id: str
    slug: str
    name: str
    created_by: str
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class TeamMember:
    """A member of a team. ``own_role`` is what the membership itself carries, ``org_role`` the organization's."""

    team_id: str
    user_id: str
    org_id: str
    own_role: Role | None
    org_role: Role
    email: str
    display_name: str
    created_at: int

    @property
    def role(self) -> Role:
        """What counts where the team is concerned: the higher of both."""
        return higher(self.own_role, self.org_role)


@dataclass(frozen=True, slots=True)
class TeamOf:
    """A team as one of its members sees it."""

    team: Team
    role: Role


def higher(own: Role | None, of_org: Role) -> Role:
    """The higher of a team membership's own role and the one in the organization."""
    return of_org if own is None or of_org.includes(own) else own
