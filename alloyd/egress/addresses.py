"""Which IP addresses no outbound request may reach, and why; pure."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_FORBIDDEN_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "IETF protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved or broadcast"),
    )
)

_GLOBAL_V6 = IPv6Network("2000::/3")
# Inside the global range: what is not one host on the public internet.
_FORBIDDEN_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("2001::/32", "Teredo tunnel"),
        ("2001::/23", "IETF protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
    )
)
# Outside it everything is refused; these only give the reason a better word.
_WORDS_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard only"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")

# Where clouds hand credentials to whoever asks from the machine itself. Some lie in public ranges.
METADATA: frozenset[IPv4Address | IPv6Address] = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack, DigitalOcean, Oracle, Hetzner
        "fd00:ec2::254",  # AWS
        "169.254.170.2",  # AWS container credentials
        "169.254.170.23",  # AWS pod identity
        "fd00:ec2::23",  # AWS pod identity
        "fd20:ce::254",  # Google
        "168.63.129.16",  # Azure's wire server
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle, classic
        "169.254.42.42",  # Scaleway
        "fd00:42::42",  # Scaleway
        "169.254.0.23",  # Tencent
        "fe80::a9fe:a9fe",  # OpenStack
    )
)


def embedded_ipv4(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that ``address`` leads to: v4-mapped, NAT64 (64:ff9b::/96) or 6to4; else None."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address((int(address) >> 80) & 0xFFFF_FFFF)
    return None


def faces(address: IPv4Address | IPv6Address) -> tuple[IPv4Address | IPv6Address, ...]:
    """``address`` and the IPv4 address embedded in it, if there is one: a rule may name either."""
    inner = embedded_ipv4(address)
    return (address,) if inner is None else (address, inner)


def is_metadata(address: IPv4Address | IPv6Address) -> bool:
    """Whether a cloud's metadata service answers there, also behind an embedding."""
    return any(face in METADATA for face in faces(address))


def forbidden_reason(address: IPv4Address | IPv6Address) -> str | None:
    """Why nothing may connect to ``address`` unless an operator opened it; None for the public internet."""
    if is_metadata(address):
        return "cloud metadata"
    if isinstance(address, IPv4Address):
        return next((why for network, why in _FORBIDDEN_V4 if address in network), None)
    if address.scope_id is not None:
        return "scoped to an interface"
    inner = embedded_ipv4(address)
    if inner is not None:
        why = forbidden_reason(inner)
        return None if why is None else f"{why}, inside IPv6"
    if address not in _GLOBAL_V6:
        return next((why for network, why in _WORDS_V6 if address in network), "not a global address")
    return next((why for network, why in _FORBIDDEN_V6 if address in network), None)
