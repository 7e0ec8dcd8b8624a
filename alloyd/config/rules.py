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


def destination(text: str) -> str | None:
    """Where outbound requests may go: an address range, or a host name, each with a port or without."""
    name, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdigit() and "]" not in port and not _is_address(text):
        if not 0 < int(port[:6]) <= _PORT_MAX:
            return f"a port from 1 to {_PORT_MAX} after the colon"
        text = name.strip("[]")
    if network(text) is None or _is_host(text):
        return None
    return "an address range such as 192.168.1.0/24, or a host name with a port or without, such as nas.lan:9000"


def _is_host(text: str) -> bool:
    # What looks like an address must be one: 300.1.1.1 is no host name.
    return _is_address(text) or (_HOST.match(text) is not None and not text.rsplit(".", 1)[-1].isdigit())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
