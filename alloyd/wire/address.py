"""Where a caller sits: the connection's address, or what a trusted proxy says of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOCAL = "local"  # what stands for the address of a caller on the data directory's socket
FORWARDED_FOR = "X-Forwarded-For"
# Proxies in a row that are looked through; a longer chain is nobody's real one.
HOPS_MAX = 32

# Where a request carries the server's rule: a route that was found by a short cut knows no application.
TRUSTED_PROXIES: web.RequestKey[TrustedProxies] = web.RequestKey("alloyd.trusted_proxies")

_IPV4_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}\Z")
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?\Z")


class TrustedProxies:
    """The address ranges whose ``X-Forwarded-For`` is believed: ``http.trusted_proxies``."""

    def __init__(self, ranges: Sequence[str] = ()) -> None:
        self._networks: tuple[Network, ...] = tuple(ip_network(each) for each in ranges)

    def replace(self, ranges: Sequence[str]) -> None:
        """Believe these from now on."""
        self._networks = tuple(ip_network(each) for each in ranges)

    def find_caller(self, peer: str | None, forwarded: Sequence[str]) -> str:
        """The caller's address. ``peer`` is the connection's, ``forwarded`` the values of ``X-Forwarded-For``.

        Each proxy adds at the end where its own caller sits. So the list is read from the end, as far as trusted
        proxies wrote it: what stands before that may be anybody's invention.
        """
        if not self._networks or not forwarded:
            return _shown(peer or "")
        nearest = _parse(peer or "")
        if nearest is None:
            return LOCAL
        if not self._trusts(nearest):
            return str(nearest)
        for hop in reversed(",".join(forwarded).split(",")[-HOPS_MAX:]):
            address = _parse(hop.strip())
            if address is None:
                break
            nearest = address
            if not self._trusts(address):
                break
        return str(nearest)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def caller_address(request: web.Request) -> str:
    """The address that ``request`` comes from, as text without a port; :data:`LOCAL` on the operator's socket.

    Behind a proxy of ``http.trusted_proxies`` it is what that proxy tells; anyone else's word is not taken.
    """
    proxies: TrustedProxies | None = request.get(TRUSTED_PROXIES)
    if proxies is None:
        return TrustedProxies().find_caller(request.remote, ())
    return proxies.find_caller(request.remote, request.headers.getall(FORWARDED_FOR, ()))


@lru_cache(maxsize=4096)  # each request that changes something asks, and most come from where others came from
def _shown(peer: str) -> str:
    address = _parse(peer)
    return LOCAL if address is None else str(address)


def _parse(text: str) -> Address | None:
    """The address in ``text``, with a port or without; one of IPv4 that is mapped into IPv6 as what it is."""
    match = _IPV4_WITH_PORT.match(text) or _BRACKETED.match(text)
    try:
        address = ip_address((match[1] if match else text).partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
