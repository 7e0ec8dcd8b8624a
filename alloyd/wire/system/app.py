"""The system surface's dialect: bare bodies, no credential; also what answers at paths outside of every prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from alloyd.errors import AlloydError
from alloyd.wire.fixed import FixedFile
from alloyd.wire.route import PUBLIC, Call, Route
from alloyd.wire.surface import Surface
from alloyd.wire.system import health, metrics

_ENCODER = msgspec.json.Encoder()


class SystemSurface(Surface):
    """Bare JSON; an error is ``{"error": code, "message": …}``."""

    name = "system"
    prefix = ""
    challenge = "Bearer"

    def encode(self, call: Call, value: Any) -> bytes:
        return _ENCODER.encode(value)

    def encode_error(
        self, error: AlloydError, status: int, request_id: str, call: Call | None, trace_id: str | None = None
    ) -> bytes:
        return _ENCODER.encode({"error": error.code.value, "message": error.message})

    def describe_error(self) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["error", "message"],
            "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
        }

    def describe_security(self) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "The token of `metrics.token`, for /metrics"}


def system_surface(readiness: health.Readiness, figures: metrics.Metrics, document: Callable[[], bytes]) -> Surface:
    """Health, metrics and ``/openapi.json``, which ``document()`` gives as it is served."""
    described: list[FixedFile] = []

    async def get_openapi(call: Call) -> web.Response:
        if not described:
            described.append(FixedFile(document(), "application/json"))
        return await described[0].answer(call)

    return SystemSurface(
        [
            *health.routes(readiness),
            *metrics.routes(figures),
            Route(
                "GET",
                "/openapi.json",
                get_openapi,
                PUBLIC,
                "All surfaces as an OpenAPI 3.1 document",
                output=dict[str, Any],
            ),
        ]
    )
