"""How the library's failures are told."""

from __future__ import annotations

import socket
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from alloyd.egress import EgressError, EgressKind
from alloyd.egress.errors import refused, translate
from alloyd.errors import Code

KEY: Any = SimpleNamespace(host="10.9.9.9", port=80, ssl=True, is_ssl=True)


@pytest.mark.parametrize(
    ("exc", "kind", "retryable"),
    [
        (
            aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(socket.EAI_NONAME, "x")),
            EgressKind.DNS,
            False,
        ),
        (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(socket.EAI_AGAIN, "x")), EgressKind.DNS, True),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "10.9.9.9")), EgressKind.CONNECT, True),
        (aiohttp.ClientConnectorError(KEY, OSError(113, "10.9.9.9")), EgressKind.CONNECT, True),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "10.9.9.9")), EgressKind.TLS, False),
        (
            aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("10.9.9.9")),
            EgressKind.TLS,
            False,
        ),
        (TimeoutError(), EgressKind.TIMEOUT, True),
        (aiohttp.ConnectionTimeoutError("10.9.9.9"), EgressKind.TIMEOUT, True),
        (aiohttp.ServerDisconnectedError("10.9.9.9"), EgressKind.CONNECT, True),
        (ConnectionResetError(104, "10.9.9.9"), EgressKind.CONNECT, True),
        (aiohttp.ClientPayloadError("10.9.9.9"), EgressKind.PROTOCOL, True),
        (aiohttp.InvalidURL("http://10.9.9.9"), EgressKind.PROTOCOL, False),
        (ValueError("10.9.9.9"), EgressKind.PROTOCOL, False),
    ],
)
def test_translate(exc: Exception, kind: EgressKind, retryable: bool) -> None:
    error = translate(exc, "a.example:80")
    assert (error.kind, error.retryable, error.code) == (kind, retryable, Code.UPSTREAM_FAILED)
    assert "a.example:80" in error.message
    assert "10.9.9.9" not in error.message


def test_own_errors_pass() -> None:
    error = refused("no", "url", log="10.9.9.9")
    assert translate(error, "a.example:80") is error
    assert error.code is Code.BAD_REQUEST
    assert repr(error) == "EgressError(refused, 'no', log='10.9.9.9')"
    assert isinstance(error, EgressError)
