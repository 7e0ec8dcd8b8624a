"""Which gRPC method is which route of the control plane. A route that is in no service is named in LEFT_OUT."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

PAGES: Final = "items"  # the field that holds a list's page


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its name, and the route it is."""

    name: str
    verb: str
    path: str


class Event(msgspec.Struct, kw_only=True):
    """Something that happened, as every stream tells it."""

    id: str
    kind: str
    organization_id: str
    subject: str
    payload: dict[str, Any]
    timestamp: str
    run_id: str | None = None
    job_id: str | None = None
    workflow_id: str | None = None
    node_key: str | None = None


class ProviderChunk(msgspec.Struct, kw_only=True):
    """A part of a streamed answer: `kind` is delta with `text`, any other with its `data`, and last done."""

    kind: str
    text: str | None = None
    data: Any = None


def _methods(*lines: str) -> tuple[Method, ...]:
    return tuple(Method(*line.split()) for line in lines)


SERVICES: Final[Mapping[str, tuple[Method, ...]]] = MappingProxyType(
    {
        "Identity": _methods(
            "GetMe GET /me",
        ),
        "Organizations": _methods(
            "GetOrganization GET /organizations/{id}",
        ),
        "ApiKeys": _methods(
            "CreateApiKey POST /api-keys",
            "ListApiKeys GET /api-keys",
            "GetApiKey GET /api-keys/{id}",
            "RevokeApiKey DELETE /api-keys/{id}",
            "DisableApiKey POST /api-keys/{id}/disable",
        ),
        "Workflows": _methods(
            "SaveWorkflowDefinition POST /workflow-definitions",
            "ListWorkflowDefinitions GET /workflow-definitions",
            "GetWorkflowDefinition GET /workflow-definitions/{id}",
            "CreateWorkflowRun POST /workflow-runs",
            "ListWorkflowRuns GET /workflow-runs",
            "GetWorkflowRun GET /workflow-runs/{id}",
            "StartWorkflowRun POST /workflow-runs/{id}/start",
            "CancelWorkflowRun POST /workflow-runs/{id}/cancel",
            "WatchWorkflowRun GET /workflow-runs/{id}/events",
            "ListOperations GET /operations",
        ),
        "Events": _methods(
            "StreamEvents GET /events/stream",
        ),
    }
)

# Methods that answer with a stream, and of what.
STREAMS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "WatchWorkflowRun": Event,
        "StreamEvents": Event,
    }
)

# Routes that gRPC does not have, and why.
LEFT_OUT: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("POST", "/auth/stream-ticket"): "a browser's way to open a stream",
        ("GET", "/events/ws"): "StreamEvents is gRPC's own",
    }
)

_PARAMETER = re.compile(r"\{(\w+)(?::[^}]*)?\}")


def path_parameters(path: str) -> list[str]:
    """The names in braces, in order."""
    return _PARAMETER.findall(path)
