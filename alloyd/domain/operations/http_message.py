"""From an http.request's config to the request that is sent, and from the answer's body to a value."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.domain.operations.content import decode_json, decode_text, is_json, is_text
from alloyd.domain.operations.http_config import BasicAuth, HttpConfig, Scalar
from alloyd.domain.operations.model import OperationError, StepContext
from alloyd.egress import OutboundStream, ResponseHeaders
from alloyd.egress.retry_after import retry_after_ms

ERROR_BODY_BYTES_MAX = 4096  # how much of a failing answer's body is kept in the error

# The rest of the methods change nothing on the other side.
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def full_url(config: HttpConfig) -> str:
    """The URL with the query's parameters added to those it has."""
    pairs = [(name, text_of(value)) for name, values in config.query.items() for value in _each(values)]
    if not pairs:
        return config.url
    base, hash_sign, fragment = config.url.partition("#")
    separator = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return f"{base}{separator}{urlencode(pairs)}{hash_sign}{fragment}"


def inline_body(config: HttpConfig) -> tuple[bytes | None, str | None]:
    """The body out of the config itself and its type; both None without one."""
    if config.json is not UNSET:
        return msgspec.json.encode(config.json), "application/json"
    if not isinstance(config.body, UnsetType):
        return config.body.encode(), "text/plain; charset=utf-8"
    if not isinstance(config.form, UnsetType):
        pairs = [(name, text_of(value)) for name, values in config.form.items() for value in _each(values)]
        return urlencode(pairs).encode(), "application/x-www-form-urlencoded"
    return None, None


def full_headers(config: HttpConfig, content_type: str | None, idempotency_key: str) -> list[tuple[str, str]]:
    """The config's headers, with authorization, type and ``Idempotency-Key`` where the config has none of its own."""
    headers = [(name, text_of(value)) for name, value in config.headers.items()]
    present = {name.lower() for name, _ in headers}
    if config.auth is not None:
        headers.append(("Authorization", _authorization(config.auth.bearer, config.auth.basic)))
    if content_type is not None and "content-type" not in present:
        headers.append(("Content-Type", content_type))
    if config.method in _CHANGING and "idempotency-key" not in present:
        headers.append(("Idempotency-Key", idempotency_key))
    return headers


def headers_as_object(headers: ResponseHeaders) -> dict[str, str]:
    """Lower-case names; what came several times joined by a comma."""
    joined: dict[str, str] = {}
    for name, value in headers.pairs:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def decode_body(content: bytes, content_type: str, wanted: str) -> tuple[Any, str]:
    """The body as the config wants it, and what it was decoded as. Raises OperationError ``bad_response``."""
    if not content and wanted in ("auto", "json"):
        return None, "none"
    if wanted == "json" or (wanted == "auto" and is_json(content_type)):
        try:
            return decode_json(content), "json"
        except ValueError as error:
            if wanted == "json":
                raise OperationError("bad_response", f"response: the answer {error}", path="response") from None
    if wanted == "text" or (wanted == "auto" and (is_text(content_type) or not content_type)):
        try:
            return decode_text(content, content_type), "text"
        except ValueError as error:
            if wanted == "text":
                raise OperationError("bad_response", f"response: the answer {error}", path="response") from None
    return base64.b64encode(content).decode(), "base64"


def text_of(value: Scalar) -> str:
    """A scalar as it stands in a header, a query or a form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _each(values: Scalar | list[Scalar] | None) -> list[Scalar]:
    if values is None:
        return []
    return values if isinstance(values, list) else [values]


def _authorization(bearer: str | UnsetType, basic: BasicAuth | UnsetType) -> str:
    if not isinstance(bearer, UnsetType):
        return f"Bearer {bearer}"
    assert isinstance(basic, BasicAuth)  # the config's check wants one of the two
    return "Basic " + base64.b64encode(f"{basic.username}:{basic.password}".encode()).decode()


def is_retryable(status: int) -> bool:
    """Whether an answer with this status may get better by itself."""
    return status in (408, 425, 429) or status >= 500


async def status_error(ctx: StepContext, method: str, stream: OutboundStream) -> OperationError:
    """What a step fails of that was answered with a status of failure: shown to everyone who may see the run, so a
    session's cookie is left out."""
    body = await stream.read_beginning(ERROR_BODY_BYTES_MAX)
    retryable = is_retryable(stream.status)
    asked = stream.headers.get("retry-after")
    return OperationError(
        "http_status",
        f"{method} was answered with status {stream.status}",
        path="url",
        retryable=retryable,
        retry_after_ms=retry_after_ms(asked, ctx.services.clock.now_ms()) if retryable and asked else None,
        details={
            "status": stream.status,
            "headers": headers_as_object(stream.headers.without("set-cookie")),
            "body": body.decode("utf-8", "replace"),
        },
    )
