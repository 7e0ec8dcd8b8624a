"""``workflow.wait_event``: waits for an event of the organization, or for a signal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.operations.durations import parse_duration
from alloyd.domain.operations.model import (
    RECEIVED,
    TIMED_OUT,
    Config,
    Fault,
    Operation,
    OperationError,
    Outcome,
    StepContext,
    WaitForEvent,
)
from alloyd.domain.operations.validation import is_template
from alloyd.kit.event_names import EVENT_CHARS_MAX, fault_of_listened


class WaitEventConfig(Config, frozen=True):
    """Which event, and how long."""

    event: Annotated[
        str,
        Meta(
            description="The event's kind, or the beginning of kinds: `order.paid`, `order.*`; for an end user's run "
            "the event's name, `Order Created`. Also the name of the signal that resumes the step.",
            min_length=1,
            max_length=EVENT_CHARS_MAX,
        ),
    ]
    match: Annotated[
        dict[str, Any] | str | UnsetType,
        Meta(
            description="What the event's payload has to hold, `{order: {id: '{{ trigger.id }}'}}`; or an expression "
            "over `event`: `event.payload.total > trigger.limit`. What can't be evaluated does not match."
        ),
    ] = UNSET
    timeout: Annotated[
        int | float | str | UnsetType,
        Meta(description="The longest wait: milliseconds, or a text such as `5m` or `P1D`. Without it, no end."),
    ] = UNSET
    on_timeout: Annotated[
        Literal["fail", "continue"],
        Meta(description="`fail`: the step fails with `timed_out`; `continue`: it goes on by the way `timed_out`."),
    ] = "fail"


async def execute(ctx: StepContext, config: WaitEventConfig) -> Outcome:
    """The output is the event: `{id, kind, organization_id, subject, run_id?, payload, timestamp}`; of a signal
    `{kind, payload, timestamp}`; after a timeout that goes on `{timed_out: true}`.

    Only what happens after the step began to wait counts; that is never lost, and resumes it once. An object as `match`
    is looked at with the event; an expression wakes the run for each event of the kind, so give the object where many
    runs wait for the same kind.
    """
    fault = fault_of_listened(config.event)
    if fault is not None:
        raise OperationError("bad_config", f"event: {fault}", path="event")
    fire_at_ms = None
    if not isinstance(config.timeout, UnsetType):
        try:
            fire_at_ms = ctx.services.clock.now_ms() + parse_duration(config.timeout)
        except ValueError as error:
            raise OperationError("bad_config", f"timeout: {error}", path="timeout") from None
    asks = "match" in ctx.deferred
    match = None if asks or isinstance(config.match, UnsetType) else config.match
    return WaitForEvent(config.event, match, asks, fire_at_ms, config.on_timeout)


def check(config: Mapping[str, Any]) -> list[Fault]:
    """The event is well formed, and the timeout readable."""
    faults = []
    event, timeout = config.get("event"), config.get("timeout")
    if isinstance(event, str) and event and not is_template(event) and (fault := fault_of_listened(event)):
        faults.append(Fault("event", fault))
    if isinstance(timeout, int | float | str) and not isinstance(timeout, bool) and not is_template(timeout):
        try:
            parse_duration(timeout)
        except ValueError as error:
            faults.append(Fault("timeout", str(error)))
    return faults


OPERATION = Operation(
    name="workflow.wait_event",
    config=WaitEventConfig,
    summary="Waits for an event of the organization, or for a signal to this run. Output: the event.",
    execute=execute,
    check=check,
    deferred={"match": frozenset({"event"})},
    deferred_texts=frozenset({"match"}),
    ports=(RECEIVED, TIMED_OUT),
    waits=True,
)
