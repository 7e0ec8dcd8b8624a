"""What an application answered: read without the credential in it, and told apart into good, failed and expired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from alloyd.domain.connectors.model import Definition, RateLimit, value_at
from alloyd.domain.operations.http_message import decode_body, is_retryable
from alloyd.domain.operations.model import OperationError
from alloyd.egress import OutboundStream, ResponseHeaders
from alloyd.egress.retry_after import RETRY_AFTER_MS_MAX, retry_after_ms

REDACTED: Final = b"***"
ERROR_CHARS_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with the credential taken out of it."""

    status: int
    headers: ResponseHeaders
    data: Any
    links: list[str]


async def read_answer(stream: OutboundStream, secrets: Sequence[str], bytes_max: int) -> Answer:
    """Read it whole. Some servers repeat what they were sent; no secret comes back.

    Raises OperationError ``too_large``.
    """
    content = bytearray()
    async for chunk in stream.chunks():
        content += chunk
        if len(content) > bytes_max:
            raise OperationError("too_large", f"the answer does not fit into a step's output of {bytes_max} bytes")
    clean = redacted(bytes(content), secrets)
    links = [redacted(link.encode(), secrets).decode() for link in stream.headers.get_all("link")]
    data, _encoding = decode_body(clean, stream.headers.get("content-type"), "auto")
    return Answer(stream.status, stream.headers, data, links)


def redacted(content: bytes, secrets: Sequence[str]) -> bytes:
    """``content`` without the secrets, also as JSON writes them."""
    for secret in secrets:
        for form in {secret.encode(), msgspec.json.encode(secret)[1:-1], secret.replace("/", "\\/").encode()}:
            content = content.replace(form, REDACTED)
    return content


def expired(definition: Definition, answer: Answer) -> bool:
    """Whether the application wants another access token."""
    return answer.status == 401 or _reason(definition, answer) in definition.errors.expired


def refuse_failed(definition: Definition, answer: Answer, now_ms: int) -> None:
    """Raises OperationError ``connector_status`` or ``connector_error`` for an answer that is no good one."""
    limits = definition.rate_limit
    limited = answer.status in limits.statuses or (
        answer.status == 403 and limits.remaining is not None and answer.headers.get(limits.remaining) == "0"
    )
    if not 200 <= answer.status < 300:
        retryable = limited or is_retryable(answer.status)
        raise OperationError(
            "connector_status",
            f"{definition.title} answered with status {answer.status}",
            retryable=retryable,
            retry_after_ms=_wait_ms(limits, answer.headers, now_ms) if retryable else None,
            details={"status": answer.status, "data": _bounded(answer.data)},
        )
    errors = definition.errors
    if errors.ok is not None and value_at(answer.data, errors.ok) is False:
        reason = _reason(definition, answer)
        raise OperationError(
            "connector_error",
            f"{definition.title} said no" + (f": {reason[:100]}" if reason else ""),
            retryable=reason in errors.retryable,
            retry_after_ms=_wait_ms(limits, answer.headers, now_ms) if reason in errors.retryable else None,
            details={"status": answer.status, "data": _bounded(answer.data)},
        )


def _reason(definition: Definition, answer: Answer) -> str:
    errors = definition.errors
    if errors.ok is None or errors.code is None or value_at(answer.data, errors.ok) is not False:
        return ""
    found = value_at(answer.data, errors.code)
    return found if isinstance(found, str) else ""


def _wait_ms(limits: RateLimit, headers: ResponseHeaders, now_ms: int) -> int | None:
    asked = retry_after_ms(headers.get(limits.retry_after), now_ms)
    if asked is not None or limits.reset is None:
        return asked
    try:
        seconds = float(headers.get(limits.reset))
    except ValueError:
        return None
    wait_ms = seconds * 1000 - (now_ms if limits.reset_is == "at" else 0)
    return int(min(max(wait_ms, 0), RETRY_AFTER_MS_MAX)) if wait_ms == wait_ms else None


def _bounded(data: Any) -> Any:
    text = msgspec.json.encode(data)
    return data if len(text) <= ERROR_CHARS_MAX else text[:ERROR_CHARS_MAX].decode("utf-8", "replace")
