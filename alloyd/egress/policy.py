"""What the operator opened with ``egress.allow``, and the verdict on one address."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from alloyd.egress.addresses import faces, forbidden_reason, is_metadata
from alloyd.egress.hosts import host_name

_BRACKETED = re.compile(r"\[([^\]]*)\](?::([0-9]{1,5}))?\Z")
_PORTED = re.compile(r"([^:]*):([0-9]{1,5})\Z")


@dataclass(frozen=True, slots=True)
class OpenNetwork:
    """A network that may be reached though it is not public; ``port`` None means every port."""

    network: IPv4Network | IPv6Network
    port: int | None


@dataclass(frozen=True, slots=True)
class OpenHost:
    """A host name whose addresses may be reached whatever they are; ``port`` None means every port."""

    name: str
    port: int | None


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """The public internet, and beyond it only what is listed here.

    A metadata address stays shut under a wider network and under a host name: only its own /32 or /128 opens it.
    """

    networks: tuple[OpenNetwork, ...] = ()
    hosts: tuple[OpenHost, ...] = ()

    @classmethod
    def parse(cls, allow: Sequence[str]) -> EgressPolicy:
        """The policy for the entries of ``egress.allow``.

        An entry is a network (``10.1.0.0/16``), an address (``10.1.0.5``, ``fd00::5``) or a host name
        (``intranet.example``), each with an optional ``:port``; IPv6 with a port stands in brackets
        (``[fd00::/8]:443``). Raises ValueError naming the entry that is none of these.
        """
        networks: list[OpenNetwork] = []
        hosts: list[OpenHost] = []
        for entry in allow:
            rule = _parse_entry(entry)
            if isinstance(rule, OpenNetwork):
                networks.append(rule)
            else:
                hosts.append(rule)
        return cls(tuple(networks), tuple(hosts))

    def refusal(self, host: str, address: IPv4Address | IPv6Address, port: int) -> str | None:
        """Why a connection to ``address``, found under the name ``host``, is refused; None when it may be made."""
        why = forbidden_reason(address)
        if why is None:
            return None
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return why
        exact_only = is_metadata(address)
        for rule in self.networks:
            if rule.port not in (None, port):
                continue
            if exact_only and rule.network.num_addresses != 1:
                continue
            if any(face in rule.network for face in faces(address)):
                return None
        if not exact_only and any(rule.name == host and rule.port in (None, port) for rule in self.hosts):
            return None
        return why


def _parse_entry(entry: str) -> OpenNetwork | OpenHost:
    text, port = _split_port(entry)
    try:
        return OpenNetwork(ipaddress.ip_network(text), port)
    except ValueError as exc:
        if "/" in text or ":" in text:
            raise ValueError(f"egress.allow: {entry!r} is not a network: {exc}") from exc
    name = host_name(text)
    if name is None:
        raise ValueError(f"egress.allow: {entry!r} is not a network, an address or a host name")
    return OpenHost(name, port)


def _split_port(entry: str) -> tuple[str, int | None]:
    match = _BRACKETED.match(entry)
    if match is not None and ":" not in match[1]:
        raise ValueError(f"egress.allow: {entry!r} has brackets around what is not IPv6")
    match = match or _PORTED.match(entry)
    if match is None or match[2] is None:
        return (match[1] if match else entry), None
    port = int(match[2])
    if not 0 < port <= 65535:
        raise ValueError(f"egress.allow: {entry!r} has no port between 1 and 65535")
    return match[1], port
