"""``workflow.noop``: does nothing and is done; where a flow starts or several ways meet."""

from __future__ import annotations

from alloyd.domain.operations.model import Config, Done, Operation, StepContext


class NoopConfig(Config, frozen=True):
    """Nothing to set."""


def compute(ctx: StepContext, _config: NoopConfig) -> Done:
    """The step's ``inputs`` as its output, null without any."""
    return Done(dict(ctx.inputs) or None)


OPERATION = Operation(
    name="workflow.noop",
    config=NoopConfig,
    summary="Does nothing. Its output is the step's inputs, null without any.",
    compute=compute,
)
