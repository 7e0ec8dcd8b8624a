"""``http.request``: asks another server, through the one door out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from msgspec import UnsetType

from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.http_config import HttpConfig, check
from alloyd.domain.operations.http_message import (
    decode_body,
    full_headers,
    full_url,
    headers_as_object,
    inline_body,
    status_error,
)
from alloyd.domain.operations.model import Done, Operation, OperationError, StepContext
from alloyd.egress import EgressError, EgressKind, OutboundRequest, OutboundStream
from alloyd.errors import AlloydError

# A file up to this size is sent whole, with its length: many servers take no chunked body.
FILE_IN_MEMORY_BYTES_MAX = 1024 * 1024
SAVED_BYTES_MAX = 256 * 1024 * 1024

_FIELDS = frozenset(HttpConfig.__struct_encode_fields__)
_RENAMED = {"timeout_s": "timeout_ms"}  # egress's words for fields of the config


async def execute(ctx: StepContext, config: HttpConfig) -> Done:
    """``{status, headers, body, encoding, url, elapsed_ms}``; with ``save_to`` ``file`` instead of ``body``.

    To repeat: POST, PUT, PATCH and DELETE carry ``Idempotency-Key``, the same at every attempt and after a restart,
    so that a server that honours it acts once; ``save_to`` puts the file at the same path again.

    Fails with ``http_status`` (retryable for 408, 425, 429 and 5xx, with their ``Retry-After``), ``http_<kind>`` of
    egress, ``bad_response``, ``too_large``, and what storage says.
    """
    started_ms = ctx.services.clock.now_ms()
    async with AsyncExitStack() as stack:
        body, content_type = inline_body(config)
        stream_body: bytes | AsyncIterator[bytes] | None = body
        if not isinstance(config.body_file, UnsetType):
            with service_faults("body_file"):
                meta, chunks = await stack.enter_async_context(
                    ctx.services.files.open_stream(ctx.principal, config.body_file)
                )
                content_type = str(meta.get("mime_type") or "application/octet-stream")
                small = int(meta["size"]) <= FILE_IN_MEMORY_BYTES_MAX
                stream_body = b"".join([chunk async for chunk in chunks]) if small else chunks
        request = OutboundRequest(
            method=config.method,
            url=full_url(config),
            headers=full_headers(config, content_type, ctx.idempotency_key),
            body=stream_body,
            timeout_s=None if isinstance(config.timeout_ms, UnsetType) else config.timeout_ms / 1000,
            response_bytes_max=None
            if isinstance(config.save_to, UnsetType)
            else min(ctx.services.file_bytes_max, SAVED_BYTES_MAX),
            follow_redirects=config.follow_redirects,
        )
        try:
            stream = await stack.enter_async_context(ctx.services.outbound.stream(request))
            output = await _take(ctx, config, stream)
        except EgressError as error:
            raise _failure(error, config) from error
        except AlloydError as error:  # nothing but the file that is being sent is left to raise it
            with service_faults("body_file"):
                raise error
    output["elapsed_ms"] = max(ctx.services.clock.now_ms() - started_ms, 0)
    return Done(output)


async def _take(ctx: StepContext, config: HttpConfig, stream: OutboundStream) -> dict[str, Any]:
    if config.fail_on_status and stream.status >= 400:
        raise await status_error(ctx, config.method, stream)
    output: dict[str, Any] = {"status": stream.status, "headers": headers_as_object(stream.headers), "url": stream.url}
    content_type = stream.headers.get("content-type")
    if not isinstance(config.save_to, UnsetType):
        mime_type = content_type.partition(";")[0].strip() or None
        try:
            with service_faults("save_to"):
                meta = await ctx.services.files.write_stream(
                    ctx.principal, config.save_to, _passed(stream.chunks()), mime_type
                )
        except _BrokenOffError as broken:
            raise broken.fault from None
        return {**output, "file": dict(meta)}
    most = ctx.services.large_output_bytes_max
    content = await _read(stream, most)
    output["body"], output["encoding"] = decode_body(content, content_type, config.response)
    if len(msgspec.json.encode(output)) > most:
        raise _too_large(most)
    return output


async def _read(stream: OutboundStream, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for chunk in stream.chunks():
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        pieces.append(chunk)
    return b"".join(pieces)


def _too_large(most: int) -> OperationError:
    told = f"the answer does not fit into a step's output of {most} bytes; save_to stores it as a file"
    return OperationError("too_large", told, path="save_to")


class _BrokenOffError(Exception):
    """Carries an EgressError through storage, whose own errors are named after another field."""

    def __init__(self, fault: EgressError) -> None:
        super().__init__(str(fault))
        self.fault = fault


async def _passed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except EgressError as error:
        raise _BrokenOffError(error) from error


def _failure(error: EgressError, config: HttpConfig) -> OperationError:
    message = error.message
    if error.kind is EgressKind.TOO_LARGE and isinstance(config.save_to, UnsetType):
        message += "; save_to stores it as a file"
    named = _RENAMED.get(error.field or "", error.field or "")
    path = named if named.partition(".")[0] in _FIELDS else "url"
    return OperationError(f"http_{error.kind.value}", message, path=path, retryable=error.retryable)


OPERATION = Operation(
    name="http.request",
    config=HttpConfig,
    summary="Sends an HTTP request. Output: {status, headers, body, encoding, url, elapsed_ms}, or `file` for `body`.",
    execute=execute,
    check=check,
    secrets=("auth.bearer", "auth.basic.password"),
)
