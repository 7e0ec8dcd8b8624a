"""The one error that leaves a capability, and the closed set of its codes. HTTP statuses live in wire."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """What went wrong, in the domain's words. Each contract maps these to its own statuses and texts."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNPROCESSABLE = "unprocessable"
    RATE_LIMITED = "rate_limited"
    INTERNAL = "internal"
    UPSTREAM_FAILED = "upstream_failed"
    UNAVAILABLE = "unavailable"


class AlloydError(Exception):
    """A failure that a caller can be told about.

    ``message`` is for the caller and never holds a secret or a path on disk; ``log`` is for the operator's log
    only. ``field`` names the offending input (``path``, ``nodes[2].config.url``); ``details`` is a list of
    faults or other JSON that the control envelope carries; ``retry_after_s`` becomes ``Retry-After``.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        field: str | None = None,
        details: Any = None,
        log: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.details = details
        self.log = log
        self.retry_after_s = retry_after_s

    def __repr__(self) -> str:
        return f"AlloydError({self.code.value}, {self.message!r}, log={self.log!r})"


def bad_request(message: str, field: str | None = None, details: Any = None) -> AlloydError:
    """The input is wrong; ``field`` names which part."""
    return AlloydError(Code.BAD_REQUEST, message, field=field, details=details)


def not_found(what: str) -> AlloydError:
    """``what`` does not exist, or belongs to another organization: the caller can't tell which."""
    return AlloydError(Code.NOT_FOUND, f"{what} not found")


def conflict(message: str, field: str | None = None) -> AlloydError:
    """The request is well formed but the present state forbids it."""
    return AlloydError(Code.CONFLICT, message, field=field)
