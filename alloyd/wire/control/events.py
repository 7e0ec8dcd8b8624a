"""`GET /v1/events/stream` and `GET /v1/events/ws`: all events of the caller's organizations, live."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import msgspec
from aiohttp import web

from alloyd.errors import not_found
from alloyd.principal import Principal
from alloyd.wire.route import WEBSOCKET, Call, Route
from alloyd.wire.sse import MEDIA_TYPE, stream_events
from alloyd.wire.stream import Streams, parse_kinds
from alloyd.wire.websocket import serve_websocket

# The organizations whose events a caller may read.
FindOrgs = Callable[[Principal], Awaitable[Collection[str]]]


class StreamQuery(msgspec.Struct):
    """What narrows a stream, and where it begins. ``kinds``: comma-separated; ``workflow.*`` for all that begin so.

    ``ticket`` is read where callers are authenticated.
    """

    kinds: str = ""
    organization_id: str | None = None
    last_event_id: str | None = None
    ticket: str | None = None


def routes(
    streams: Streams,
    allowed_origins: Callable[[], Collection[str]],
    find_orgs: FindOrgs | None = None,
) -> list[Route]:
    """Both streams. ``allowed_origins`` are pages that may open the WebSocket besides the server's own.

    ``find_orgs`` is for callers with several organizations; left out, a caller has that of its credential.
    """
    handlers = _Handlers(streams, allowed_origins, find_orgs)
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
    def __init__(
        self, streams: Streams, allowed_origins: Callable[[], Collection[str]], find_orgs: FindOrgs | None
    ) -> None:
        self._streams = streams
        self._allowed_origins = allowed_origins
        self._find_orgs = find_orgs

    async def stream_events(self, call: Call) -> web.StreamResponse:
        query: StreamQuery = call.query
        kinds = parse_kinds(query.kinds.split(","))
        org_ids = await self._orgs_of(call.who, query.organization_id)
        return await stream_events(call, self._streams, org_ids, kinds, query.last_event_id)

    async def open_websocket(self, call: Call) -> web.StreamResponse:
        query: StreamQuery = call.query
        kinds = parse_kinds(query.kinds.split(","))
        org_ids = await self._orgs_of(call.who, query.organization_id)
        return await serve_websocket(call, self._streams, org_ids, kinds, query.last_event_id, self._allowed_origins())

    async def _orgs_of(self, principal: Principal, wanted: str | None) -> Collection[str]:
        if self._find_orgs is None:
            mine: Collection[str] = {principal.org_id}
        else:
            mine = await self._find_orgs(principal)
        if wanted is None:
            return mine
        if wanted not in mine:
            raise not_found("organization")
        return {wanted}
