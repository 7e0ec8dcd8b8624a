"""The embedded contract's surfaces: today's version, and one for all the older ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alloyd.domain.embedded.purge import EndUserPurge
from alloyd.domain.embedded.service import EmbeddedEvents, RunLogs
from alloyd.domain.endusers.service import EndUserService
from alloyd.domain.integrations.installations import InstallationService
from alloyd.domain.workflows.service import WorkflowService
from alloyd.wire.auth import Authenticator
from alloyd.wire.cors import Cors
from alloyd.wire.embedded import events, integrations, run_logs, users, workflows
from alloyd.wire.embedded.codec import PREFIX, EmbeddedSurface
from alloyd.wire.embedded.dialect import CURRENT, DATED, DATED_VERSIONS, Dialect
from alloyd.wire.route import Route

# Of a surface's prefix, who is let in.
MakeAuthenticator = Callable[[str], Authenticator]


@dataclass(frozen=True, slots=True)
class Services:
    """What the contract is served by."""

    end_users: EndUserService
    installations: InstallationService
    workflows: WorkflowService
    events: EmbeddedEvents
    logs: RunLogs
    purge: EndUserPurge


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large an event may be."""

    event_bytes_max: int
    json_depth_max: int


def surfaces(
    services: Services, bounds: Bounds, authenticator: MakeAuthenticator, cors: Cors | None
) -> list[EmbeddedSurface]:
    """Both surfaces over the same handlers. The older versions answer alike, so one stands for all of them."""
    newest, *others = [f"/{version}" for version in DATED_VERSIONS]
    return [
        EmbeddedSurface(routes(services, bounds, CURRENT), authenticator(PREFIX), cors),
        EmbeddedSurface(
            routes(services, bounds, DATED),
            authenticator(newest),
            cors,
            name="embedded-dated",
            prefix=newest,
            aliases=others,
        ),
    ]


def routes(services: Services, bounds: Bounds, dialect: Dialect) -> list[Route]:
    """Every route of one version."""
    return [
        *users.routes(services.end_users, dialect),
        *integrations.routes(services.installations, dialect),
        *workflows.routes(services.installations, dialect),
        *events.routes(services.events, services.end_users, dialect, bounds.event_bytes_max, bounds.json_depth_max),
        *run_logs.routes(services.logs, services.purge, services.end_users, services.workflows, dialect),
    ]
