"""``storage.list``: what is in a folder."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Config, Done, Operation, StepContext

LIMIT_MAX = 1000


class ListConfig(Config, frozen=True):
    """Which folder, and how much of it at a time."""

    path: Annotated[str, Meta(description="The folder's storage path; `/` is the root.")] = "/"
    limit: Annotated[int, Meta(description="How many items a page has.", ge=1, le=LIMIT_MAX)] = 200
    cursor: Annotated[str | None, Meta(description="The `next_cursor` of the page before.")] = None


async def execute(ctx: StepContext, config: ListConfig) -> Done:
    """``{path, items, next_cursor}``, folders first. Safe to repeat: it changes nothing."""
    with service_faults("path"):
        found = await ctx.services.files.list_items(ctx.principal, config.path, config.limit, config.cursor or None)
    return Done({"next_cursor": None, **found})


OPERATION = Operation(
    name="storage.list",
    config=ListConfig,
    summary="Lists a folder's files and folders. Output: {path, items, next_cursor}.",
    execute=execute,
)
