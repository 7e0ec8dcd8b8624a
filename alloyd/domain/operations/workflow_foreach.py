"""``workflow.foreach``: runs a workflow, or inline nodes, for each item of a list."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from msgspec.json import encode

from alloyd.domain.operations.model import Config, Done, Fault, Operation, OperationError, Outcome, Spread, StepContext
from alloyd.domain.operations.workflow_call import NAME_CHARS_MAX, check_depth, find_target

CONCURRENCY_MAX = 100
INPUTS_PER_TURN = 50
# All that the items' runs are started with: it is written in one commit.
INPUTS_BYTES_MAX = 16 * 1024 * 1024
NAMES = frozenset({"item", "index"})


class ForeachConfig(Config, frozen=True):
    """The items, what runs for each, and how many at a time."""

    items: Annotated[list[Any], Meta(description="A list, or an expression that gives one: `trigger.orders`.")]
    workflow: Annotated[
        Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)] | UnsetType,
        Meta(description="The id or name of the workflow to run for each item."),
    ] = UNSET
    nodes: Annotated[
        list[dict[str, Any]] | UnsetType,
        Meta(
            description="Instead of `workflow`: nodes as in a definition. Their expressions know `item` and `index`, "
            "this run's `trigger` and `context`, and each other's `steps`."
        ),
    ] = UNSET
    input: Annotated[
        Any,
        Meta(description="Each run's trigger payload, in which `item` and `index` are known; the item unless given."),
    ] = UNSET
    concurrency: Annotated[int, Meta(description="Items at a time.", ge=1, le=CONCURRENCY_MAX)] = 10
    on_error: Annotated[
        Literal["fail", "continue"],
        Meta(description="What a failed item does: `fail` ends the step and the other items, `continue` does not."),
    ] = "fail"
    collect: Annotated[bool, Meta(description="Keep the items' outputs; false only counts them.")] = True


async def execute(ctx: StepContext, config: ForeachConfig) -> Outcome:
    """The output is the list of the items' outputs in their order, a failed one as `{error}`; with `collect: false`
    it is `{total, completed, failed}`.

    Each item is a run of its own, begun once and never again once its end is recorded. At most
    `engine.foreach_items_max` items (`too_many_items`). A list of outputs larger than `engine.step_output_bytes_max`
    becomes an object, and the output its reference; above `objects.output_bytes_max` the step fails
    (`output_too_large`).
    """
    check_depth(ctx)
    items_max = ctx.services.foreach_items_max
    if len(config.items) > items_max:
        told = f"items: {len(config.items)} are more than {items_max}"
        raise OperationError("too_many_items", told, path="items")
    if not config.items:
        return Done([] if config.collect else {"total": 0, "completed": 0, "failed": 0})
    if isinstance(config.workflow, str):
        target = await find_target(ctx, config.workflow, None)
    else:
        assert ctx.inner is not None
        target = ctx.inner
    inputs = await _render_inputs(ctx, config.items)
    return Spread(target, config.items, inputs, config.concurrency, config.on_error, config.collect)


async def _render_inputs(ctx: StepContext, items: list[Any]) -> list[Any] | None:
    template = ctx.deferred.get("input")
    if template is None:
        return None
    inputs, size = [], 0
    for index, item in enumerate(items):
        inputs.append(template.render({**ctx.names, "inputs": ctx.inputs, "item": item, "index": index}))
        size += len(encode(inputs[-1]))
        if size > INPUTS_BYTES_MAX:
            raise OperationError("too_large", f"input: all together larger than {INPUTS_BYTES_MAX} bytes", path="input")
        if index % INPUTS_PER_TURN == 0:
            await asyncio.sleep(0)
    return inputs


def check(config: Mapping[str, Any]) -> list[Fault]:
    """A workflow or nodes, one of the two; the nodes themselves are checked where they are compiled."""
    if "workflow" in config and "nodes" in config:
        return [Fault("", "give `workflow` or `nodes`, not both")]
    return []


def check_whole(config: Mapping[str, Any]) -> list[Fault]:
    """As it stands in a definition: there is something to run."""
    return [] if "workflow" in config or "nodes" in config else [Fault("", "give `workflow` or `nodes`")]


OPERATION = Operation(
    name="workflow.foreach",
    config=ForeachConfig,
    summary="Runs a workflow, or inline nodes, for each item of a list. Output: the list of their outputs.",
    execute=execute,
    check=check,
    check_whole=check_whole,
    expressions=frozenset({"items"}),
    deferred={"input": NAMES},
    inline="nodes",
    inline_names=NAMES,
    waits=True,
)
