"""What an event is, and how it looks on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from alloyd.kit.clock import rfc3339

_ENCODER = msgspec.json.Encoder()

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")

TERMINAL_RUN_KINDS = frozenset({"workflow.run.completed", "workflow.run.failed", "workflow.run.cancelled"})
# By what a story is of.
TERMINAL_KINDS: Mapping[str, frozenset[str]] = {
    "run": TERMINAL_RUN_KINDS,
    "job": frozenset({"job.completed", "job.failed"}),
}


@dataclass(frozen=True, slots=True)
class Story:
    """All that is told of one run, or of one job: it has an end."""

    of: Literal["run", "job"]
    id: str


@dataclass(frozen=True, slots=True)
class AgedEvent:
    """An event as retention looks at it."""

    id: int
    org_id: str
    run_id: str | None
    created_at: int


class Event:
    """Something that happened, in one organization.

    Made by a write function and given to ``tx.emit``; ``id`` and ``created_at`` are set when its row is written.
    ``payload`` is a JSON object, or its encoding.
    """

    __slots__ = (
        "_encoded",
        "_frame",
        "created_at",
        "id",
        "job_id",
        "kind",
        "node_key",
        "org_id",
        "payload",
        "run_id",
        "subject",
        "workflow_id",
    )

    def __init__(
        self,
        org_id: str,
        kind: str,
        subject: str,
        payload: bytes | dict[str, Any] | None = None,
        *,
        run_id: str | None = None,
        job_id: str | None = None,
        workflow_id: str | None = None,
        node_key: str | None = None,
        id: int = 0,  # noqa: A002  # the wire's own word
        created_at: int = 0,
    ) -> None:
        self.org_id = org_id
        self.kind = kind
        self.subject = subject
        self.payload = payload if isinstance(payload, bytes) else _ENCODER.encode(payload or {})
        self.run_id = run_id
        self.job_id = job_id
        self.workflow_id = workflow_id
        self.node_key = node_key
        self.id = id
        self.created_at = created_at
        self._encoded: bytes | None = None
        self._frame: bytes | None = None

    def ends(self, story: Story) -> bool:
        """Whether nothing more will be told in ``story``, which this event is a part of."""
        return self.kind in TERMINAL_KINDS[story.of]

    def to_json(self) -> bytes:
        """The bare event as every stream sends it; encoded once, however many readers there are."""
        if self._encoded is None:
            wire: dict[str, Any] = {
                "id": str(self.id),
                "kind": self.kind,
                "organization_id": self.org_id,
                "subject": self.subject,
            }
            if self.run_id is not None:
                wire["run_id"] = self.run_id
            if self.job_id is not None:
                wire["job_id"] = self.job_id
            if self.workflow_id is not None:
                wire["workflow_id"] = self.workflow_id
            if self.node_key is not None:
                wire["node_key"] = self.node_key
            wire["payload"] = msgspec.Raw(self.payload)
            wire["timestamp"] = rfc3339(self.created_at)
            encoded = _ENCODER.encode(wire)
            # A payload given as bytes may be laid out over lines. Outside of strings a line break is only space, and
            # inside of them JSON has none.
            if b"\n" in encoded or b"\r" in encoded:
                encoded = encoded.translate(_ONE_LINE)
            self._encoded = encoded
        return self._encoded

    def to_frame(self) -> bytes:
        """The event as a server-sent event; built once, however many readers there are."""
        if self._frame is None:
            self._frame = b"id: %d\nevent: %s\ndata: %s\n\n" % (self.id, self.kind.encode(), self.to_json())
        return self._frame
