"""``workflow.fan_in``: waits for all steps it depends on and gathers what they gave."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from alloyd.domain.operations.model import Config, Done, Operation, StepContext


class FanInConfig(Config, frozen=True):
    """Which of the outputs are gathered."""

    skip_null: Annotated[bool, Meta(description="Leave out steps whose output is null.")] = False


def compute(ctx: StepContext, config: FanInConfig) -> Done:
    """The outputs by step key; a step that was skipped has none and is left out."""
    steps = ctx.names["steps"]
    gathered = {key: steps[key].get("output") for key in ctx.depends_on if key in steps}
    if config.skip_null:
        gathered = {key: output for key, output in gathered.items() if output is not None}
    return Done(gathered)


OPERATION = Operation(
    name="workflow.fan_in",
    config=FanInConfig,
    summary="Joins: waits for every step it depends on. Output: an object of their outputs by step key.",
    compute=compute,
)
