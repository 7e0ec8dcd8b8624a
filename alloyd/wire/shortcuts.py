"""Finds the route of an ordinary request by two look-ups, before aiohttp's router searches for it.

Ordinary: a path without a query or escapes that is a route's own, or a route's with a variable last segment. All else
is the router's, and so is every refusal: a shortcut only ever finds what the router would find.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

Pipeline = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LAST_SEGMENT = re.compile(r"(?P<stem>/[^{}]*)/\{(?P<name>[A-Za-z_]+)\}\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")


class Shortcuts:
    """Made together with the router, from the same routes."""

    def __init__(self) -> None:
        self._whole: dict[tuple[str, str], tuple[Pipeline, web.AbstractRoute]] = {}
        self._stems: dict[tuple[str, str], tuple[Pipeline, web.AbstractRoute, str]] = {}
        self._own: set[str] = set()  # paths of their own, which no variable segment stands for, whatever the method

    def add(self, method: str, path: str, pipeline: Pipeline, route: web.AbstractRoute) -> None:
        """A route as it is given to the router; one that has no shortcut is passed over."""
        if "{" not in path:
            self._whole.setdefault((method, path), (pipeline, route))
            self._own.add(path)
            return
        match = _LAST_SEGMENT.match(path)
        if match is not None:
            self._stems.setdefault((method, match["stem"]), (pipeline, route, match["name"]))

    def take(self, request: web.Request) -> Awaitable[web.StreamResponse] | None:
        """The route's pipeline at work on ``request``; None to leave it to the router."""
        path, method = request.raw_path, request.method
        if "Expect" in request.headers:
            return None
        whole = self._whole.get((method, path))
        if whole is not None:
            pipeline, route = whole
            request._match_info = web.UrlMappingMatchInfo({}, route)  # noqa: SLF001  # as aiohttp's router does
            return pipeline(request)
        stem, _, last = path.rpartition("/")
        found = self._stems.get((method, stem))
        if found is None or path in self._own or not _PLAIN.match(last):
            return None
        pipeline, route, name = found
        request._match_info = web.UrlMappingMatchInfo({name: last}, route)  # noqa: SLF001
        return pipeline(request)
