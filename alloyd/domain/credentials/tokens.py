"""Asks a vendor's token endpoint: a code for tokens, a refresh token for new ones."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from alloyd.domain.connectors.model import Auth
from alloyd.domain.connectors.request import fill_url
from alloyd.domain.credentials.model import VALUE_CHARS_MAX, RefreshError
from alloyd.egress import EgressError, Outbound, OutboundRequest

ANSWER_BYTES_MAX: Final = 256 * 1024
EXPIRES_S_MAX: Final = 10 * 365 * 24 * 3600
_CODE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the endpoint gave. ``expires_in_s`` None: it did not say."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in_s: int | None
    scope: str | None


async def ask(
    outbound: Outbound,
    auth: Auth,
    settings: Mapping[str, str],
    client: Mapping[str, str],
    grant: Mapping[str, str],
    timeout_s: float,
) -> Tokens:
    """Send ``grant`` as ``client`` (client_id, client_secret). Raises :class:`RefreshError`, whose words hold nothing
    of either."""
    headers = [("Accept", "application/json")]
    fields = dict(grant)
    secret = client.get("client_secret")
    if auth.token_auth == "basic" and secret is not None:  # noqa: S105  # a way, and no secret
        pair = f"{quote(client['client_id'], safe='')}:{quote(secret, safe='')}"
        headers.append(("Authorization", "Basic " + base64.b64encode(pair.encode()).decode()))
    else:
        fields["client_id"] = client["client_id"]
        if secret is not None:
            fields["client_secret"] = secret
    if auth.token_format == "json":  # noqa: S105  # a format, and no secret
        body, content_type = msgspec.json.encode(fields), "application/json"
    else:
        body, content_type = urlencode(fields).encode(), "application/x-www-form-urlencoded"
    request = OutboundRequest(
        method="POST",
        url=fill_url(auth.token_url or "", settings),
        headers=[*headers, ("Content-Type", content_type)],
        body=body,
        timeout_s=timeout_s,
        response_bytes_max=ANSWER_BYTES_MAX,
        follow_redirects=False,
    )
    try:
        answer = await outbound.request(request)
    except EgressError as error:
        raise RefreshError(f"the token endpoint: {error.message}", retryable=error.retryable) from None
    return _read(answer.status, answer.body)


def _read(status: int, body: bytes) -> Tokens:
    try:
        told: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        told = None
    document = told if isinstance(told, dict) else {}
    token = document.get("access_token")
    if 200 <= status < 300 and isinstance(token, str) and 0 < len(token) <= VALUE_CHARS_MAX and token.isprintable():
        refresh, expires, scope = (document.get(name) for name in ("refresh_token", "expires_in", "scope"))
        return Tokens(
            token,
            refresh if isinstance(refresh, str) and 0 < len(refresh) <= VALUE_CHARS_MAX else None,
            _seconds(expires),
            scope if isinstance(scope, str) and len(scope) <= VALUE_CHARS_MAX else None,
        )
    reason = document.get("error")
    words = f" ({reason})" if isinstance(reason, str) and _CODE.match(reason) else ""
    retryable = status in (408, 425, 429) or status >= 500
    if 200 <= status < 300 and not words:
        raise RefreshError("the token endpoint gave no access token", retryable=False)
    raise RefreshError(f"the token endpoint answered {status}{words}", retryable=retryable)


def _seconds(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= EXPIRES_S_MAX:
        return None
    return int(value)
