"""``storage.delete``: deletes a file or a whole folder."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Config, Done, Operation, StepContext
from alloyd.errors import AlloydError, Code


class DeleteConfig(Config, frozen=True):
    """What, and whether it must be there."""

    path: Annotated[str, Meta(description="The storage path of a file or folder.", min_length=1)]
    missing_ok: Annotated[bool, Meta(description="Whether the step succeeds when there is nothing.")] = False


async def execute(ctx: StepContext, config: DeleteConfig) -> Done:
    """``{path, deleted}``. Emits ``storage_file.deleted`` or ``storage_folder.deleted``.

    Safe to repeat: from the second attempt on a missing path counts as deleted, for the attempt before may have
    deleted it and been cut off before that was recorded.
    """
    with service_faults("path"):
        try:
            path = await ctx.services.files.delete(ctx.principal, config.path)
        except AlloydError as error:
            if error.code is not Code.NOT_FOUND or not (config.missing_ok or ctx.attempt > 1):
                raise
            return Done({"path": config.path, "deleted": False})
    return Done({"path": path, "deleted": True})


OPERATION = Operation(
    name="storage.delete",
    config=DeleteConfig,
    summary="Deletes a file or a whole folder. Output: {path, deleted}.",
    execute=execute,
)
