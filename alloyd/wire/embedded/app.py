"""The embedded contract's surfaces: today's version, and one for all the older ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alloyd.domain.endusers.service import EndUserService
from alloyd.domain.integrations.installations import InstallationService
from alloyd.wire.auth import Authenticator
from alloyd.wire.cors import Cors
from alloyd.wire.embedded import integrations, users, workflows
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


def surfaces(services: Services, authenticator: MakeAuthenticator, cors: Cors | None) -> list[EmbeddedSurface]:
    """Both surfaces over the same handlers. The older versions answer alike, so one stands for all of them."""
    newest, *others = [f"/{version}" for version in DATED_VERSIONS]
    return [
        EmbeddedSurface(routes(services, CURRENT), authenticator(PREFIX), cors),
        EmbeddedSurface(
            routes(services, DATED),
            authenticator(newest),
            cors,
            name="embedded-dated",
            prefix=newest,
            aliases=others,
        ),
    ]


def routes(services: Services, dialect: Dialect) -> list[Route]:
    """Every route of one version."""
    return [
        *users.routes(services.end_users, dialect),
        *integrations.routes(services.installations, dialect),
        *workflows.routes(services.installations, dialect),
    ]
