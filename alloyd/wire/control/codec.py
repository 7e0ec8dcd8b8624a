"""The control contract's dialect: the five-key envelope around every JSON answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import Clock, rfc3339
from alloyd.principal import Principal
from alloyd.wire.auth import Authenticator
from alloyd.wire.control.headings import heading_of
from alloyd.wire.route import Call, Route
from alloyd.wire.surface import Heading, Surface
from alloyd.wire.tickets import StreamTickets

_ENCODER = msgspec.json.Encoder()
VERSION = "1.0"


class ControlSurface(Surface):
    """``{meta, context, data, error, links}`` with ``Authorization: Bearer``.

    The operator's surface speaks the same dialect under another ``name`` and ``prefix``, and so does the web page's own
    door to the same routes, which has no ``challenge`` and is not ``described``.
    """

    uuid_request_ids = True
    output_pointer = "/data"

    def __init__(
        self,
        routes: Sequence[Route],
        authenticator: Authenticator,
        clock: Clock,
        *,
        name: str = "control",
        prefix: str = "/v1",
        tickets: StreamTickets | None = None,
        challenge: str | None = "Bearer",
        described: bool = True,
    ) -> None:
        super().__init__(routes, authenticator)
        self._tickets = tickets
        if tickets is not None:
            self.stream_security = {
                "streamTicket": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "For streams of events in browsers: from `POST /v1/auth/stream-ticket`, for one use",
                }
            }
        self.name = name
        self.prefix = prefix
        self.challenge = challenge
        self.described = described
        self.names_organizations = prefix != "/operator"  # the operator's surface is about all of them
        self._clock = clock

    def find_stream_principal(self, request: web.Request) -> Principal | None:
        if self._tickets is None or "ticket" not in request.query:
            return self.find_principal(request)
        principal = self._tickets.redeem(request.query["ticket"])
        if principal is None:
            raise AlloydError(Code.UNAUTHORIZED, "ticket: not valid, used already or expired", field="ticket")
        return principal

    def heading_of(self, route: Route) -> Heading:
        return heading_of(route.path) if self.prefix == "/v1" else super().heading_of(route)

    def encode(self, call: Call, value: Any) -> bytes:
        links = {"self": call.request.path_qs, **(call.links or {})}
        return self._envelope(call.request_id, call, call.status, value, None, links)

    def encode_error(
        self, error: AlloydError, status: int, request_id: str, call: Call | None, trace_id: str | None = None
    ) -> bytes:
        told: dict[str, Any] = {"code": error.code.value, "message": error.message}
        details = error.details if error.details is not None else ({"field": error.field} if error.field else None)
        if details is not None:
            told["details"] = details
        return self._envelope(request_id, call, status, None, told, {}, trace_id)

    def _envelope(
        self,
        request_id: str,
        call: Call | None,
        status: int,
        data: Any,
        error: Any,
        links: dict[str, str],
        trace_id: str | None = None,
    ) -> bytes:
        return envelope(self._clock.now_ms(), request_id, call, status, data, error, links, trace_id)

    def describe_output(self, schema: dict[str, Any]) -> dict[str, Any]:
        return _envelope_schema(schema, {"type": "null"})

    def describe_error(self) -> dict[str, Any]:
        error = {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "details": {}},
        }
        return _envelope_schema({"type": "null"}, error)

    def describe_security(self) -> dict[str, Any]:
        told = f"For paths under {self.prefix}: an API key with the scope `control`, or a user's token"
        return {"type": "http", "scheme": "bearer", "description": told}


def envelope(
    now_ms: int,
    request_id: str,
    call: Call | None,
    status: int,
    data: Any,
    error: Any,
    links: dict[str, str],
    trace_id: str | None = None,
) -> bytes:
    """The five keys around ``data`` or ``error``, encoded."""
    principal = call.principal if call else None
    return _ENCODER.encode(
        {
            "meta": {
                "request_id": request_id,
                "trace_id": (call.trace_id if call else trace_id) or request_id,
                "timestamp": rfc3339(now_ms),
                "status": status,
                "version": VERSION,
            },
            "context": {
                "principal_id": principal.id if principal else None,
                "organization_id": (principal.org_id or None) if principal else None,
                "team_id": principal.team_id if principal else None,
            },
            "data": data,
            "error": error,
            "links": links,
        }
    )


def _envelope_schema(data: dict[str, Any], error: dict[str, Any]) -> dict[str, Any]:
    nullable_id = {"type": ["string", "null"]}
    return {
        "type": "object",
        "required": ["meta", "context", "data", "error", "links"],
        "properties": {
            "meta": {
                "type": "object",
                "required": ["request_id", "trace_id", "timestamp", "status", "version"],
                "properties": {
                    "request_id": {"type": "string", "format": "uuid"},
                    "trace_id": {"type": "string", "format": "uuid"},
                    "timestamp": {"type": "string", "format": "date-time"},
                    "status": {"type": "integer"},
                    "version": {"const": VERSION},
                },
            },
            "context": {
                "type": "object",
                "required": ["principal_id", "organization_id", "team_id"],
                "properties": {
                    "principal_id": nullable_id,
                    "organization_id": nullable_id,
                    "team_id": nullable_id,
                },
            },
            "data": data,
            "error": error,
            "links": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
