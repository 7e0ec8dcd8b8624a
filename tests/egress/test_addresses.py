"""Which addresses are shut, by table."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from alloyd.egress.addresses import METADATA, embedded_ipv4, forbidden_reason, is_metadata

FORBIDDEN = [
    ("0.0.0.0", "this network"),
    ("0.1.2.3", "this network"),
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.0", "carrier-grade NAT"),
    ("100.127.255.255", "carrier-grade NAT"),
    ("100.100.100.200", "cloud metadata"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "cloud metadata"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "cloud metadata"),
    ("172.16.0.0", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.8", "IETF protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4 relay"),
    ("192.168.0.1", "private"),
    ("198.18.0.0", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved or broadcast"),
    ("255.255.255.255", "reserved or broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::7f00:1", "IPv4-compatible"),
    ("::808:808", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "loopback, inside IPv6"),
    ("::ffff:10.0.0.1", "private, inside IPv6"),
    ("::ffff:169.254.169.254", "cloud metadata"),
    ("::ffff:0:127.0.0.1", "not a global address"),
    ("64:ff9b::7f00:1", "loopback, inside IPv6"),
    ("64:ff9b::a9fe:a9fe", "cloud metadata"),
    ("64:ff9b:1::808:808", "local NAT64"),
    ("2002:7f00:1::", "loopback, inside IPv6"),
    ("2002:a00:1::1", "private, inside IPv6"),
    ("2001::1", "Teredo tunnel"),
    ("2001:10::1", "IETF protocol assignments"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("100::1", "discard only"),
    ("fc00::1", "unique local"),
    ("fdff:ffff::1", "unique local"),
    ("fd00:ec2::254", "cloud metadata"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "scoped to an interface"),
    ("2606:4700::1%eth0", "scoped to an interface"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("5f00::1", "not a global address"),
    ("4000::1", "not a global address"),
]

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2001:200::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize(("text", "why"), FORBIDDEN)
def test_forbidden(text: str, why: str) -> None:
    assert forbidden_reason(ip_address(text)) == why


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert forbidden_reason(ip_address(text)) is None


@pytest.mark.parametrize("address", sorted(METADATA, key=str), ids=str)
def test_every_metadata_address_is_forbidden(address: object) -> None:
    assert is_metadata(ip_address(str(address)))
    assert forbidden_reason(ip_address(str(address))) == "cloud metadata"


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("64:ff9b::102:304", "1.2.3.4"),
        ("2002:102:304::9", "1.2.3.4"),
        ("2606:4700::1", None),
        ("1.2.3.4", None),
    ],
)
def test_embedded(text: str, inner: str | None) -> None:
    found = embedded_ipv4(ip_address(text))
    assert (None if found is None else str(found)) == inner
