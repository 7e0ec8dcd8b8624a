"""``storage.write``: makes or overwrites a file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Config, Done, Fault, Operation, OperationError, StepContext
from alloyd.domain.operations.validation import is_template

MIME_TYPE_CHARS_MAX = 255


class WriteConfig(Config, frozen=True):
    """Where, and what."""

    path: Annotated[str, Meta(description="The file's storage path; missing folders are made.", min_length=1)]
    content: Annotated[Any, Meta(description="A text is written as UTF-8, anything else as JSON.")]
    encoding: Annotated[
        Literal["base64"] | UnsetType, Meta(description="base64: `content` is a text that is decoded first.")
    ] = UNSET
    mime_type: Annotated[
        Annotated[str, Meta(max_length=MIME_TYPE_CHARS_MAX)] | None,
        Meta(description="The file's type; told from content and name unless given."),
    ] = None


async def execute(ctx: StepContext, config: WriteConfig) -> Done:
    """The file's new meta data.

    Safe to repeat: the file is swapped in one step, and a second attempt puts the same content at the same path.
    Emits ``storage_file.created`` or ``storage_file.updated``.
    """
    if not isinstance(config.encoding, UnsetType):
        content, guessed = unpacked(config.content), None
    elif isinstance(config.content, str):
        content, guessed = config.content.encode(), None
    else:
        content, guessed = msgspec.json.encode(config.content), "application/json"
    with service_faults("path"):
        meta = await ctx.services.files.write_bytes(ctx.principal, config.path, content, config.mime_type or guessed)
    return Done(dict(meta))


def check(config: Mapping[str, Any]) -> list[Fault]:
    """base64 goes with a text that is base64."""
    content = config.get("content")
    if config.get("encoding") != "base64" or "content" not in config or is_template(content):
        return []
    try:
        unpacked(content)
    except OperationError as error:
        return [Fault("content", error.message.removeprefix("content: "))]
    return []


def unpacked(content: Any) -> bytes:
    """The bytes of a base64 text. Raises :class:`OperationError`."""
    if isinstance(content, str):
        try:
            return base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError):
            pass
    raise OperationError("bad_config", "content: base64 is wanted", path="content")


OPERATION = Operation(
    name="storage.write",
    config=WriteConfig,
    summary="Makes or overwrites a file. Output: its meta data.",
    execute=execute,
    check=check,
)
