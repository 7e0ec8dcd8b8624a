"""The objects contract's dialect: bare JSON, `{"error": "<text>"}`, and a user's token from three places."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from alloyd.domain.orgs.service import OrgService
from alloyd.domain.sessions.service import SessionService
from alloyd.errors import AlloydError, not_found
from alloyd.principal import Principal
from alloyd.wire.auth import Authenticator, read_bearer, unauthorized
from alloyd.wire.route import Call
from alloyd.wire.surface import Surface

COOKIE: Final = "token"
PARAMETER: Final = "token"
ORG_HEADER: Final = "x-active-org"

_ENCODER = msgspec.json.Encoder()


class UserAuthenticator(Authenticator):
    """Users' tokens, and nothing else: an API key is no token.

    The first of cookie, query and header that is there counts; a wrong one is not made good by the next.
    ``x-active-org`` is the slug of one of the user's organizations.
    """

    def __init__(self, sessions: SessionService, orgs: OrgService) -> None:
        self._sessions = sessions
        self._orgs = orgs

    def find(self, request: web.Request) -> Principal | None:
        token = read_token(request)
        return None if token is None or ORG_HEADER in request.headers else self._sessions.find_cached(token)

    async def authenticate(self, request: web.Request) -> Principal:
        token = read_token(request)
        principal = None if token is None else await self._sessions.authenticate(token)
        if principal is None:
            raise unauthorized()
        named = request.headers.get(ORG_HEADER)
        if named is None:
            return principal
        org = await self._orgs.get_by_name(named)
        moved = principal.within(org.id) if org.slug == named else None
        if moved is None:
            raise not_found("organization")
        return moved


def read_token(request: web.Request) -> str | None:
    """The token of the cookie, else of the query, else of the only Bearer header."""
    return request.cookies.get(COOKIE) or request.query.get(PARAMETER) or read_bearer(request)


class ObjectsSurface(Surface):
    """``/api/v1/objects``."""

    name = "objects"
    prefix = "/api/v1/objects"
    title = "Objects"
    challenge = "Bearer"

    def encode(self, call: Call, value: Any) -> bytes:
        return _ENCODER.encode(value)

    def encode_error(
        self, error: AlloydError, status: int, request_id: str, call: Call | None, trace_id: str | None = None
    ) -> bytes:
        return error_body(error.message)

    def describe_error(self) -> dict[str, Any]:
        return {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}

    def describe_security(self) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "For paths under /api/v1/objects: a user's token from `POST /v1/auth/token`, no API key",
        }


class SignedUrlSurface(ObjectsSurface):
    """``/objects``: where signed URLs lead. Nobody signs in; the signature is the right."""

    name = "object-urls"
    prefix = "/objects"
    title = "Signed URLs"


def error_body(message: str) -> bytes:
    """An error body."""
    return _ENCODER.encode({"error": message})
