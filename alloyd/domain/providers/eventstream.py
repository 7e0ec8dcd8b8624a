"""Takes a body of server-sent events apart as it arrives, however it is cut into pieces; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EVENT_BYTES_MAX: Final = 4 * 1024 * 1024


class EventTooLargeError(ValueError):
    """One event is larger than EVENT_BYTES_MAX."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name, and the lines of data joined."""

    name: str
    data: bytes


class EventParser:
    """Feed it pieces, take whole events. Comments, ids and retry times are dropped; CR, LF and CRLF end lines."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that ``piece`` completes. Raises EventTooLargeError."""
        if len(self._rest) + len(piece) + self._size > EVENT_BYTES_MAX + len(piece):
            raise EventTooLargeError
        *lines, self._rest = (self._rest + piece).split(b"\n")
        found: list[ServerEvent] = []
        for line in lines:
            self._take(line.removesuffix(b"\r"), found)
        return found

    def finish(self) -> list[ServerEvent]:
        """What a body without its last empty line still holds."""
        found: list[ServerEvent] = []
        self._take(self._rest.removesuffix(b"\r"), found)
        self._take(b"", found)
        self._rest = b""
        return found

    def _take(self, line: bytes, found: list[ServerEvent]) -> None:
        if not line:
            if self._data:
                found.append(ServerEvent(self._name, b"\n".join(self._data)))
            self._name, self._data, self._size = "", [], 0
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
            if self._size > EVENT_BYTES_MAX:
                raise EventTooLargeError
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
