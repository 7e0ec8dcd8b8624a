"""Who calls the embedded API: a company's backend with a key, or an end user's browser with a token."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from alloyd.domain.endusers.service import EndUserService
from alloyd.domain.keys.model import KEY_PREFIX
from alloyd.domain.keys.service import KeyService
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.principal import Kind, Principal, Role
from alloyd.wire.auth import Authenticator, KeyAuthenticator, read_bearer
from alloyd.wire.route import Call

# The words of the contract's example, whatever is wrong with the key.
BAD_KEY: Final = "Invalid API key"
BAD_TOKEN: Final = "Invalid user token"  # noqa: S105  # words for a caller
TOKEN_HEADER: Final = "x-alloy-user-token"  # noqa: S105  # the name of a header

# What an end user's browser may do, below the prefix; all else needs the key.
FRONTEND: Final = frozenset(
    {("GET", "/integrations"), ("PUT", "/workflows/activate"), ("PUT", "/workflows/deactivate")}
)
_FRONTEND_SCOPES: Final = frozenset({"integrations:read", "integrations:write"})


class EmbeddedAuthenticator(Authenticator):
    """An API key of scope ``embedded``, or an end user's token in ``x-alloy-user-token`` or as Bearer.

    A token in its own header decides, also beside a key. What begins as keys do is a key and nothing else.
    """

    def __init__(self, keys: KeyService, end_users: EndUserService, prefix: str) -> None:
        self._keys = KeyAuthenticator(keys, "embedded", read_bearer)
        self._end_users = end_users
        self._frontend = frozenset((method, prefix + path) for method, path in FRONTEND)

    def find(self, request: web.Request) -> Principal | None:
        if TOKEN_HEADER in request.headers:
            return None
        return self._keys.find(request)

    async def authenticate(self, request: web.Request) -> Principal:
        token = self._read_token(request)
        if token is None:
            return await self._authenticate_key(request)
        bearer = await self._end_users.check_token(token)
        if bearer is None:
            raise AlloydError(Code.UNAUTHORIZED, BAD_TOKEN if TOKEN_HEADER in request.headers else BAD_KEY)
        if not self._is_open_to_frontends(request):
            raise AlloydError(Code.UNAUTHORIZED, BAD_KEY)
        return Principal(
            Kind.END_USER,
            bearer.user.id,
            bearer.user.org_id,
            Role.MEMBER,
            _FRONTEND_SCOPES,
            surface="embedded",
            expires_at=bearer.expires_at,
        )

    async def _authenticate_key(self, request: web.Request) -> Principal:
        try:
            return await self._keys.authenticate(request)
        except AlloydError as error:
            if error.code is not Code.UNAUTHORIZED:
                raise
            raise AlloydError(Code.UNAUTHORIZED, BAD_KEY) from None

    def _read_token(self, request: web.Request) -> str | None:
        """An end user's token; None for what has to be a key. Raises ``unauthorized`` for several."""
        given = request.headers.getall(TOKEN_HEADER, ())
        if given:
            if len(given) > 1:
                raise AlloydError(Code.UNAUTHORIZED, BAD_TOKEN)
            return given[0]
        bearer = read_bearer(request)
        return None if bearer is None or bearer.startswith(KEY_PREFIX) else bearer

    def _is_open_to_frontends(self, request: web.Request) -> bool:
        resource = request.match_info.route.resource
        path = "" if resource is None else resource.canonical.rstrip("/")
        method = "GET" if request.method == "HEAD" else request.method
        return (method, path) in self._frontend


def user_of(call: Call, named: str | None) -> str:
    """The end user whom a request is about: the one it names, but a token's own whoever that names.

    Raises ``bad_request`` where a backend names none.
    """
    if call.who.kind is Kind.END_USER:
        return call.who.id
    if not named:
        raise bad_request("userId: required", "userId")
    return named
