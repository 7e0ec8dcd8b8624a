"""A route as data: what it needs, takes and answers. Requests are checked and openapi.json is made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol

from aiohttp import web

from alloyd.errors import AlloydError, Code
from alloyd.principal import ACTIONS, RESOURCES, Principal

# Besides an action of principal.ACTIONS a route may declare one of these.
PUBLIC: Final = "public"  # nobody needs to be authenticated
SIGNED_IN: Final = "signed-in"  # any principal of the surface
OPERATOR: Final = "operator"  # only on the data directory's socket
PLATFORM_ADMIN: Final = "platform-admin"  # users who administer the installation, and the operator

WEBSOCKET: Final = "websocket"  # what a route streams that upgrades its connection

# Streams that browsers open with EventSource and WebSocket, which can't send a credential in a header.
TICKET_STREAMS: Final = frozenset({"text/event-stream", WEBSOCKET})

# What a route streams whose answer is a file, of whatever type that is.
ANY_TYPE: Final = "*/*"

# What a parameter of a path names, where the segment before it is not the plural of its kind.
SEGMENT_KINDS: Final[Mapping[str, str]] = {
    "workflow-definitions": "workflow",
    "trigger": "workflow",
    "workflow-runs": "run",
}

STATUS: Final[Mapping[Code, int]] = {
    Code.BAD_REQUEST: 400,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.CONFLICT: 409,
    Code.TOO_LARGE: 413,
    Code.UNPROCESSABLE: 422,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL: 500,
    Code.UPSTREAM_FAILED: 502,
    Code.UNAVAILABLE: 503,
}


class Sink(Protocol):
    """Takes what a streaming route tells, where that is not an HTTP response: gRPC's messages."""

    async def open(self) -> None:
        """The stream stands; what happens from now on will be told."""

    async def send(self, values: dict[str, Any]) -> None:
        """Tell one thing; waits while the reader has no room."""


class Call:
    """One request on its way through a handler.

    ``query`` and ``body`` are what the route declares, already checked; ``body_bytes`` the JSON as it came. A
    handler may set ``status`` and add to ``headers`` and ``links`` before it returns. With a ``sink`` a streaming route
    tells that instead of writing a response.
    """

    __slots__ = (
        "body",
        "body_bytes",
        "headers",
        "headers_of_error",
        "links",
        "principal",
        "query",
        "request",
        "request_id",
        "route",
        "sink",
        "status",
        "trace_id",
    )

    def __init__(self, request: web.Request, route: Route, request_id: str) -> None:
        self.request = request
        self.route = route
        self.request_id = request_id
        self.trace_id: str | None = None
        self.principal: Principal | None = None
        self.query: Any = None
        self.body: Any = None
        self.body_bytes: bytes = b""
        self.status = route.status
        self.headers: dict[str, str] | None = None
        self.headers_of_error: dict[str, str] | None = None
        self.links: dict[str, str] | None = None
        self.sink: Sink | None = None

    @property
    def who(self) -> Principal:
        """The authenticated caller; only a public route may be without one."""
        if self.principal is None:
            raise AlloydError(Code.UNAUTHORIZED, "authentication is needed")
        return self.principal

    def param(self, name: str) -> str:
        """A segment of the path, decoded once."""
        return self.request.match_info[name]

    def add_header(self, name: str, value: str, *, with_errors: bool = False) -> None:
        """Send one more header with the answer, ``with_errors`` also when that becomes a refusal."""
        if self.headers is None:
            self.headers = {}
        self.headers[name] = value
        if with_errors:
            self.headers_of_error = {**(self.headers_of_error or {}), name: value}


Handler = Callable[[Call], Awaitable[Any]]
# The organization of the thing with that id, None when there is none: only asked for who belongs to several.
FindOwner = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path of a surface.

    ``permission`` is an action, or PUBLIC, SIGNED_IN, OPERATOR, PLATFORM_ADMIN. ``query`` and ``body`` are msgspec
    structs (``body`` may be ``Any`` for any JSON value; ``body_told`` and ``query_told`` are what openapi.json tells of
    one that is read more leniently, or by the domain); ``output`` the type of what the handler returns, before the
    envelope. ``raw`` routes read their body themselves, which ``request_schema`` then describes; a route with ``body``
    and ``form_schema`` takes multipart/form-data too, and reads that itself; ``streams`` routes return a response of
    their own, of that media type, those with an ``output`` as well only when they are asked to. ``also`` has the
    outputs of further success statuses, which a handler sets itself. ``statuses`` are the error statuses that the
    contract names besides those every route has. ``owner`` finds the organization of the thing that the path's ``{id}``
    names: a user of several organizations then acts in that one. The audit trail has what a route changes as its
    action, or by the name ``audit_as``; one that is no GET and yet changes nothing says so by ``mutates``.
    """

    method: str
    path: str
    handler: Handler
    permission: str
    summary: str
    query: type | None = None
    body: Any = None
    output: Any = None
    status: int = 200
    statuses: tuple[int, ...] = ()
    raw: bool = False
    streams: str | None = None
    body_bytes_max: int | None = None
    request_media_type: str = "application/json"
    request_schema: dict[str, Any] | None = None
    owner: FindOwner | None = None
    mutates: bool = True
    audit_as: str | None = None
    body_told: Any = None
    query_told: type | None = None
    form_schema: dict[str, Any] | None = None
    also: Mapping[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.permission not in (PUBLIC, SIGNED_IN, OPERATOR, PLATFORM_ADMIN) and self.permission not in ACTIONS:
            raise ValueError(f"{self.method} {self.path}: no such permission: {self.permission!r}")
        HTTPStatus(self.status)

    @property
    def resource(self) -> tuple[str, str] | None:
        """The kind of thing that the path's first parameter names, and the parameter; None for a path without one.

        The segment before it tells the kind (``/api-keys/{id}``: ``api_key``), else the permission's first word does.
        """
        before, brace, after = self.path.partition("{")
        if not brace:
            return None
        segment = before.rstrip("/").rpartition("/")[2]
        kind = SEGMENT_KINDS.get(segment, segment.replace("-", "_").removesuffix("s"))
        own = self.permission.partition(".")[0]
        return (kind if kind in RESOURCES else own), after.partition("}")[0].partition(":")[0]
