"""Why an outbound request failed: a closed set of kinds, and how the HTTP library's failures map onto it."""

from __future__ import annotations

import errno
import socket
import ssl
from enum import StrEnum

import aiohttp

from alloyd.errors import AlloydError, Code


class EgressKind(StrEnum):
    """What went wrong on the way out."""

    REFUSED = "refused"  # alloyd itself would not send this; nothing was connected
    DNS = "dns"
    CONNECT = "connect"  # no connection, or it was lost before the answer's header was complete
    TLS = "tls"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    REDIRECT = "redirect"
    PROTOCOL = "protocol"


class EgressError(AlloydError):
    """An outbound request that failed.

    ``retryable`` says that the fault may pass by itself. It does not say that the other side did nothing: whoever
    retries a method that is not idempotent must know what it risks. ``message`` names host and port only, never
    userinfo, path, query or an address that a name resolved to; ``log`` may hold the address, for the operator.
    """

    def __init__(
        self,
        kind: EgressKind,
        message: str,
        *,
        retryable: bool = False,
        field: str | None = None,
        log: str | None = None,
    ) -> None:
        code = Code.BAD_REQUEST if kind is EgressKind.REFUSED else Code.UPSTREAM_FAILED
        super().__init__(code, message, field=field, log=log)
        self.kind = kind
        self.retryable = retryable

    def __repr__(self) -> str:
        return f"EgressError({self.kind.value}, {self.message!r}, log={self.log!r})"


def refused(message: str, field: str | None, *, log: str | None = None) -> EgressError:
    """alloyd won't send this request: ``field`` names the offending part of it."""
    return EgressError(EgressKind.REFUSED, message, field=field, log=log)


def too_large(where: str, bytes_max: int) -> EgressError:
    """The answer from ``where`` is longer than ``bytes_max``, packed or unpacked."""
    return EgressError(EgressKind.TOO_LARGE, f"the response from {where} is larger than {bytes_max} bytes")


def timed_out(where: str) -> EgressError:
    """The time given for the whole exchange, or for one silence in it, is over."""
    return EgressError(EgressKind.TIMEOUT, f"{where} did not answer in time", retryable=True)


_CONNECT_WORDS = {
    errno.ECONNREFUSED: "refused the connection",
    errno.ECONNRESET: "reset the connection",
    errno.ENETUNREACH: "cannot be reached from here",
    errno.EHOSTUNREACH: "cannot be reached from here",
    errno.ETIMEDOUT: "did not accept a connection in time",
}


def translate(exc: BaseException, where: str) -> EgressError:
    """The :class:`EgressError` for what aiohttp raised while talking to ``where`` (``host:port``).

    The library's own text is left out of ``message``: it holds URLs and addresses.
    """
    log = f"{type(exc).__name__}: {exc}"
    if isinstance(exc, EgressError):
        return exc
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        transient = exc.errno == socket.EAI_AGAIN
        return EgressError(EgressKind.DNS, f"{where}: the name did not resolve", retryable=transient, log=log)
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return EgressError(EgressKind.TLS, f"{where} has a certificate that is not trusted", log=log)
    if isinstance(exc, (aiohttp.ClientSSLError, ssl.SSLError)):
        return EgressError(EgressKind.TLS, f"the TLS handshake with {where} failed", log=log)
    if isinstance(exc, TimeoutError):
        return timed_out(where)
    if isinstance(exc, aiohttp.ClientPayloadError):
        return EgressError(EgressKind.PROTOCOL, f"the response from {where} broke off", retryable=True, log=log)
    if isinstance(exc, (aiohttp.ClientConnectionError, OSError)):
        number = exc.errno if isinstance(exc, OSError) else None
        words = _CONNECT_WORDS.get(number or 0, "closed the connection")
        return EgressError(EgressKind.CONNECT, f"{where} {words}", retryable=True, log=log)
    return EgressError(EgressKind.PROTOCOL, f"{where} did not answer in valid HTTP", log=log)
