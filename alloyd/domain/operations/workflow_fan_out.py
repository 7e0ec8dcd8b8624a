"""``workflow.fan_out``: one step that several others follow, all at the same time."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta

from alloyd.domain.operations.model import Config, Done, Operation, StepContext


class FanOutConfig(Config, frozen=True):
    """What the steps that follow are given."""

    value: Annotated[Any, Meta(description="Passed on as `output.value`; the step's inputs unless given.")] = UNSET


def compute(ctx: StepContext, config: FanOutConfig) -> Done:
    """``{value, to}``: what is passed on, and the keys of the steps that follow."""
    value = (dict(ctx.inputs) or None) if config.value is UNSET else config.value
    return Done({"value": value, "to": list(ctx.dependents)})


OPERATION = Operation(
    name="workflow.fan_out",
    config=FanOutConfig,
    summary="Starts all steps that depend on it at the same time. Output: {value, to}, `to` being their keys.",
    compute=compute,
)
