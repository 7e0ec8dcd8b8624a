"""``transform``: makes an object out of expressions."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from alloyd.domain.operations.model import Config, Done, Operation, StepContext


class TransformConfig(Config, frozen=True):
    """What the output is made of."""

    values: Annotated[
        dict[str, Any],
        Meta(description='The output\'s keys with their values, usually expressions: `"{{ trigger.price * 2 }}"`.'),
    ]


def compute(_ctx: StepContext, config: TransformConfig) -> Done:
    """The rendered values."""
    return Done(config.values)


OPERATION = Operation(
    name="transform",
    config=TransformConfig,
    summary="Computes an object of expressions. Output: the object.",
    compute=compute,
)
