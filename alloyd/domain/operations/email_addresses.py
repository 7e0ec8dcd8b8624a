"""E-mail addresses as people write them: one form, checked, with nothing in it that could end a header; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Final

from alloyd.egress.hosts import host_name
from alloyd.kit.text import fault_of_line

ADDRESS_CHARS_MAX: Final = 254
NAME_CHARS_MAX: Final = 128

_LOCAL: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_LOCAL_CHARS_MAX: Final = 64
_NAMED: Final = re.compile(r'(?:"(?P<quoted>[^"\\<>]*)"|(?P<plain>[^"\\<>@]*?))\s*<(?P<bare>[^<>]*)>\Z')


class AddressError(ValueError):
    """Not an address. The text says what is wanted and does not repeat what was given."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address, with the name that is shown with it or none."""

    bare: str
    name: str = ""

    def to_header(self) -> Address:
        """As a header has it, encoded by the library where that is needed."""
        return Address(self.name, addr_spec=self.bare)


def parse_mailbox(text: str) -> Mailbox:
    """``ann@example.com`` or ``Ann <ann@example.com>``; a name in other letters is fine, a domain becomes ASCII.

    Raises :class:`AddressError`.
    """
    if any(char in text for char in "\r\n\0"):
        raise AddressError("has a line break")
    text = text.strip(" ")
    match = _NAMED.match(text)
    if match is None:
        return Mailbox(_bare(text))
    name = (match["quoted"] or match["plain"] or "").strip(" ")
    if name:
        fault = fault_of_line(name, NAME_CHARS_MAX)
        if fault is not None:
            raise AddressError(f"its name {fault}")
    return Mailbox(_bare(match["bare"].strip(" ")), name)


def _bare(text: str) -> str:
    local, at, domain = text.rpartition("@")
    name = host_name(domain) if at else None
    if name is None or "." not in name or not _LOCAL.match(local) or len(local) > _LOCAL_CHARS_MAX:
        raise AddressError("an address such as ann@example.com or Ann <ann@example.com> is wanted")
    if len(local) + len(name) + 1 > ADDRESS_CHARS_MAX:
        raise AddressError(f"at most {ADDRESS_CHARS_MAX} characters are wanted")
    return f"{local}@{name}"
