"""What goes out and what comes back: request, response, their limits, and the check of a request's own parts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from alloyd.egress.errors import EgressError, refused

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}\Z")
_VALUE_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_METHODS_REFUSED = frozenset({"CONNECT", "TRACE", "TRACK"})
# The connection's own headers: the client frames the message, the caller may not.
_HEADERS_REFUSED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressLimits:
    """Every bound of the outbound client. The two ceilings are the most that one request may ask for.

    A default above its ceiling raises the ceiling: what the operator set for all is open to each.
    """

    connect_timeout_s: float = 10.0  # waiting for a free connection, DNS, TCP and TLS together
    timeout_s: float = 30.0  # the whole exchange, when a request names none
    timeout_ceiling_s: float = 3600.0
    response_bytes_max: int = 10 * 1024 * 1024  # unpacked, when a request names none
    response_bytes_ceiling: int = 256 * 1024 * 1024
    redirects_max: int = 5
    url_chars_max: int = 16_384
    request_headers_max: int = 100
    request_header_bytes_max: int = 65_536
    response_headers_max: int = 128
    response_header_bytes_max: int = 65_536
    connections_max: int = 256
    connections_per_host_max: int = 64
    keepalive_s: float = 15.0
    dns_threads: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundRequest:
    """One request.

    ``body`` as an iterator is sent chunked and can't follow a redirect that asks for it again. ``timeout_s`` covers
    the whole exchange with its redirects; ``idle_timeout_s`` each wait for the next part of an answer, the first one
    with the sending of the request. None takes the limit.
    ``credential_headers`` names headers to be dropped across origins beside those whose names say so themselves.
    """

    method: str
    url: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | AsyncIterator[bytes] | None = None
    timeout_s: float | None = None
    idle_timeout_s: float | None = None
    response_bytes_max: int | None = None
    follow_redirects: bool = True
    credential_headers: Sequence[str] = ()


class ResponseHeaders:
    """A response's headers: every pair in the order received, names looked up without regard to case."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)

    def get(self, name: str, default: str = "") -> str:
        """The first value under ``name``, or ``default``."""
        return next(iter(self.get_all(name)), default)

    def get_all(self, name: str) -> list[str]:
        """Every value under ``name``, in order."""
        wanted = name.lower()
        return [value for key, value in self.pairs if key.lower() == wanted]

    def without(self, *names: str) -> ResponseHeaders:
        """The same headers less ``names`` (lower case)."""
        return ResponseHeaders([pair for pair in self.pairs if pair[0].lower() not in names])


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """A whole answer. ``url`` is where it came from after redirects; ``elapsed_ms`` covers all hops and the body."""

    status: int
    headers: ResponseHeaders
    body: bytes
    url: str
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one request, after its own wishes."""

    timeout_s: float
    idle_timeout_s: float
    response_bytes_max: int


def check_request(request: OutboundRequest, limits: EgressLimits) -> Bounds:
    """Check everything of ``request`` but its URL's host. Raises EgressError ``refused`` naming the field."""
    if not _TOKEN.match(request.method) or request.method.upper() in _METHODS_REFUSED:
        raise refused("the method is not one that can be sent", "method")
    if len(request.url) > limits.url_chars_max:
        raise refused(f"the URL is longer than {limits.url_chars_max} characters", "url")
    _check_headers(request.headers, limits)
    timeout_ceiling_s = max(limits.timeout_s, limits.timeout_ceiling_s)
    timeout_s = limits.timeout_s if request.timeout_s is None else request.timeout_s
    if not 0 < timeout_s <= timeout_ceiling_s:
        raise _out_of_range("timeout_s", timeout_ceiling_s)
    idle_timeout_s = timeout_s if request.idle_timeout_s is None else request.idle_timeout_s
    if not 0 < idle_timeout_s <= timeout_ceiling_s:
        raise _out_of_range("idle_timeout_s", timeout_ceiling_s)
    bytes_max = limits.response_bytes_max if request.response_bytes_max is None else request.response_bytes_max
    bytes_ceiling = max(limits.response_bytes_max, limits.response_bytes_ceiling)
    if not 0 < bytes_max <= bytes_ceiling:
        raise _out_of_range("response_bytes_max", bytes_ceiling)
    return Bounds(timeout_s, idle_timeout_s, bytes_max)


def _check_headers(headers: Sequence[tuple[str, str]], limits: EgressLimits) -> None:
    if len(headers) > limits.request_headers_max:
        raise refused(f"a request has at most {limits.request_headers_max} headers", "headers")
    size = 0
    for name, value in headers:
        if not _TOKEN.match(name):
            raise refused("a header's name has a character that names can't have", "headers")
        if name.lower() in _HEADERS_REFUSED:
            raise refused(f"the header {name} is set by alloyd itself", f"headers.{name}")
        if _VALUE_UNSAFE.search(value):
            raise refused(f"the header {name} has a line break or control character", f"headers.{name}")
        size += len(name) + len(value.encode()) + 4
    if size > limits.request_header_bytes_max:
        raise refused(f"the headers are longer than {limits.request_header_bytes_max} bytes", "headers")


def _out_of_range(field: str, most: float) -> EgressError:
    return refused(f"{field} is not between 0 and {most:g}", field)
