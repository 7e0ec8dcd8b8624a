"""A small installation for tests of organizations, users and keys: real database, real servers on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiohttp.test_utils import TestClient, TestServer

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.domain.authz.service import authorize
from alloyd.domain.keys.model import CreateKey, IssuedKey
from alloyd.domain.keys.service import KeyService, KeySettings
from alloyd.domain.orgs.model import Organization
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.sessions.model import IssuedToken, SessionSettings
from alloyd.domain.sessions.service import SessionService
from alloyd.domain.users.model import User
from alloyd.domain.users.service import CreateUser, UserService
from alloyd.events.hub import Hub
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock
from alloyd.principal import SCOPES, Kind, Principal, Role
from alloyd.wire.auth import ControlAuthenticator, KeyAuthenticator, OperatorAuthenticator, read_api_key_header
from alloyd.wire.control import api_keys, me, members, organizations, sessions
from alloyd.wire.control.codec import ControlSurface
from alloyd.wire.operator import organizations as operator_orgs
from alloyd.wire.operator import tokens as operator_tokens
from alloyd.wire.operator import users as operator_users
from alloyd.wire.paging import PageLimits
from alloyd.wire.private.codec import PrivateSurface
from alloyd.wire.route import Call, Route
from alloyd.wire.server import Server, WireLimits

CONTROL = frozenset({"control"})
PASSWORD = "correct horse battery staple"
SECRET = bytes(range(32))


@dataclass
class World:
    """Everything a test of this room touches. Its clock stands still until moved."""

    database: Database
    clock: ManualClock
    hub: Hub
    log: EventLog
    orgs: OrgService
    keys: KeyService
    users: UserService
    sessions: SessionService

    def operator_of(self, org_id: str) -> Principal:
        return Principal(Kind.OPERATOR, "operator", org_id, Role.OWNER, SCOPES, platform_admin=True)

    async def make_org(self, slug: str) -> Organization:
        return await self.orgs.create(slug, slug.title())

    async def issue(
        self, org: Organization, scopes: Sequence[str] = ("private", "control"), role: Role = Role.OWNER, **more: Any
    ) -> IssuedKey:
        return await self.keys.create(self.operator_of(org.id), CreateKey("test", tuple(scopes), role, **more))

    async def make_user(self, name: str, slug: str = "acme", role: Role = Role.MEMBER, **more: Any) -> User:
        """A user ``<name>@example.com`` with :data:`PASSWORD`."""
        return await self.users.create(CreateUser(f"{name}@example.com", PASSWORD, slug, role, **more))

    async def join(self, user: User, slug: str, role: Role = Role.MEMBER) -> None:
        """Make a user a member of one more organization."""
        org = await self.orgs.get_by_name(slug)
        await self.database.write(lambda tx: self.users.members.add(tx, org.id, user.id, role))

    async def token(self, user: User, slug: str | None = None, ttl_s: int | None = None) -> IssuedToken:
        """A token as the operator issues it: no password is hashed for it."""
        return await self.sessions.issue(user.id, slug, ttl_s)

    async def signed_in(self, issued: IssuedKey, surface: str = "control") -> Principal | None:
        assert issued.raw is not None
        return await self.keys.authenticate(issued.raw, surface, frozenset(SCOPES))

    def cached(self, issued: IssuedKey, surface: str = "control") -> Principal | None:
        assert issued.raw is not None
        return self.keys.find_cached(issued.raw, surface, frozenset(SCOPES))

    async def told(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(kind, subject, payload) of every event so far, oldest first."""
        rows = await self.database.read(
            lambda conn: conn.execute("SELECT kind, subject, payload FROM events ORDER BY id").fetchall()
        )
        return [(kind, subject, msgspec.json.decode(payload)) for kind, subject, payload in rows]

    async def kinds(self) -> list[str]:
        return [kind for kind, _subject, _payload in await self.told()]


@asynccontextmanager
async def open_world(
    directory: Path, cache_max: int = 100, settings: SessionSettings | None = None
) -> AsyncIterator[World]:
    path = directory / "alloyd.db"
    migrate(path)
    clock = ManualClock()
    database = await Database.open(path, clock)
    hub = Hub()
    log = EventLog(database, hub)
    await log.start()
    orgs = OrgService(database)
    keys = KeyService(database, hub, clock, orgs, KeySettings(cache_max=cache_max))
    users = UserService(database, hub, orgs)
    sessions = SessionService(database, users, clock, SECRET, settings)
    try:
        yield World(database, clock, hub, log, orgs, keys, users, sessions)
    finally:
        users.close()
        await database.close()


async def _echo(call: Call) -> dict[str, str]:
    return {"org": call.who.org_id, "role": call.who.role.value}


# The private contract's own routes are tested elsewhere; these stand for reading and writing ones.
PROBES = [
    Route("GET", "/probe", _echo, "storage.read", "stands for a reading route"),
    Route("POST", "/probe", _echo, "storage.write", "stands for a writing route"),
]


def public_server(world: World) -> Server:
    """The surfaces that the network sees."""
    limits = PageLimits()
    control = [
        *api_keys.routes(world.keys, world.clock, limits),
        *organizations.routes(world.orgs, world.users),
        *members.routes(world.users.members, world.orgs, limits),
        *me.routes(world.keys, world.users, world.orgs, limits),
        *sessions.routes(world.sessions),
    ]
    return Server(
        [
            ControlSurface(control, ControlAuthenticator(world.keys, world.sessions), world.clock),
            PrivateSurface(PROBES, KeyAuthenticator(world.keys, "private", read_api_key_header)),
        ],
        authorize,
        WireLimits(),
    )


def socket_server(world: World) -> Server:
    """What the data directory's socket serves; here on loopback."""
    limits = PageLimits()
    operator = [
        *operator_orgs.routes(world.orgs, limits),
        *operator_users.routes(world.users, limits),
        *operator_tokens.routes(world.sessions),
    ]
    control = [
        *api_keys.routes(world.keys, world.clock, limits),
        *me.routes(world.keys, world.users, world.orgs, limits),
    ]
    return Server(
        [
            ControlSurface(
                operator,
                OperatorAuthenticator(world.orgs, "operator"),
                world.clock,
                name="operator",
                prefix="/operator",
            ),
            ControlSurface(control, OperatorAuthenticator(world.orgs, "control"), world.clock),
        ],
        authorize,
        WireLimits(),
    )


@asynccontextmanager
async def serve(server: Server) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(server.build())) as client:
        yield client


def bearer(issued: IssuedKey | IssuedToken) -> dict[str, str]:
    raw = issued.token if isinstance(issued, IssuedToken) else issued.raw
    return {"Authorization": f"Bearer {raw}"}


def api_key(issued: IssuedKey) -> dict[str, str]:
    return {"api-key": issued.raw or ""}
