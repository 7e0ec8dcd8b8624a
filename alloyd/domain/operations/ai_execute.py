"""``ai.execute``: asks the AI gateway for any modality; what jobs are made of."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from alloyd.domain.operations.ai_call import ModelConfig, ask, told_source
from alloyd.domain.operations.model import Done, Operation, StepContext


class ExecuteConfig(ModelConfig, frozen=True, kw_only=True):
    """What is asked, in any of the forms that `POST /v1/providers/execute` takes."""

    modality: Annotated[str, Meta(description="`text`, `embedding`, `image`, `audio` and so on.", max_length=64)]
    input: Annotated[Any, Meta(description="A text, or an object such as `{prompt}` or `{messages}`.")]


async def execute(ctx: StepContext, config: ExecuteConfig) -> Done:
    """``{modality, output, model, provider_id, usage}``. To repeat: the model is asked, and billed, again."""
    executed = await ask(ctx, config, config.modality, config.input, config.params)
    return Done({"modality": executed.modality, "output": executed.output, **told_source(executed)})


OPERATION = Operation(
    name="ai.execute",
    config=ExecuteConfig,
    summary="Asks an AI model for any modality. Output: {modality, output, model, provider_id, usage}.",
    execute=execute,
)
