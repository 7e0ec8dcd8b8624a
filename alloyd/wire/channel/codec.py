"""The channel contract's dialect: the private one's envelope, and in an error the run that gave no reply."""

from __future__ import annotations

from typing import Any

from alloyd.errors import AlloydError
from alloyd.wire.route import Call
from alloyd.wire.success import SuccessSurface, error_body


class ChannelSurface(SuccessSurface):
    """``/api/teammates``."""

    name = "channel"
    prefix = "/api/teammates"
    title = "Teammates' API channel"
    key_description = (
        "For paths under /api/teammates: an API key with the scope `private`, or one that is bound to the teammate"
    )

    def encode_error(
        self, error: AlloydError, status: int, request_id: str, call: Call | None, trace_id: str | None = None
    ) -> bytes:
        run_id = _run_of(error)
        return error_body(error.code.value, error.message, **({} if run_id is None else {"runId": run_id}))

    def describe_error(self) -> dict[str, Any]:
        told = super().describe_error()
        told["properties"]["runId"] = {"type": "string", "description": "The run that did not give a reply."}
        return told


def _run_of(error: AlloydError) -> str | None:
    """The run whose failure ``error`` tells."""
    details = error.details
    found = details[0].get("run_id") if isinstance(details, list) and details and isinstance(details[0], dict) else None
    return found if isinstance(found, str) else None
