"""``workflow.call``: runs another workflow, and waits for its output."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Config, Operation, OperationError, Outcome, StartChild, StepContext, Target

NAME_CHARS_MAX = 200


class CallConfig(Config, frozen=True):
    """Which workflow, and what it is given."""

    workflow: Annotated[
        str, Meta(description="The workflow's id or name; the own one too.", min_length=1, max_length=NAME_CHARS_MAX)
    ]
    input: Annotated[
        Any, Meta(description="The new run's trigger payload; the step's inputs, or an empty object, unless given.")
    ] = UNSET
    wait: Annotated[bool, Meta(description="Wait for its end; false goes on at once.")] = True
    version: Annotated[
        Annotated[int, Meta(ge=1)] | UnsetType, Meta(description="A published version; the newest unless given.")
    ] = UNSET


async def execute(ctx: StepContext, config: CallConfig) -> Outcome:
    """The output is that of the run; with `wait: false` it is `{run_id, workflow_id}`.

    The run is made in the very commit that records this step as waiting, so there is exactly one, whatever happens. It
    is cancelled when this run ends before it. When it fails, this step fails with its error, and is not tried again:
    its own steps were. Calls go at most `engine.call_depth_max` deep (`too_deep`).
    """
    version = None if isinstance(config.version, UnsetType) else config.version
    target = await find_target(ctx, config.workflow, version)
    payload = dict(ctx.inputs) if config.input is UNSET else config.input
    return StartChild(target, payload, config.wait)


async def find_target(ctx: StepContext, workflow: str, version: int | None) -> Target:
    """The workflow to start. Raises OperationError ``too_deep``, ``not_found``."""
    check_depth(ctx)
    assert ctx.services.workflows is not None
    with service_faults("workflow"):
        return await ctx.services.workflows.get_target(ctx.principal.org_id, workflow, version)


def check_depth(ctx: StepContext) -> None:
    """Raises OperationError ``too_deep`` where a run may have no child any more."""
    depth_max = ctx.services.call_depth_max
    if ctx.depth >= depth_max:
        raise OperationError("too_deep", f"workflows may call each other {depth_max} deep, and this would be deeper")


OPERATION = Operation(
    name="workflow.call",
    config=CallConfig,
    summary="Runs another workflow of the organization and waits for it. Output: that run's output.",
    execute=execute,
    waits=True,
)
