"""The page's credential: a cookie that scripts can't read, and that nothing outside of the page's doors looks at."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aiohttp import web

from alloyd.domain.sessions.model import IssuedToken, Use
from alloyd.domain.sessions.service import SessionService
from alloyd.principal import Principal
from alloyd.wire.auth import Authenticator, unauthorized
from alloyd.wire.route import Call
from alloyd.wire.ui.origin import OriginRule

COOKIE: Final = "alloyd_session"
COOKIE_PATH: Final = "/ui"  # where the page's doors are: nobody else ever gets to see it


class PageAuthenticator(Authenticator):
    """The user of the page's session, in requests that the page itself makes.

    ``surface`` is whose routes are behind this door: "control", "private".
    """

    def __init__(self, sessions: SessionService, origin: OriginRule, surface: str) -> None:
        self._sessions = sessions
        self._origin = origin
        self._surface = surface

    def find(self, request: web.Request) -> Principal | None:
        self._origin.check(request)
        token = read_cookie(request)
        principal = None if token is None else self._sessions.find_cached(token, Use.PAGE)
        return None if principal is None else replace(principal, surface=self._surface)

    async def authenticate(self, request: web.Request) -> Principal:
        self._origin.check(request)
        token = read_cookie(request)
        principal = None if token is None else await self._sessions.authenticate(token, Use.PAGE)
        if principal is None:
            raise unauthorized()
        return replace(principal, surface=self._surface)


def read_cookie(request: web.Request) -> str | None:
    """The session's token, if the request carries one and no other beside it.

    Who controls a sibling of this host's name, or another port of it, can have browsers send a cookie of theirs too:
    a visitor would then work in a stranger's session without knowing.
    """
    given = [pair.partition("=") for header in request.headers.getall("Cookie", ()) for pair in header.split(";")]
    found = [value.strip() for name, _equals, value in given if name.strip() == COOKIE]
    return found[0] if len(found) == 1 else None


def set_cookie(call: Call, issued: IssuedToken, *, secure: bool) -> None:
    """Have the browser keep ``issued`` for as long as it holds."""
    _send(call, issued.token, issued.expires_in_s, secure=secure)


def drop_cookie(call: Call, *, secure: bool) -> None:
    """Have the browser forget the session."""
    _send(call, "", 0, secure=secure)


def _send(call: Call, value: str, max_age_s: int, *, secure: bool) -> None:
    parts = [f"{COOKIE}={value}", f"Path={COOKIE_PATH}", f"Max-Age={max_age_s}", "HttpOnly", "SameSite=Strict"]
    if secure:
        parts.append("Secure")
    call.add_header("Set-Cookie", "; ".join(parts))
