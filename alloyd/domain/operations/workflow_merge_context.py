"""``workflow.merge_context``: writes values into the run's context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from alloyd.domain.operations.model import Config, Done, Operation, OperationError, StepContext

MERGE_DEPTH_MAX = 64


class MergeContextConfig(Config, frozen=True):
    """What is merged, and how."""

    values: Annotated[dict[str, Any], Meta(description="Keys of the context with their new values.")]
    deep: Annotated[
        bool,
        Meta(description="Merge objects key by key. Otherwise a value takes the place of the one under its key."),
    ] = False


def compute(ctx: StepContext, config: MergeContextConfig) -> Done:
    """``values`` as output; merged into the context."""
    if not config.deep:
        return Done(config.values, context=dict(config.values))
    present = {key: ctx.context[key] for key in config.values if key in ctx.context}
    return Done(config.values, context=_merged(present, config.values, 1))


def _merged(old: Mapping[str, Any], new: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > MERGE_DEPTH_MAX:
        raise OperationError("too_deep", f"objects are merged down to depth {MERGE_DEPTH_MAX}", path="values")
    result = dict(old)
    for key, value in new.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(below, value, depth + 1)
        else:
            result[key] = value
    return result


OPERATION = Operation(
    name="workflow.merge_context",
    config=MergeContextConfig,
    summary="Writes values into the run's context. Output: the values.",
    compute=compute,
)
