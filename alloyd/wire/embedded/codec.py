"""The embedded contract's dialect: bare JSON, and its own codes of errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from alloyd.errors import AlloydError, Code, bad_request
from alloyd.wire.auth import Authenticator
from alloyd.wire.cors import Cors
from alloyd.wire.route import Call, Handler, Route
from alloyd.wire.surface import Surface

PREFIX: Final = "/2025-09"

# The contract has no codes for what is neither the caller's fault nor ours; clients look at the status.
CODES: Final[dict[Code, str]] = {
    Code.BAD_REQUEST: "BAD_REQUEST",
    Code.UNAUTHORIZED: "UNAUTHORIZED",
    Code.FORBIDDEN: "FORBIDDEN",
    Code.NOT_FOUND: "NOT_FOUND",
    Code.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
    Code.CONFLICT: "CONFLICT",
    Code.TOO_LARGE: "TOO_LARGE",
    Code.UNPROCESSABLE: "BAD_REQUEST",
    Code.RATE_LIMITED: "RATE_LIMITED",
    Code.INTERNAL: "INTERNAL_ERROR",
    Code.UPSTREAM_FAILED: "INTERNAL_ERROR",
    Code.UNAVAILABLE: "INTERNAL_ERROR",
}
# What the domain calls its fields, and clients of this contract otherwise.
_FIELDS: Final = {"full_name": "fullName", "idempotency_key": "Idempotency-Key"}

_ENCODER = msgspec.json.Encoder()


class EmbeddedSurface(Surface):
    """One version of the contract: its values as they are, and ``{"error": "<CODE>", "message": "<text>"}``."""

    lenient = True
    challenge = "Bearer"

    def __init__(
        self,
        routes: Sequence[Route],
        authenticator: Authenticator,
        cors: Cors | None = None,
        *,
        name: str = "embedded",
        prefix: str = PREFIX,
        aliases: Sequence[str] = (),
    ) -> None:
        super().__init__(routes, authenticator)
        self.name = name
        self.prefix = prefix
        self.title = f"Embedded {prefix.removeprefix('/')}"
        self.aliases = aliases
        self.cors = cors

    def encode(self, call: Call, value: Any) -> bytes:
        return _ENCODER.encode(value)

    def encode_error(
        self, error: AlloydError, status: int, request_id: str, call: Call | None, trace_id: str | None = None
    ) -> bytes:
        return _ENCODER.encode({"error": CODES[error.code], "message": error.message})

    def describe_error(self) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["error", "message"],
            "properties": {"error": {"enum": sorted(set(CODES.values()))}, "message": {"type": "string"}},
        }

    def describe_security(self) -> dict[str, Any]:
        told = f"For paths under {self.prefix}: an API key with the scope `embedded`, or an end user's token"
        return {"type": "http", "scheme": "bearer", "description": told}


def in_its_words(handler: Handler) -> Handler:
    """``handler``, whose errors are told as this contract has them: its names of fields, and never 422.

    Clients of it take a 422 for data.
    """

    async def handle(call: Call) -> Any:
        try:
            return await handler(call)
        except AlloydError as error:
            raise _translated(error) from error

    return handle


def _translated(error: AlloydError) -> AlloydError:
    field, message = error.field, error.message
    if field in _FIELDS:
        field, message = _FIELDS[field], message.replace(field, _FIELDS[field], 1)
    if error.code is Code.UNPROCESSABLE:
        return bad_request(message, field)
    return AlloydError(error.code, message, field=field, log=error.log, retry_after_s=error.retry_after_s)
