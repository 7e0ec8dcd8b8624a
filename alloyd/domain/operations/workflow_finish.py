"""``workflow.finish``: ends the run, whatever else it would have done."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta

from alloyd.domain.operations.model import Config, Done, Operation, StepContext


class FinishConfig(Config, frozen=True):
    """What the run gives back."""

    output: Annotated[Any, Meta(description="The run's output; the step's inputs unless given.")] = UNSET


def compute(ctx: StepContext, config: FinishConfig) -> Done:
    """The output, with which the run ends."""
    output = (dict(ctx.inputs) or None) if config.output is UNSET else config.output
    return Done(output, ends_run=True)


OPERATION = Operation(
    name="workflow.finish",
    config=FinishConfig,
    summary="Ends the run as completed with this output. Steps that have not begun are not run.",
    compute=compute,
)
