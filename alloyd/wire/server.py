"""Binds routes to aiohttp: one pipeline for every request, built once for each route.

Request id, credential, permission, query, body, handler, envelope, in that order: a credential is checked before the
body is read, and a permission before a resource is looked up. There is no middleware, so a route's pipeline is all
that runs for it.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from alloyd.domain.authz.model import Resource
from alloyd.errors import AlloydError, Code, bad_request, not_found
from alloyd.kit import crash
from alloyd.kit.ids import is_uuid, new_id
from alloyd.log import get_logger
from alloyd.principal import Principal
from alloyd.wire import body, http_errors
from alloyd.wire.address import TRUSTED_PROXIES, TrustedProxies
from alloyd.wire.answer import STANDING_HEADERS, Answer
from alloyd.wire.auditing import NoteRefusal, refusal_noter, stamping
from alloyd.wire.http_errors import HostRule
from alloyd.wire.route import PUBLIC, SIGNED_IN, STATUS, Call, FindOwner, Route
from alloyd.wire.shortcuts import Shortcuts
from alloyd.wire.surface import BoundRoute, Surface, collapse_slashes

log = get_logger("alloyd.wire")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")

SERVER: web.AppKey[Server] = web.AppKey("alloyd.server")

_NO_FIELDS = dict[str, Any]

# Raises ``forbidden``: (who, action), and the thing it is done to where the path names one.
Authorize = Callable[..., None]


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds of every request; the configuration's groups ``http`` and ``limits``."""

    body_bytes_max: int = 1024 * 1024
    read_timeout_s: float = 30.0
    json_depth_max: int = 64


@dataclass(slots=True)
class RouteStats:
    """Counters of one route since the start, for /metrics."""

    by_status: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0


