"""``event.emit``: tells the organization's event streams that something happened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alloyd.domain.operations.model import Config, Done, Fault, Operation, OperationError, StepContext
from alloyd.domain.operations.validation import is_template
from alloyd.events.model import Event

KIND_CHARS_MAX = 128
SUBJECT_CHARS_MAX = 256
# What alloyd says itself: nobody else may, or readers could be deceived.
RESERVED_PREFIXES = (
    "alloyd.",
    "api_key.",
    "asset.",
    "audit.",
    "credential.",
    "grant.",
    "installation.",
    "integration.",
    "invitation.",
    "job.",
    "organization.",
    "provider.",
    "run.",
    "schedule.",
    "step.",
    "storage.",
    "storage_",
    "system.",
    "team.",
    "teammate.",
    "usage.",
    "user.",
    "webhook.",
    "workflow.",
)
_KIND = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*")


class EmitConfig(Config, frozen=True):
    """The event."""

    kind: Annotated[
        str,
        Meta(
            description="Dotted words of a-z, 0-9 and _, such as `order.paid`; not one of alloyd's own "
            f"({', '.join(f'`{prefix}`' for prefix in RESERVED_PREFIXES)}).",
            min_length=1,
            max_length=KIND_CHARS_MAX,
        ),
    ]
    payload: Annotated[dict[str, Any], Meta(description="What there is to tell.")] = msgspec.field(default_factory=dict)
    subject: Annotated[
        Annotated[str, Meta(max_length=SUBJECT_CHARS_MAX)] | None,
        Meta(description="What the event is about; the run's id unless given."),
    ] = None


def compute(ctx: StepContext, config: EmitConfig) -> Done:
    """Emits the event; output ``{kind, subject}``.

    To repeat: the event is written in the very commit that records the step, so it is told exactly once.
    """
    fault = _fault_of(config.kind)
    if fault is not None:
        raise OperationError("bad_config", f"kind: {fault}", path="kind")
    subject = ctx.run_id if config.subject is None else config.subject
    event = Event(
        ctx.principal.org_id,
        config.kind,
        subject,
        config.payload,
        run_id=ctx.run_id,
        workflow_id=ctx.workflow_id,
        node_key=ctx.step_key,
    )
    if len(event.payload) > ctx.services.output_bytes_max:
        told = f"payload: larger than {ctx.services.output_bytes_max} bytes"
        raise OperationError("too_large", told, path="payload")
    return Done({"kind": config.kind, "subject": subject}, events=(event,))


def check(config: Mapping[str, Any]) -> list[Fault]:
    """The kind is well formed and not one of alloyd's own."""
    kind = config.get("kind")
    if not isinstance(kind, str) or not kind:
        return []
    if is_template(kind):
        # What stands before the braces is known already.
        fixed = kind.partition("{{")[0]
        return [Fault("kind", _RESERVED)] if fixed.startswith(RESERVED_PREFIXES) else []
    fault = _fault_of(kind)
    return [] if fault is None else [Fault("kind", fault)]


_RESERVED = "begins with a word that is reserved for alloyd's own events"


def _fault_of(kind: str) -> str | None:
    if not _KIND.fullmatch(kind):
        return "dotted words of a-z, 0-9 and _ are wanted, such as order.paid"
    return _RESERVED if f"{kind}.".startswith(RESERVED_PREFIXES) else None


OPERATION = Operation(
    name="event.emit",
    config=EmitConfig,
    summary="Emits an event of the organization's own. Output: {kind, subject}.",
    compute=compute,
    check=check,
)
