"""The private contract's dialect: its credential, envelope and error body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from alloyd.errors import AlloydError
from alloyd.wire.auth import Authenticator
from alloyd.wire.route import Call, Route
from alloyd.wire.surface import Surface

_ENCODER = msgspec.json.Encoder()


class PrivateSurface(Surface):
    """``{"success": true, "data": …}`` with the header ``api-key``; the web page's own door has another ``prefix``."""

    title = "Storage and triggers"

    def __init__(
        self,
        routes: Sequence[Route],
        authenticator: Authenticator,
        *,
        name: str = "private",
        prefix: str = "/api/private",
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
        return error_body(error.code.value, error.message)

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
            "properties": {"success": {"const": False}, "error": {"type": "string"}, "message": {"type": "string"}},
        }

    def describe_security(self) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "api-key",
            "description": "For paths under /api/private: an API key with the scope `private`",
        }


def error_body(code: str, message: str) -> bytes:
    """An error body for a status that only this contract has, such as 416."""
    return _ENCODER.encode({"success": False, "error": code, "message": message})
