"""``storage.read``: takes a file's content into the run."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from alloyd.domain.operations.content import decode_json, is_json, is_text
from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Config, Done, Operation, OperationError, StepContext
from alloyd.errors import AlloydError, Code


class ReadConfig(Config, frozen=True):
    """Which file, and as what."""

    path: Annotated[str, Meta(description="The file's storage path.", min_length=1)]
    as_: Annotated[
        Literal["auto", "text", "json", "base64", "none"],
        Meta(
            description="auto: JSON or text by the file's type, otherwise base64. none: only what is known about the "
            "file, of any size."
        ),
    ] = msgspec.field(name="as", default="auto")


async def execute(ctx: StepContext, config: ReadConfig) -> Done:
    """``{meta, content, encoding}``. Safe to repeat: it changes nothing.

    Fails with ``not_found``, and with ``too_large`` for what does not fit into a step's output.
    """
    files = ctx.services.files
    with service_faults("path"):
        if config.as_ == "none":
            meta = await files.read_meta(ctx.principal, config.path)
            return Done({"meta": dict(meta), "content": None, "encoding": "none"})
        meta, content = await _read(ctx, config.path)
    value, encoding = _decoded(content, str(meta.get("mime_type") or ""), config.as_)
    output = {"meta": dict(meta), "content": value, "encoding": encoding}
    if len(msgspec.json.encode(output)) > ctx.services.large_output_bytes_max:
        raise _too_large(ctx)
    return Done(output)


async def _read(ctx: StepContext, path: str) -> tuple[Any, bytes]:
    try:
        return await ctx.services.files.read_bytes(ctx.principal, path, ctx.services.large_output_bytes_max)
    except AlloydError as error:
        if error.code is Code.TOO_LARGE:
            raise _too_large(ctx) from None
        raise


def _too_large(ctx: StepContext) -> OperationError:
    most = ctx.services.large_output_bytes_max
    told = f"path: the file does not fit into a step's output of {most} bytes; `as: none` gives its meta data"
    return OperationError("too_large", told, path="path")


def _decoded(content: bytes, mime_type: str, wanted: str) -> tuple[Any, str]:
    if wanted == "json" or (wanted == "auto" and is_json(mime_type)):
        try:
            return decode_json(content), "json"
        except ValueError as error:
            if wanted == "json":
                raise OperationError("bad_content", f"path: the file {error}", path="path") from None
    if wanted == "text" or (wanted == "auto" and is_text(mime_type)):
        try:
            return content.decode(), "text"
        except UnicodeDecodeError:
            if wanted == "text":
                raise OperationError("bad_content", "path: the file is not UTF-8 text", path="path") from None
    return base64.b64encode(content).decode(), "base64"


OPERATION = Operation(
    name="storage.read",
    config=ReadConfig,
    summary="Reads a file. Output: {meta, content, encoding}, encoding being json, text, base64 or none.",
    execute=execute,
)