class Server:
    """The surfaces of one listener. ``authorize(principal, action[, resource])`` raises ``forbidden``."""

    def __init__(self, surfaces: Sequence[Surface], authorize: Authorize, limits: WireLimits):
        self.surfaces = tuple(surfaces)
        self.limits = limits
        self.stats: dict[tuple[str, str], RouteStats] = {}
        # Set by whoever stops the daemon: answers then end their connections.
        self.draining = False
        self._hosts = HostRule()
        self._proxies = TrustedProxies()
        self._authorize = authorize
        self._note_refusal: NoteRefusal = lambda _stamp, _target, _failed: None
        self._methods: dict[str, set[str]] = {}
        self._shortcuts = Shortcuts()

    def allow_hosts(self, names: Sequence[str]) -> None:
        """Answer only requests addressed to ``names``, and to this machine's loopback; none means any."""
        self._hosts = HostRule(names)

    def note_refusals(self, note: NoteRefusal) -> None:
        """Tell ``note`` of every request that is refused for who sends it. Before :meth:`build`."""
        self._note_refusal = note

    def trust_proxies(self, ranges: Sequence[str]) -> None:
        """Believe ``X-Forwarded-For`` of who calls from ``ranges``, and of nobody else."""
        self._proxies.replace(ranges)

    def bound_routes(self) -> list[BoundRoute]:
        """Every route that is served."""
        return [BoundRoute(surface, route) for surface in self.surfaces for route in surface.routes]

    def build(self) -> web.Application:
        """The aiohttp application: each path with and without a trailing slash, and a last route for the rest."""
        app = web.Application(client_max_size=0)
        app[SERVER] = self
        for bound in self.bound_routes():
            handle = self._pipeline(bound)
            stem = bound.path.rstrip("/")
            for path in {stem or "/", f"{stem}/"}:
                route = app.router.add_route(bound.route.method, path, handle, expect_handler=_expect_later)
                self._shortcuts.add(bound.route.method, path, handle, route)
                self._methods.setdefault(path, set()).add(bound.route.method)
                if bound.route.method == "GET":
                    app.router.add_route("HEAD", path, handle, expect_handler=_expect_later)
                    self._methods[path].add("HEAD")
        for path in self._methods:
            if "{" not in path:  # else `/things/{id}` would serve other methods of `/things/check`
                app.router.add_route("*", path, self._unmatched, expect_handler=_expect_later)
        app.router.add_route("*", "/{tail:.*}", self._unmatched, expect_handler=_expect_later)
        self._app = app
        return app

    def dispatch(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        """The pipeline of the request's route: at once for most, by aiohttp's router for the rest."""
        return self._shortcuts.take(request) or self._app._handle(request)  # noqa: SLF001  # what aiohttp itself calls

    def performer(self, bound: BoundRoute) -> Callable[[web.Request, Call], Awaitable[Any]]:
        """What a route does with a request, whichever way it came: credential, permission, query, body, handler.

        It returns the handler's value, before the envelope, and raises :class:`AlloydError`. gRPC calls it like HTTP.
        """
        surface, route = bound.surface, bound.route
        declared = route.body
        if declared is None and surface.names_organizations and _may_have_body(route):
            declared = _NO_FIELDS
        decoder = None if declared is None else msgspec.json.Decoder(declared)
        body_bytes_max = route.body_bytes_max or self.limits.body_bytes_max
        takes_forms = route.form_schema is not None
        read_timeout_s, depth_max = self.limits.read_timeout_s, self.limits.json_depth_max
        action = None if route.permission in (PUBLIC, SIGNED_IN) else route.permission
        authorize, handler = self._authorize, stamping(bound)
        tell_refused = refusal_noter(bound, self._note_refusal)
        query_names_org, body_names_org = _has_organization(route.query), _has_organization(route.body)
        names_org = query_names_org or body_names_org or (surface.names_organizations and route.body == dict[str, Any])
        unread_org = surface.names_organizations and route.permission != PUBLIC
        ask = _asker(authorize, route.resource, names_org)
        find_principal = surface.find_stream_principal if bound.takes_ticket else surface.find_principal

        async def perform(request: web.Request, call: Call) -> Any:
            try:
                if route.permission != PUBLIC:
                    call.principal = find_principal(request) or await surface.authenticate(request)
                    if route.owner is not None and call.principal.standings:
                        call.principal = await _act_where_it_is(call.principal, route.owner, call.param("id"))
                    if action is not None:
                        if call.principal.grants or call.principal.standings:
                            ask(call, action)
                        else:  # a key without grants: nearly every request
                            authorize(call.principal, action)
                if "Expect" in request.headers:
                    await http_errors.answer_expect(request)
                if route.query is not None:
                    call.query = body.decode_query(request, route.query, surface.lenient)
                if takes_forms and body.is_form(request):
                    call.body = body.FORM
                elif decoder is not None:
                    call.body_bytes = await body.read_bytes(request, body_bytes_max, read_timeout_s) or b"{}"
                    call.body = body.decode_body(request, call.body_bytes, decoder, depth_max)
                if unread_org:
                    _check_unread(call, in_query=not query_names_org, in_body=not body_names_org)
                if names_org and action is not None and len(call.who.standings) > 1:
                    _act_where_named(call, action, authorize)
                return await handler(call)
            except AlloydError as error:
                tell_refused(call, error)
                raise

        return perform

    def _pipeline(self, bound: BoundRoute) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        surface, route = bound.surface, bound.route
        stats = self.stats.setdefault((route.method, surface.prefix + route.path), RouteStats())
        uuid_ids, proxies, cors = surface.uuid_request_ids, self._proxies, surface.cors
        own_headers = surface.answer_headers
        perform = self.performer(bound)

        async def handle(request: web.Request) -> web.StreamResponse:
            started = time.perf_counter()
            headers = request.headers
            request[TRUSTED_PROXIES] = proxies
            call = Call(request, route, request_id_of(headers.get("X-Request-Id"), uuid_ids))
            call.trace_id = trace_id_of(headers.get("traceparent"))
            if cors is not None:
                call.headers = cors.answer_headers(request)
            elif own_headers:
                call.headers = dict(own_headers)
            try:
                self._check_target(request)
                value = await perform(request, call)
                crash.reach("wire.before_answer")
                if isinstance(value, web.StreamResponse):
                    response = value
                else:
                    response = Answer(surface.encode(call, value), call.status, call.request_id, call.headers)
            except Exception as error:
                response = self._refuse(surface, error, call)
            if route.streams is None:  # how long a stream stays open says nothing of the server
                stats.seconds += time.perf_counter() - started
            stats.by_status[response.status] = stats.by_status.get(response.status, 0) + 1
            if self.draining:
                response.force_close()
            return response

        return handle

    def _check_target(self, request: web.Request) -> None:
        """Refuse what is not meant for this server, or is no text. Raises ``bad_request``."""
        target = request.raw_path
        host = request.headers.get("Host")
        if target[:1] != "/":  # the whole URL, whose host then counts instead
            host = request.host
        self._hosts.check(host)
        if "%" in target:
            http_errors.check_path(target)

    def _refuse(self, surface: Surface, error: Exception, call: Call) -> web.StreamResponse:
        known = to_alloyd_error(error)
        status = STATUS[known.code]
        if status >= 500:
            log.error(
                "request failed",
                request_id=call.request_id,
                method=call.request.method,
                route=call.route.path,
                reason=known.log or known.message,
                exc_info=error if known.code is Code.INTERNAL else None,
            )
        else:
            log.debug("request refused", request_id=call.request_id, route=call.route.path, reason=known.message)
        extra = None if surface.cors is None else surface.cors.answer_headers(call.request)
        extra = {**surface.answer_headers, **(extra or {}), **(call.headers_of_error or {})}
        return _refusal(surface, known, status, call.request_id, call, extra)

    def refuse_unread(self, path: str, error: AlloydError, status: int) -> web.StreamResponse:
        """Answer a request that could not even be read, in the dialect of ``path``."""
        surface = self._surface_of(path)
        return _refusal(surface, error, status, request_id_of(None, surface.uuid_request_ids), None)

    async def _unmatched(self, request: web.Request) -> web.StreamResponse:
        surface = self._surface_of(request.path)
        request_id = request_id_of(request.headers.get("X-Request-Id"), surface.uuid_request_ids)
        extra = (surface.cors.answer_headers(request) if surface.cors is not None else None) or {}
        extra = {**surface.answer_headers, **extra}
        try:
            self._check_target(request)
            raw_path = request.rel_url.raw_path
            if (canonical := surface.canonical_path(raw_path)) != raw_path:
                url = URL.build(path=canonical, query_string=request.rel_url.raw_query_string, encoded=True)
                return await self.dispatch(request.clone(rel_url=url))
            if surface.cors is not None and (asked := surface.cors.preflight_headers(request)) is not None:
                return _respond(b"", 204, request_id, asked)
            if allowed := await self._allowed_methods(request):
                extra["Allow"] = allowed
                raise AlloydError(Code.METHOD_NOT_ALLOWED, f"{request.method} is not served here; try {allowed}")
            raise AlloydError(Code.NOT_FOUND, "there is nothing at this path")
        except AlloydError as error:
            trace_id = trace_id_of(request.headers.get("traceparent"))
            response = _refusal(surface, error, STATUS[error.code], request_id, None, extra, trace_id)
        if self.draining:
            response.force_close()
        return response

    async def _allowed_methods(self, request: web.Request) -> str:
        """The methods of the routes whose path matches, for ``Allow``."""
        found = set(self._methods.get(request.path, ()))
        if found:
            return ", ".join(sorted(found))
        for resource in self._app.router.resources():
            if resource.canonical == "/{tail}":
                continue
            _match, methods = await resource.resolve(request)
            found |= methods
        return ", ".join(sorted(found))

    def _surface_of(self, path: str) -> Surface:
        """The surface in whose dialect an unknown path is refused: the longest beginning that matches."""
        collapsed = collapse_slashes(path)
        inside = [
            (len(beginning), surface)
            for surface in self.surfaces
            for beginning in surface.beginnings
            if f"{collapsed if surface.lenient else path}/".startswith(f"{beginning}/")
        ]
        return max(inside, key=lambda found: found[0])[1] if inside else self.surfaces[0]


def _may_have_body(route: Route) -> bool:
    """Whether a request that needs no field may yet carry a JSON body, which then has to be one."""
    return route.method in ("POST", "PUT", "PATCH") and not route.raw


def _has_organization(declared: Any) -> bool:
    """Whether a query or body can name the organization it is about."""
    return "organization_id" in getattr(declared, "__struct_fields__", ())


def _organization_in(given: Any) -> Any:
    """What a query or body names as its organization, None for none."""
    return given.get("organization_id") if isinstance(given, dict) else getattr(given, "organization_id", None)


def _check_unread(call: Call, *, in_query: bool, in_body: bool) -> None:
    """What a request names as its organization is one of the caller's, also where the route has no use for it."""
    if in_query:
        _check_named(call, call.request.query.get("organization_id"))
    if in_body and b'"organization_id"' in call.body_bytes:
        _check_named(call, _organization_in(msgspec.json.decode(call.body_bytes)))


def _check_named(call: Call, named: Any) -> None:
    if named is None:
        return
    if not isinstance(named, str):
        raise bad_request("organization_id: text is wanted", "organization_id")
    if call.who.within(named) is None:
        raise not_found("organization")


def _asker(authorize: Authorize, resource: tuple[str, str] | None, names_org: bool) -> Callable[[Call, str], None]:
    """Asks for a route's permission before anything is read; ``resource`` is the kind and name of what its path names.

    Who belongs to several organizations may name another one in the body or query: it is enough here that one of them
    allows it, and the one that is named is asked afterwards.
    """

    def ask(call: Call, action: str) -> None:
        who = call.who
        if names_org and len(who.standings) > 1:
            moved = [who.within(standing.org_id) for standing in who.standings]
            if any(principal is not None and principal.may(action) for principal in moved):
                return
        if resource is not None and who.refined:
            authorize(who, action, Resource(resource[0], call.param(resource[1]), who.org_id))
        else:
            authorize(who, action)

    return ask


def _act_where_named(call: Call, action: str, authorize: Authorize) -> None:
    """A user of several organizations acts in the one that the query or body names; raises as for any other."""
    named = None
    for given in (call.query, call.body):
        named = _organization_in(given) or named
    who = call.who if named is None else call.who.within(named)
    if who is None:
        raise not_found("organization")
    call.principal = who
    authorize(who, action)


async def _act_where_it_is(principal: Principal, find_owner: FindOwner, id_: str) -> Principal:
    """A user of several organizations acts in the one that the thing belongs to; elsewhere it is not found."""
    org_id = await find_owner(id_)
    return (principal.within(org_id) if org_id is not None else None) or principal


def to_alloyd_error(error: BaseException) -> AlloydError:
    """What the caller is told: everything unforeseen is ``internal`` and says nothing of the inside."""
    if isinstance(error, AlloydError):
        return error
    if isinstance(error, web.RequestPayloadError | ConnectionError):
        return AlloydError(Code.BAD_REQUEST, "body: broken off or badly encoded", field="body")
    if isinstance(error, asyncio.TimeoutError):
        return AlloydError(Code.UNAVAILABLE, "took too long; try again", retry_after_s=5)
    return AlloydError(Code.INTERNAL, "an internal error; the log has it under this request id", log=repr(error))


def error_headers(error: AlloydError) -> dict[str, str] | None:
    """Headers that go with an error."""
    if error.retry_after_s is None and error.code not in (Code.RATE_LIMITED, Code.UNAVAILABLE):
        return None
    return {"Retry-After": str(max(1, error.retry_after_s or 1))}


def request_id_of(given: str | None, uuid_only: bool) -> str:
    """A valid incoming request id is kept, any other replaced."""
    if given is None:
        return new_id()
    if is_uuid(given.lower()) or (not uuid_only and _REQUEST_ID.match(given)):
        return given
    return new_id()


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id of a valid W3C ``traceparent``, as a UUID."""
    match = _TRACEPARENT.match(traceparent) if traceparent else None
    return str(uuid.UUID(hex=match[1])) if match else None


async def _expect_later(request: web.Request) -> None:
    """``Expect`` is answered once the credential is checked, so nobody sends a body in vain."""


def _refusal(
    surface: Surface,
    error: AlloydError,
    status: int,
    request_id: str,
    call: Call | None,
    extra: dict[str, str] | None = None,
    trace_id: str | None = None,
) -> web.Response:
    headers = {**(error_headers(error) or {}), **(extra or {})}
    if error.code is Code.UNAUTHORIZED and surface.challenge is not None:
        headers["WWW-Authenticate"] = surface.challenge
    data = surface.encode_error(error, status, request_id, call, trace_id)
    return _respond(data, status, request_id, headers)


def _respond(data: bytes, status: int, request_id: str, extra: dict[str, str] | None) -> web.Response:
    headers = CIMultiDict(STANDING_HEADERS)
    headers["X-Request-Id"] = request_id
    if extra:
        headers.update(extra)
    return web.Response(body=data, status=status, headers=headers)
