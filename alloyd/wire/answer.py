"""A small JSON answer, written in one piece: most answers are one, and aiohttp's own way takes several steps for each.

What is out of the ordinary (HTTP/1.0, HEAD, a connection that ends or is slow) goes aiohttp's way. Private parts of
aiohttp are used here; tests/wire/test_answer.py compares both ways byte by byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import ClientConnectionResetError, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time

STANDING_HEADERS = {
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Server": "alloyd",
}
# Larger ones are left to aiohttp, which waits for a slow reader.
IN_ONE_PIECE_BYTES_MAX = 64 * 1024

_STANDING = "".join(f"{name}: {value}\r\n" for name, value in STANDING_HEADERS.items())
_HEADS = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n{_STANDING}X-Request-Id: " for status in HTTPStatus}
_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length"})


class Answer(web.StreamResponse):
    """``data`` is the JSON body; ``extra`` headers beside the standing ones."""

    def __init__(self, data: bytes, status: int, request_id: str, extra: Mapping[str, str] | None = None) -> None:
        super().__init__(status=status)
        self._data = data
        self._request_id = request_id
        self._extra = extra

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the whole answer; aiohttp calls this once the handler is done."""
        if self._is_ordinary(request):
            return self._write_at_once(request)
        full = web.Response(body=self._data, status=self.status, headers={**STANDING_HEADERS, **(self._extra or {})})
        full.headers["X-Request-Id"] = self._request_id
        if self._keep_alive is False:
            full.force_close()
        writer = await full.prepare(request)
        await full.write_eof()
        self._eof_sent = True
        self._keep_alive = full.keep_alive
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """All has been written."""

    def _is_ordinary(self, request: web.BaseRequest) -> bool:
        return (
            self._keep_alive is None
            and request.version == HttpVersion11
            and request.method != "HEAD"
            and request.keep_alive
            and len(self._data) <= IN_ONE_PIECE_BYTES_MAX
            and not request.protocol.writing_paused
            and not (self._extra and any(_is_odd(name, value) for name, value in self._extra.items()))
        )

    def _write_at_once(self, request: web.BaseRequest) -> AbstractStreamWriter:
        writer = request._payload_writer  # noqa: SLF001  # as aiohttp's own responses do
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the connection is gone")
        extra = "".join(f"{name}: {value}\r\n" for name, value in self._extra.items()) if self._extra else ""
        head = (
            f"{_HEADS[self.status]}{self._request_id}\r\n{extra}"
            f"Content-Length: {len(self._data)}\r\nDate: {rfc822_formatted_time()}\r\n\r\n"
        )
        piece = head.encode("latin-1") + self._data
        transport.write(piece)
        writer.output_size += len(piece)
        self._req, self._payload_writer = request, writer
        self._keep_alive, self._eof_sent = True, True
        return writer


def _is_odd(name: str, value: str) -> bool:
    """Headers that only aiohttp should write, or check."""
    return name.lower() in _HOP_BY_HOP or not value.isascii() or not value.isprintable() or name in STANDING_HEADERS
