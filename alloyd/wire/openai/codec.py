"""The OpenAI format's dialect: bare bodies, its error object, and its names of fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from alloyd.errors import AlloydError, Code
from alloyd.wire.route import Call, Handler
from alloyd.wire.surface import Surface

MODEL: Final = "model"
NO_MODEL: Final = "the model does not exist, or you have no access to it"
QUOTA: Final = "insufficient_quota"

_CALLERS: Final = "invalid_request_error"
_OURS: Final = "server_error"
# What OpenAI's clients are told: the kind of error, and its code.
_TOLD: Final[Mapping[Code, tuple[str, str | None]]] = {
    Code.BAD_REQUEST: (_CALLERS, None),
    Code.UNAUTHORIZED: (_CALLERS, "invalid_api_key"),
    Code.FORBIDDEN: (_CALLERS, "insufficient_permissions"),
    Code.NOT_FOUND: (_CALLERS, "unknown_url"),
    Code.METHOD_NOT_ALLOWED: (_CALLERS, "method_not_supported"),
    Code.CONFLICT: (_CALLERS, "conflict"),
    Code.TOO_LARGE: (_CALLERS, "request_too_large"),
    Code.UNPROCESSABLE: (_CALLERS, "unprocessable"),
    Code.RATE_LIMITED: ("requests", "rate_limit_exceeded"),
    Code.INTERNAL: (_OURS, "internal_error"),
    Code.UPSTREAM_FAILED: (_OURS, "upstream_failed"),
    Code.UNAVAILABLE: (_OURS, "unavailable"),
}
_ENCODER = msgspec.json.Encoder()


class OpenAISurface(Surface):
    """Below ``/v1``, which is the control plane's as well: only the paths that OpenAI's clients ask for are here."""

    name = "openai"
    prefix = "/v1"
    own_paths = ("/v1/chat", "/v1/embeddings", "/v1/models")
    challenge = "Bearer"
    title = "OpenAI: chat, embeddings and models"

    def encode(self, call: Call, value: Any) -> bytes:
        return _ENCODER.encode(value)

    def encode_error(
        self, error: AlloydError, status: int, request_id: str, call: Call | None, trace_id: str | None = None
    ) -> bytes:
        return _ENCODER.encode({"error": error_object(error)})

    def describe_error(self) -> dict[str, Any]:
        told = {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
        return {"type": "object", "required": ["error"], "properties": {"error": told}}

    def describe_security(self) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "As for the control plane: an API key with the scope `control`, or a user's token",
        }


def error_object(error: AlloydError) -> dict[str, Any]:
    """``error`` as OpenAI's clients read it. ``param`` names the field, ``code`` is for programs."""
    kind, code = _TOLD[error.code]
    if error.code is Code.NOT_FOUND and error.field == MODEL:
        code = "model_not_found"
    elif error.code is Code.RATE_LIMITED and _is_of_budget(error):
        kind = code = QUOTA
    return {"message": error.message, "type": kind, "param": error.field, "code": code}


def _is_of_budget(error: AlloydError) -> bool:
    return isinstance(error.details, dict) and "budget" in error.details


def no_model() -> AlloydError:
    """A model that is not there, or another organization's teammate: which of them, nobody can tell."""
    return AlloydError(Code.NOT_FOUND, NO_MODEL, field=MODEL)


def in_its_words(handler: Handler, rename: Callable[[str], str]) -> Handler:
    """``handler``, whose errors name the fields as this format does: ``rename`` gives its name for one of ours."""

    async def handle(call: Call) -> Any:
        try:
            return await handler(call)
        except AlloydError as error:
            raise translated(error, rename) from error

    return handle


def translated(error: AlloydError, rename: Callable[[str], str]) -> AlloydError:
    """``error`` in this format's words. Providers that all want to be left alone for a while are a 429, not a 502."""
    code, field, message = error.code, error.field, error.message
    if field is not None and (renamed := rename(field)) != field:
        message = renamed + message.removeprefix(field) if message.startswith(field) else message
        field = renamed
    if code is Code.NOT_FOUND and field is None:
        field = MODEL
    if code is Code.UPSTREAM_FAILED and _all_rate_limited(error.details):
        code = Code.RATE_LIMITED
    return AlloydError(
        code, message, field=field, details=error.details, log=error.log, retry_after_s=error.retry_after_s
    )


def _all_rate_limited(details: Any) -> bool:
    return isinstance(details, list) and bool(details) and all(one.get("status") == 429 for one in details)
