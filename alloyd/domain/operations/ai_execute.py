"""``ai.execute``: asks the AI gateway for any modality; what jobs are made of."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from alloyd.domain.operations.ai_call import ModelConfig, ask, told_source
from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Done, Operation, OperationError, StepContext
from alloyd.domain.providers.attachments import (
    ATTACHED_BYTES_MAX,
    OBJECT,
    list_attached,
    replace_attached,
    to_content,
)


class ExecuteConfig(ModelConfig, frozen=True, kw_only=True):
    """What is asked, in any of the forms that `POST /v1/providers/execute` takes."""

    modality: Annotated[str, Meta(description="`text`, `embedding`, `image`, `audio` and so on.", max_length=64)]
    input: Annotated[Any, Meta(description="A text, or an object such as `{prompt}` or `{messages}`.")]


async def _with_contents(ctx: StepContext, given: Any) -> Any:
    """``given`` with the contents of the input objects that a job's assets became, where there are any."""
    with service_faults("input"):
        attached = [one for one in list_attached(given) if isinstance(one.given.get(OBJECT), str)]
    contents: dict[str, Any] = {}
    left = ATTACHED_BYTES_MAX
    for one in attached:
        if ctx.services.objects is None:
            raise OperationError("unavailable", "there is no place for objects here")
        with service_faults(one.place):
            content_type, content = await ctx.services.objects.read_own(ctx.principal, one.given[OBJECT], left)
            contents[one.place] = to_content(content_type, content, one.place)
        left -= len(content)
    return replace_attached(given, lambda one: contents.get(one.place, one.given)) if contents else given


async def execute(ctx: StepContext, config: ExecuteConfig) -> Done:
    """``{modality, output, model, provider_id, usage}``. To repeat: the model is asked, and billed, again."""
    given = await _with_contents(ctx, config.input)
    executed = await ask(ctx, config, config.modality, given, config.params)
    return Done({"modality": executed.modality, "output": executed.output, **told_source(executed)})


OPERATION = Operation(
    name="ai.execute",
    config=ExecuteConfig,
    summary="Asks an AI model for any modality. Output: {modality, output, model, provider_id, usage}.",
    execute=execute,
)
