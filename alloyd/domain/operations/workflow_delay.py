"""``workflow.delay``: waits for a time or until one, without costing anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, field

from alloyd.domain.operations.durations import DURATION_MS_MAX, parse_duration, parse_time
from alloyd.domain.operations.model import (
    Config,
    Done,
    Fault,
    Operation,
    OperationError,
    Outcome,
    StepContext,
    WaitUntil,
)
from alloyd.domain.operations.validation import is_template
from alloyd.kit.clock import rfc3339


class DelayConfig(Config, frozen=True):
    """How long, or until when: exactly one of the two."""

    for_: Annotated[
        int | float | str | UnsetType,
        Meta(description="Milliseconds, a text such as `5m` or `1h 30m`, or ISO 8601 (`PT5M`, `P1D`); at most a year."),
    ] = field(name="for", default=UNSET)
    until: Annotated[
        str | UnsetType,
        Meta(description="An RFC 3339 time, at most a year ahead. One that has passed does not wait."),
    ] = UNSET


async def execute(ctx: StepContext, config: DelayConfig) -> Outcome:
    """Waits, never ending early; output ``{until}``.

    Safe to repeat: nothing is touched, and once the timer's row is written the step is not run again. If it is cut
    off before, a ``for`` counts from the new attempt.
    """
    now_ms = ctx.services.clock.now_ms()
    if config.for_ is not UNSET:
        fire_at_ms = now_ms + _parsed("for", parse_duration, config.for_)
    else:
        fire_at_ms = _parsed("until", parse_time, config.until)
        if fire_at_ms - now_ms > DURATION_MS_MAX:
            raise OperationError("bad_config", "until: is more than a year ahead", path="until")
        if fire_at_ms <= now_ms:
            return Done({"until": rfc3339(fire_at_ms)})
    return WaitUntil(fire_at_ms, {"until": rfc3339(fire_at_ms)})


def check(config: Mapping[str, Any]) -> list[Fault]:
    """Exactly one of the two, and each readable."""
    if ("for" in config) == ("until" in config):
        return [Fault("", "give `for` or `until`, one of the two")]
    faults = []
    readers: tuple[tuple[str, Callable[[Any], int], tuple[type, ...]], ...] = (
        ("for", parse_duration, (int, float, str)),
        ("until", parse_time, (str,)),
    )
    for name, parse, types in readers:
        given = config.get(name)
        if isinstance(given, types) and not isinstance(given, bool) and not is_template(given):
            try:
                parse(given)
            except ValueError as error:
                faults.append(Fault(name, _told(name, error)))
    return faults


def _parsed(name: str, parse: Callable[[Any], int], given: Any) -> int:
    try:
        return parse(given)
    except ValueError as error:
        raise OperationError("bad_config", f"{name}: {_told(name, error)}", path=name) from None


def _told(name: str, error: ValueError) -> str:
    return str(error) if name == "for" else "an RFC 3339 time such as 2026-01-31T09:00:00Z is wanted"


OPERATION = Operation(
    name="workflow.delay",
    config=DelayConfig,
    summary="Waits `for` a time or `until` one; never ends early. Output: {until}.",
    execute=execute,
    check=check,
)
