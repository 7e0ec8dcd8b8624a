"""The host in a URL: canonical names and addresses only, none of the forms that parsers read differently; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from yarl import URL

from alloyd.egress.errors import EgressError, EgressKind

_AUTHORITY = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
# Browsers strip some of these and turn a backslash into a slash; every parser differs, so none may pass.
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
_BRACKETED = re.compile(r"\[[0-9a-fA-F:.]+\](?::[0-9]*)?\Z")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_NAME_CHARS_MAX = 253


@dataclass(frozen=True, slots=True)
class Target:
    """One hop's destination, taken apart once: the check and the connection use the same parts."""

    url: URL
    host: str
    port: int
    address: IPv4Address | IPv6Address | None

    @property
    def where(self) -> str:
        """``host:port``, the most that a message may say about a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what credentials are bound to."""
        return (self.url.scheme, self.host, self.port)


def is_unsafe(text: str) -> bool:
    """Whether ``text`` has a character that no URL may have and that parsers treat differently."""
    return _UNSAFE.search(text) is not None


def host_name(text: str) -> str | None:
    """``text`` as a lower-case ASCII host name without its trailing dot, or None when it is not one.

    A name whose last label is a number is none: ``127.1``, ``2130706433`` and ``0x7f.1`` are addresses to some
    resolvers and names to others.
    """
    name = text.lower()
    if not name.isascii():
        try:
            name = (URL.build(scheme="http", host=name).raw_host or "").lower()
        except ValueError:
            return None
    name = name.removesuffix(".")
    labels = name.split(".")
    if len(name) > _NAME_CHARS_MAX or not all(_LABEL.match(label) for label in labels):
        return None
    return None if _NUMBER.match(labels[-1]) else name


def parse_target(text: str, kind: EgressKind = EgressKind.REFUSED) -> Target:
    """Take apart an absolute http or https URL; its fragment is dropped.

    Raises EgressError of ``kind`` for another scheme, userinfo, port 0, and a host that is empty, percent-encoded,
    scoped or not in canonical form. The message never repeats the URL.
    """
    if is_unsafe(text):
        raise _bad(kind, "has a space, a backslash or a control character")
    match = _AUTHORITY.match(text)
    if match is None:
        raise _bad(kind, "is not an absolute http or https URL")
    authority = match[1]
    if "@" in authority:
        raise _bad(kind, "carries a user name; send credentials in a header")
    if "%" in authority:
        raise _bad(kind, "has a percent sign in its host")
    if "[" in authority and not _BRACKETED.match(authority):
        raise _bad(kind, "has a malformed IPv6 host")
    try:
        url = URL(text).with_fragment(None)
        host, port = url.raw_host, url.port
    except ValueError:
        raise _bad(kind, "is malformed") from None
    if not host:
        raise _bad(kind, "has no host")
    if not port:
        raise _bad(kind, "has port 0")
    address = _literal(host)
    if address is None:
        name = host_name(host)
        if name is None:
            raise _bad(kind, "has a host that is neither a name nor an address in canonical form")
    else:
        name = str(address)
    if name != host:
        url = url.with_host(name)
    return Target(url, name, port, address)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return IPv6Address(host) if ":" in host else IPv4Address(host)
    except ValueError:
        return None


def _bad(kind: EgressKind, fault: str) -> EgressError:
    subject = "the redirect's URL" if kind is EgressKind.REDIRECT else "the URL"
    return EgressError(kind, f"{subject} {fault}", field="url")
