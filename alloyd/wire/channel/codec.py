"""The channel contract's dialect: the private one's credential, envelope and error body, and a failed run's id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from alloyd.errors import AlloydError
from alloyd.wire.auth import Authenticator
from alloyd.wire.route import Call, Route
from alloyd.wire.surface import Surface

_ENCODER = msgspec.json.Encoder()


class ChannelSurface(Surface):
    """``{"success": true, "data": …}`` with the header ``api-key``; the web page's own door has another ``prefix``."""

    title = "Teammates' API channel"

    def __init__(
        self,
        routes: Sequence[Route],
        authenticator: Authenticator,
        *,
        name: str = "channel",
        prefix: str = "/api/teammates",
        described: bool = True,
    ) -> None:
        super().__init__(routes, authenticator)
        self.name = name
        self.prefix = prefix
        self.described = described

    def encode(self, call: Call, value: Any) -> bytes:
        return _ENCODER.encode({"success": True, "data": value})

    def encode_error(
        self, error: AlloydError, status: int, request_id: str, call: Call | None, trace_id: str | None = None
    ) -> bytes:
        told = {"success": False, "error": error.code.value, "message": error.message}
        run_id = _run_of(error)
        return _ENCODER.encode(told if run_id is None else {**told, "runId": run_id})

    def describe_output(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["success", "data"],
            "properties": {"success": {"const": True}, "data": schema},
        }

    def describe_error(self) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["success", "error", "message"],
            "properties": {
                "success": {"const": False},
                "error": {"type": "string"},
                "message": {"type": "string"},
                "runId": {"type": "string", "description": "The run that did not give a reply."},
            },
        }

    def describe_security(self) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "api-key",
            "description": "For paths under /api/teammates: an API key with the scope `private`, or one that is bound "
            "to the teammate",
        }


def _run_of(error: AlloydError) -> str | None:
    """The run whose failure ``error`` tells."""
    details = error.details
    found = details[0].get("run_id") if isinstance(details, list) and details and isinstance(details[0], dict) else None
    return found if isinstance(found, str) else None
