"""Credentials to principals: one authenticator a surface, none tries another's credential."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from aiohttp import web

from alloyd.domain.keys.model import KEY_PREFIX
from alloyd.domain.keys.service import KeyService
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.sessions.service import SessionService
from alloyd.errors import AlloydError, Code, conflict
from alloyd.principal import CHANNEL_SCOPE, FINE_SCOPES, SCOPES, Kind, Principal, Role

# On the data directory's socket only: which organization the operator acts in, by id or slug.
OPERATOR_ORG_HEADER = "X-Alloyd-Organization"
OPERATOR_SURFACE = "operator"

# What a surface accepts of a key: its own broad scope, and on the control plane the finer ones. A key bound to a
# teammate has no scope but the channel's: whatever surface does not name that refuses it.
SURFACE_ACCEPTS: dict[str, frozenset[str]] = {
    "private": frozenset({"private"}),
    "control": frozenset({"control"}) | FINE_SCOPES,
    "embedded": frozenset({"embedded"}),
    "channel": frozenset({"private", CHANNEL_SCOPE}),
}

_READING = frozenset({"GET", "HEAD"})


def unauthorized() -> AlloydError:
    """The same words whatever is wrong with the credential."""
    return AlloydError(Code.UNAUTHORIZED, "a valid credential for this API is needed")


class Authenticator(ABC):
    """Turns what a request carries into a principal of one surface."""

    @abstractmethod
    def find(self, request: web.Request) -> Principal | None:
        """The principal if it is known without waiting."""

    @abstractmethod
    async def authenticate(self, request: web.Request) -> Principal:
        """The principal, or raises ``unauthorized``."""


def read_api_key_header(request: web.Request) -> str | None:
    """The raw key in ``api-key``; a Bearer header does not count, and neither do several keys."""
    given = request.headers.getall("api-key", ())
    return given[0] if len(given) == 1 else None


def read_bearer(request: web.Request) -> str | None:
    """The token of the only ``Authorization: Bearer``; the scheme's case does not matter."""
    given = request.headers.getall("Authorization", ())
    if len(given) != 1:
        return None
    scheme, _, token = given[0].partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


class KeyAuthenticator(Authenticator):
    """API keys, read from where the surface wants them."""

    def __init__(self, keys: KeyService, surface: str, read: Callable[[web.Request], str | None]) -> None:
        self._keys = keys
        self._surface = surface
        self._read = read
        self._accepts = SURFACE_ACCEPTS[surface]

    def find(self, request: web.Request) -> Principal | None:
        raw = self._read(request)
        return None if raw is None else self._keys.find_cached(raw, self._surface, self._accepts)

    async def authenticate(self, request: web.Request) -> Principal:
        raw = self._read(request)
        principal = None if raw is None else await self._keys.authenticate(raw, self._surface, self._accepts)
        if principal is None:
            raise unauthorized()
        return principal


class ControlAuthenticator(Authenticator):
    """The control plane's credentials: an API key or a user's token, both as ``Authorization: Bearer``.

    What begins as keys do is a key and nothing else: one that fails is not tried as a token.
    """

    def __init__(self, keys: KeyService, sessions: SessionService) -> None:
        self._find_key = keys.find_cached
        self._accepts = SURFACE_ACCEPTS["control"]
        self._keys = KeyAuthenticator(keys, "control", read_bearer)
        self._sessions = sessions

    def find(self, request: web.Request) -> Principal | None:
        token = read_bearer(request)
        if token is None:
            return None
        if token.startswith(KEY_PREFIX):
            return self._find_key(token, "control", self._accepts)
        return self._sessions.find_cached(token)

    async def authenticate(self, request: web.Request) -> Principal:
        token = read_bearer(request)
        if token is None or token.startswith(KEY_PREFIX):
            return await self._keys.authenticate(request)
        principal = await self._sessions.authenticate(token)
        if principal is None:
            raise unauthorized()
        return principal


class OperatorAuthenticator(Authenticator):
    """Whoever may open the data directory's socket (mode 0600) is the operator, in the organization it names.

    In an archived organization the operator may still read, but not change anything. The operator's own surface
    works without any organization: its routes name theirs, and the first one has to come from somewhere.
    """

    def __init__(self, orgs: OrgService, surface: str) -> None:
        self._orgs = orgs
        self._surface = surface

    def find(self, request: web.Request) -> Principal | None:
        return None

    async def authenticate(self, request: web.Request) -> Principal:
        return Principal(
            Kind.OPERATOR,
            "operator",
            await self._find_org_id(request),
            Role.OWNER,
            SCOPES,
            surface=self._surface,
            platform_admin=True,
        )

    async def _find_org_id(self, request: web.Request) -> str:
        named = request.headers.get(OPERATOR_ORG_HEADER)
        if named is not None:
            org = await self._orgs.get_by_name(named)
        elif self._surface == OPERATOR_SURFACE:
            found = await self._orgs.find_default()
            return found.id if found else ""
        else:
            org = await self._orgs.get_default()
        if org.archived and request.method not in _READING and self._surface != OPERATOR_SURFACE:
            raise conflict("the organization is archived")
        return org.id
