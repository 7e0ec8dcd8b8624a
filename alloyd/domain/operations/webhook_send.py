"""``webhook.send``: sends a signed body to another server, through the one door out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.http_config import Scalar, TimeoutMs
from alloyd.domain.operations.http_message import decode_body, headers_as_object, status_error, text_of
from alloyd.domain.operations.model import Config, Done, Fault, Operation, OperationError, StepContext
from alloyd.domain.operations.validation import is_template
from alloyd.domain.webhooks.model import Destination
from alloyd.egress import EgressError, OutboundRequest, OutboundStream
from alloyd.kit.signatures import DELIVERY_HEADER, EVENT_HEADER, SIGNATURE_HEADER, signature_header

KIND_CHARS_MAX = 128
DEFAULT_EVENT = "workflow.webhook"

_OWN_HEADERS = frozenset(
    {"content-type", "idempotency-key", SIGNATURE_HEADER.lower(), DELIVERY_HEADER.lower(), EVENT_HEADER.lower()}
)


SecretText = Annotated[str, Meta(min_length=1)]


class WebhookSendConfig(Config, frozen=True):
    """What is sent, where to, and what signs it."""

    payload: Annotated[Any, Meta(description="The body, sent as JSON.")] = None
    url: Annotated[
        str | UnsetType, Meta(description="An http or https URL. Addresses inside are refused unless opened.")
    ] = UNSET
    secret: Annotated[
        SecretText | UnsetType, Meta(description="What signs, with `url`. Stored sealed, and shown as `***`.")
    ] = UNSET
    webhook: Annotated[
        str | UnsetType,
        Meta(description="Instead of `url` and `secret`: the id of an outgoing webhook, whose secret signs."),
    ] = UNSET
    event: Annotated[str, Meta(description="Sent as `X-Alloyd-Event`.", min_length=1, max_length=KIND_CHARS_MAX)] = (
        DEFAULT_EVENT
    )
    headers: Annotated[dict[str, Scalar], Meta(description="Further headers by name.")] = msgspec.field(
        default_factory=dict
    )
    timeout_ms: Annotated[
        TimeoutMs | UnsetType,
        Meta(description="How long everything may take, in ms; otherwise the limit of outbound requests."),
    ] = UNSET


async def execute(ctx: StepContext, config: WebhookSendConfig) -> Done:
    """``{status, headers, body, encoding, url, delivery_id}`` of the answer, which has to be a 2xx.

    Signed as an outgoing webhook is: ``X-Alloyd-Signature: t=…,v1=…`` over ``<timestamp>.<body>``. To repeat:
    ``X-Alloyd-Delivery`` and ``Idempotency-Key`` are the same at every attempt and after a restart. Redirects are not
    followed.

    Fails with ``http_status`` (retryable for 408, 425, 429 and 5xx, with their ``Retry-After``), ``http_<kind>`` of
    egress, ``too_large``, and ``not_found`` or ``conflict`` for a webhook that is gone or disabled.
    """
    to = await _destination(ctx, config)
    body = msgspec.json.encode(config.payload)
    request = OutboundRequest(
        method="POST",
        url=to.url,
        headers=_headers(ctx, config, to, body),
        body=body,
        timeout_s=None if isinstance(config.timeout_ms, UnsetType) else config.timeout_ms / 1000,
        follow_redirects=False,
    )
    try:
        async with ctx.services.outbound.stream(request) as stream:
            return Done(await _take(ctx, stream))
    except EgressError as error:
        path = "webhook" if isinstance(config.url, UnsetType) else "url"
        if error.field is not None and error.field.startswith("headers"):
            path = error.field
        raise OperationError(f"http_{error.kind.value}", error.message, path=path, retryable=error.retryable) from error


async def _destination(ctx: StepContext, config: WebhookSendConfig) -> Destination:
    if not isinstance(config.webhook, UnsetType):
        assert ctx.services.webhooks is not None  # app gives them
        with service_faults("webhook"):
            return await ctx.services.webhooks.get_destination(ctx.principal, config.webhook)
    assert not isinstance(config.url, UnsetType)  # the config's check wants one of the two
    assert not isinstance(config.secret, UnsetType)
    return Destination(config.url, (config.secret,))


def _headers(ctx: StepContext, config: WebhookSendConfig, to: Destination, body: bytes) -> list[tuple[str, str]]:
    headers = [(name, text_of(value)) for name, value in config.headers.items()]
    return [
        *headers,
        ("Content-Type", "application/json"),
        ("Idempotency-Key", ctx.idempotency_key),
        (SIGNATURE_HEADER, signature_header(to.secrets, ctx.services.clock.now_ms() // 1000, body)),
        (DELIVERY_HEADER, ctx.idempotency_key),
        (EVENT_HEADER, config.event),
    ]


async def _take(ctx: StepContext, stream: OutboundStream) -> dict[str, Any]:
    if not 200 <= stream.status < 300:
        raise await status_error(ctx, "POST", stream)
    most = ctx.services.output_bytes_max
    content = b""
    async for chunk in stream.chunks():
        content += chunk
        if len(content) > most:
            raise OperationError("too_large", f"the answer does not fit into a step's output of {most} bytes")
    value, encoding = decode_body(content, stream.headers.get("content-type"), "auto")
    return {
        "status": stream.status,
        "headers": headers_as_object(stream.headers),
        "body": value,
        "encoding": encoding,
        "url": stream.url,
        "delivery_id": ctx.idempotency_key,
    }


def check(config: Mapping[str, Any]) -> list[Fault]:
    """A webhook, or a URL with a secret: nothing is sent unsigned."""
    faults: list[Fault] = []
    if "webhook" in config:
        faults.extend(Fault(name, "does not go with webhook") for name in ("url", "secret") if name in config)
    else:
        if "url" not in config:
            faults.append(Fault("url", "give url and secret, or webhook"))
        if "secret" not in config:
            faults.append(Fault("secret", "is required: nothing is sent unsigned"))
    url = config.get("url")
    if isinstance(url, str) and not is_template(url) and not url.lower().startswith(("http://", "https://")):
        faults.append(Fault("url", "begins with http:// or https://"))
    headers = config.get("headers")
    if isinstance(headers, Mapping):
        faults.extend(
            Fault(f"headers.{name}", "is set by alloyd itself") for name in headers if str(name).lower() in _OWN_HEADERS
        )
    return faults


OPERATION = Operation(
    name="webhook.send",
    config=WebhookSendConfig,
    summary="Sends a signed JSON body. Output: {status, headers, body, encoding, url, delivery_id}.",
    execute=execute,
    check=check,
    secrets=("secret",),
)
