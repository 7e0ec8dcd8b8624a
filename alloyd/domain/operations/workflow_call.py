"""``workflow.call``: runs another workflow, and waits for its output."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Config, Operation, OperationError, Outcome, StartChild, StepContext, Target

NAME_CHARS_MAX = 200
# Runs that models may ask for on account of one run: a teammate whose tools lead to teammates has no other end.
ASKED_RUNS_MAX: Final = 1000


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
    its own steps were. Calls go at most `engine.call_depth_max` deep (`too_deep`). A run that would have to wait for
    this one, or for one above it, to give up its concurrency key is not begun (`deadlock`).
    """
    await _check_asked(ctx)
    version = None if isinstance(config.version, UnsetType) else config.version
    target = await find_target(ctx, config.workflow, version)
    payload = dict(ctx.inputs) if config.input is UNSET else config.input
    if config.wait:
        await _check_place(ctx, target, payload)
    return StartChild(target, payload, config.wait)


async def _check_asked(ctx: StepContext) -> None:
    """A model that asks may have been talked into it. Raises OperationError ``too_many_runs``."""
    families = ctx.services.families
    if ctx.grown_by is None or families is None:
        return
    if await families.count_asked(ctx.principal.org_id, ctx.run_id) >= ASKED_RUNS_MAX:
        told = f"one message may lead to {ASKED_RUNS_MAX} runs, and there are as many"
        raise OperationError("too_many_runs", told)


async def _check_place(ctx: StepContext, target: Target, payload: Any) -> None:
    """Raises OperationError ``deadlock``."""
    families = ctx.services.families
    if target.find_slot is None or families is None:
        return
    with service_faults("input"):
        slot = target.find_slot(payload)
    if slot is not None and await families.holds_place(ctx.principal.org_id, ctx.run_id, slot.of(ctx.end_user_id)):
        told = "the run would wait for its concurrency key, which this one, or one above it, has until it ends"
        raise OperationError("deadlock", told)


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
