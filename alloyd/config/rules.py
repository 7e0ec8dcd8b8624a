"""What a text in a configuration list may look like. Each rule gives None, or what is wanted instead."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\Z"
)
_ORIGIN: Final = re.compile(r"https?://(?P<host>\[[0-9a-fA-F:.]+\]|[^/\s:@?#\[\]]+)(:(?P<port>\d{1,5}))?\Z")
_BASE_URL: Final = re.compile(
    r"https?://(?P<host>\[[0-9a-fA-F:.]+\]|[^/\s:@?#\[\]]+)(:(?P<port>\d{1,5}))?(/[^\s?#]*)?\Z"
)
_BRACKETED: Final = re.compile(r"\[(?P<name>[0-9a-fA-F.]*:[0-9a-fA-F:./]*)\](:(?P<port>[0-9]{1,5}))?\Z")
_PORTED: Final = re.compile(r"(?P<name>[^:]*):(?P<port>[0-9]{1,5})\Z")
_NUMBER: Final = re.compile(r"([0-9]+|0x[0-9a-f]*)\Z", re.IGNORECASE)
_PORT_MAX: Final = 65535


def network(text: str) -> str | None:
    """An address range such as ``10.0.0.0/8``; a bare address is a range of one."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return "an address range such as 10.0.0.0/8 or fd00::/8, with no bits set behind its prefix"
    return None


def host(text: str) -> str | None:
    """A host name or address as it stands in a ``Host`` header, without a port."""
    return None if _is_host(text) else "a host name or address, with no scheme, port or path"


def origin(text: str) -> str | None:
    """A browser's ``Origin``: scheme, host and port. ``null`` and ``*`` are refused: anybody can send them."""
    match = _ORIGIN.match(text)
    if match and _is_host(match["host"].strip("[]")) and int(match["port"] or 1) <= _PORT_MAX:
        return None
    return "an origin such as https://app.example.com, with no path (neither * nor null)"


def base_url(text: str) -> str | None:
    """Where an API begins: scheme, host, port and path."""
    match = _BASE_URL.match(text)
    if match and _is_host(match["host"].strip("[]")) and 0 < int(match["port"] or 1) <= _PORT_MAX:
        return None
    return "an address such as https://api.example.com/v1, with no user, query or fragment"


def destination(text: str) -> str | None:
    """Where outbound requests may go: an address range or a host name, with a port or without.

    IPv6 with a port stands in brackets: ``[fd00::/8]:443``.
    """
    match = _BRACKETED.match(text) or _PORTED.match(text)
    name = match["name"] if match else text
    if match and match["port"] is not None and not 0 < int(match["port"]) <= _PORT_MAX:
        return f"a port from 1 to {_PORT_MAX} after the colon"
    if network(name) is None or _is_host(name):
        return None
    return "an address range such as 192.168.1.0/24, or a host name, with a port or without, such as nas.lan:9000"


def _is_host(text: str) -> bool:
    # What ends in a number must be an address: some resolvers take 127.1 and 0x7f.1 for one, others for a name.
    return _is_address(text) or (_HOST.match(text) is not None and not _NUMBER.match(text.rpartition(".")[2]))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
