"""An incoming webhook whose signature holds, and what of its headers a workflow may see; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alloyd.kit.signatures import Signed
from alloyd.log.redact import is_secret_name

HEADERS_MAX: Final = 64
HEADER_CHARS_MAX: Final = 4096

# The connection's own, and what proxies on the way add.
_NOT_TOLD: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
    }
)
_NOT_TOLD_PREFIXES: Final = ("proxy-", "x-forwarded-")


@dataclass(frozen=True, slots=True)
class VerifiedHook:
    """A request that may start ``workflow_id`` of ``org_id``."""

    org_id: str
    workflow_id: str
    scheme: str
    signed: Signed


def told_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that a workflow sees: no credential, no signature, nothing of the connection."""
    told = [
        (name, value[:HEADER_CHARS_MAX])
        for name, value in headers.items()
        if name not in _NOT_TOLD and not name.startswith(_NOT_TOLD_PREFIXES) and not is_secret_name(name)
    ]
    return dict(told[:HEADERS_MAX])
