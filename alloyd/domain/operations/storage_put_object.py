"""``storage.put_object``: makes an output object, which is downloaded by its key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Config, Done, Fault, NewStepObject, Operation, OperationError, StepContext
from alloyd.domain.operations.storage_write import check as check_content
from alloyd.domain.operations.storage_write import unpacked

TYPE_CHARS_MAX = 255
NAME_CHARS_MAX = 255


class PutObjectConfig(Config, frozen=True):
    """What, and under which name."""

    filename: Annotated[str, Meta(description="The name that a download has.", min_length=1, max_length=NAME_CHARS_MAX)]
    content: Annotated[
        Any | UnsetType, Meta(description="A text is written as UTF-8, anything else as JSON. Or `file`.")
    ] = UNSET
    encoding: Annotated[
        Literal["base64"] | UnsetType, Meta(description="base64: `content` is a text that is decoded first.")
    ] = UNSET
    file: Annotated[
        Annotated[str, Meta(min_length=1)] | UnsetType,
        Meta(description="The storage path of a file that is copied, of any size that fits an object."),
    ] = UNSET
    content_type: Annotated[
        Annotated[str, Meta(max_length=TYPE_CHARS_MAX)] | None,
        Meta(description="Its type; told from content, file and name unless given."),
    ] = None


async def execute(ctx: StepContext, config: PutObjectConfig) -> Done:
    """``{object_key, url, filename, size, content_type}``.

    Safe to repeat: the step's idempotency key finds the object that an earlier attempt made. Emits
    ``object.created``.
    """
    if isinstance(config.content, UnsetType) == isinstance(config.file, UnsetType):
        raise OperationError("bad_config", "content: wanted, or file, and not both", path="content")
    if not isinstance(config.file, UnsetType):
        with service_faults("file"):
            async with ctx.services.files.open_stream(ctx.principal, config.file) as (meta, chunks):
                return await _put(ctx, config, chunks, str(meta.get("mime_type") or ""))
    if not isinstance(config.encoding, UnsetType):
        return await _put(ctx, config, _whole(unpacked(config.content)))
    if isinstance(config.content, str):
        return await _put(ctx, config, _whole(config.content.encode()))
    return await _put(ctx, config, _whole(msgspec.json.encode(config.content)), "application/json")


async def _put(
    ctx: StepContext, config: PutObjectConfig, chunks: AsyncIterator[bytes], guessed: str | None = None
) -> Done:
    if ctx.services.objects is None:
        raise OperationError("unavailable", "there is no place for objects here")
    new = NewStepObject(
        config.filename,
        config.content_type or guessed or None,
        ctx.workflow_id,
        ctx.run_id,
        ctx.started_by,
        ctx.idempotency_key,
    )
    with service_faults("filename"):
        return Done(dict(await ctx.services.objects.put_output(ctx.principal, new, chunks)))


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


def check(config: Mapping[str, Any]) -> list[Fault]:
    """Exactly one of content and file; base64 goes with a text that is base64."""
    if "content" in config and "file" in config:
        return [Fault("file", "not beside content")]
    if "content" not in config and "file" not in config:
        return [Fault("content", "is required, or file")]
    return check_content(config)


OPERATION = Operation(
    name="storage.put_object",
    config=PutObjectConfig,
    summary="Makes an object that is downloaded by its key. Output: {object_key, url, filename, size, content_type}.",
    execute=execute,
    check=check,
)
