"""Lets pages of other origins call a surface from a browser: the Fetch standard's CORS, with preflight."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from aiohttp import web

METHODS: Final = "GET, POST, PUT, DELETE"
REQUEST_HEADERS: Final = ", ".join(
    [
        "authorization",
        "content-type",
        "idempotency-key",
        "traceparent",
        "x-alloy-user-token",
        "x-api-version",
        "x-request-id",
    ]
)
EXPOSED_HEADERS: Final = "X-Request-Id, Retry-After"
PREFLIGHT_MAX_AGE_S: Final = 600

_VARY: Final = {"Vary": "Origin"}


class Cors:
    """``allowed_origins()`` are the origins in force, each with scheme and port; none means no page may call.

    Credentials of these surfaces are headers that a page has to set itself, so no cookie is ever asked for.
    """

    def __init__(self, allowed_origins: Callable[[], Collection[str]]) -> None:
        self._allowed_origins = allowed_origins

    def answer_headers(self, request: web.Request) -> dict[str, str] | None:
        """What goes with every answer, refusals too, so that a page may read them; None while no page may call."""
        allowed = self._allowed_origins()
        if not allowed:
            return None
        origin = request.headers.get("Origin")
        if origin is None or origin not in allowed:
            return dict(_VARY)  # or a cache could hand this answer to a page that may read it
        return {
            **_VARY,
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": EXPOSED_HEADERS,
        }

    def preflight_headers(self, request: web.Request) -> dict[str, str] | None:
        """The answer to a browser that asks before it calls; None when ``request`` is no such question.

        An origin that may not call gets an answer without permission, which its browser then tells the page.
        """
        asked = request.headers
        if request.method != "OPTIONS" or "Origin" not in asked or "Access-Control-Request-Method" not in asked:
            return None
        headers = self.answer_headers(request)
        if headers is None or "Access-Control-Allow-Origin" not in headers:
            return headers
        headers.pop("Access-Control-Expose-Headers")
        return {
            **headers,
            "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
        }
