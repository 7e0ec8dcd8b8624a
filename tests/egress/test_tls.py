"""Certificates are checked by name, and credentials don't leave https."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alloyd.egress import EgressError, EgressKind, Outbound, OutboundRequest


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of our own for 127.0.0.1 and a.example, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alloyd test")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("a.example")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return path


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def echo(request: web.Request) -> web.Response:
    return web.json_response(dict(request.headers))


async def test_certificate_is_checked(certificate: Path, serve: Any, outbound: Callable[..., Outbound]) -> None:
    site = await serve(echo, tls=server_side(certificate))

    async def lookup(_: str) -> list[str]:
        return ["127.0.0.1"]

    trusting = outbound(lookup=lookup, tls=ssl.create_default_context(cafile=str(certificate)))
    for host in ("127.0.0.1", "a.example", "a.example."):
        request = OutboundRequest(method="GET", url=site.url(host=host, scheme="https"))
        assert (await trusting.request(request)).status == 200
    seen = len(site.seen)
    for client, host in ((trusting, "b.example"), (outbound(), "127.0.0.1")):
        with pytest.raises(EgressError) as caught:
            await client.request(OutboundRequest(method="GET", url=site.url(host=host, scheme="https")))
        assert (caught.value.kind, caught.value.retryable) == (EgressKind.TLS, False)
    assert len(site.seen) == seen


async def test_https_to_a_plain_server(serve: Any, outbound: Callable[..., Outbound]) -> None:
    site = await serve(echo)
    with pytest.raises(EgressError) as caught:
        await outbound().request(OutboundRequest(method="GET", url=site.url(scheme="https")))
    assert caught.value.kind is EgressKind.TLS


async def test_downgrade_carries_no_credential(
    certificate: Path, serve: Any, outbound: Callable[..., Outbound]
) -> None:
    plain = await serve(echo)

    async def lead(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": plain.url()})

    site = await serve(lead, tls=server_side(certificate))
    client = outbound(tls=ssl.create_default_context(cafile=str(certificate)))
    url, headers = site.url(scheme="https"), [("Authorization", "Bearer s")]
    response = await client.request(OutboundRequest(method="GET", url=url, headers=headers))
    assert "Authorization" not in json.loads(response.body)
    with pytest.raises(EgressError) as caught:
        await client.request(OutboundRequest(method="POST", url=url, headers=headers, body=b"secret"))
    assert caught.value.kind is EgressKind.REDIRECT
    assert len(plain.seen) == 1
