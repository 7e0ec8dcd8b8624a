"""The envelope that two contracts share: `{"success": true, "data": …}`, or `{"success": false, error, message}`."""

from __future__ import annotations

from typing import Any

import msgspec

from alloyd.errors import AlloydError
from alloyd.wire.route import Call
from alloyd.wire.surface import Surface

_ENCODER = msgspec.json.Encoder()


class SuccessSurface(Surface):
    """A surface with this envelope and the header ``api-key``. Subclasses say whose key that is."""

    # What the description of the API tells of the key.
    key_description: str

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
        return {"type": "apiKey", "in": "header", "name": "api-key", "description": self.key_description}


def error_body(code: str, message: str, **more: str) -> bytes:
    """An error body, also for a status that no error code has, such as 416; ``more`` are further members."""
    return _ENCODER.encode({"success": False, "error": code, "message": message, **more})
