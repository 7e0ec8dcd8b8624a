"""`GET /v1/events/stream` and `GET /v1/events/ws`: all events of the caller's organizations, live."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated

import msgspec
from aiohttp import web

from alloyd.errors import not_found
from alloyd.principal import Principal
from alloyd.wire.fields import told
from alloyd.wire.route import WEBSOCKET, Call, Route
from alloyd.wire.sse import MEDIA_TYPE, stream_events
from alloyd.wire.stream import Streams, parse_kinds
from alloyd.wire.websocket import serve_websocket

_KIND = r"(?:\*|[a-z0-9_]+(?:\.[a-z0-9_]+)*(?:\.\*)?)"
Kinds = Annotated[str, told(pattern=rf"^(?:{_KIND}(?:,{_KIND})*)?$")]


class StreamQuery(msgspec.Struct):
    """What narrows a stream, and where it begins. ``kinds``: comma-separated; ``workflow.*`` for all that begin so.

    ``ticket`` is read where callers are authenticated.
    """

    kinds: Kinds = ""
    organization_id: str | None = None
    last_event_id: str | None = None
    ticket: str | None = None


def routes(streams: Streams, allowed_origins: Callable[[], Collection[str]]) -> list[Route]:
    """Both streams. ``allowed_origins`` are pages that may open the WebSocket besides the server's own."""
    handlers = _Handlers(streams, allowed_origins)
    return [
        Route(
            "GET",
            "/events/stream",
            handlers.stream_events,
            "event.read",
            "Events as they happen, as server-sent events; Last-Event-ID resumes",
            query=StreamQuery,
            streams=MEDIA_TYPE,
            statuses=(404, 429, 503),
        ),
        Route(
            "GET",
            "/events/ws",
            handlers.open_websocket,
            "event.read",
            'Events as WebSocket messages; send {"type": "subscribe", "kinds": […], "after": "<id>"} to narrow',
            query=StreamQuery,
            streams=WEBSOCKET,
            statuses=(404, 429, 503),
        ),
    ]


class _Handlers:
    def __init__(self, streams: Streams, allowed_origins: Callable[[], Collection[str]]) -> None:
        self._streams = streams
        self._allowed_origins = allowed_origins

    async def stream_events(self, call: Call) -> web.StreamResponse | None:
        query: StreamQuery = call.query
        kinds = parse_kinds(query.kinds.split(","))
        org_ids = _orgs_of(call.who, query.organization_id)
        return await stream_events(call, self._streams, org_ids, kinds, query.last_event_id)

    async def open_websocket(self, call: Call) -> web.StreamResponse:
        query: StreamQuery = call.query
        kinds = parse_kinds(query.kinds.split(","))
        org_ids = _orgs_of(call.who, query.organization_id)
        return await serve_websocket(call, self._streams, org_ids, kinds, query.last_event_id, self._allowed_origins())


def _orgs_of(principal: Principal, wanted: str | None) -> Collection[str]:
    """The organizations whose events the caller may read; only ``wanted`` if it is named. Raises ``not_found``."""
    standing_in = [principal.within(org_id) for org_id in principal.org_ids]
    mine = {there.org_id for there in standing_in if there is not None and there.may("event.read")}
    if wanted is None:
        return mine
    if wanted not in mine:
        raise not_found("organization")
    return {wanted}
