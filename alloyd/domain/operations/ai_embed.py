"""``ai.embed``: turns texts into vectors."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from alloyd.domain.operations.ai_call import ModelConfig, ask, told_source
from alloyd.domain.operations.model import Done, Operation, StepContext
from alloyd.domain.providers.model import EMBEDDING


class EmbedConfig(ModelConfig, frozen=True, kw_only=True):
    """What is turned into vectors."""

    input: Annotated[str | list[str], Meta(description="A text, or a list of texts.")]


async def execute(ctx: StepContext, config: EmbedConfig) -> Done:
    """``{embeddings, model, provider_id, usage}``: a vector for each text, in their order.

    To repeat: the model is asked, and billed, again.
    """
    executed = await ask(ctx, config, EMBEDDING, config.input, config.params)
    return Done({**executed.output, **told_source(executed)})


OPERATION = Operation(
    name="ai.embed",
    config=EmbedConfig,
    summary="Turns texts into vectors. Output: {embeddings, model, provider_id, usage}.",
    execute=execute,
)
