"""Unpacking a response's body in bounded pieces, so that a small download can't become a large memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_PIECE_BYTES = 65_536
_GZIP_BITS = 16 + zlib.MAX_WBITS
ACCEPTED = "gzip, deflate"


class BodyDecoder:
    """Undoes one ``Content-Encoding``. ``decodes`` is False for one that is not known: its bytes pass unchanged."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower().removeprefix("x-")
        self.decodes = self._encoding in ("gzip", "deflate")
        self._inflater: zlib._Decompress | None = None
        self._member = 0
        self._ended = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The unpacked pieces that ``data`` adds, none over 64 KiB. Raises zlib.error for a damaged body."""
        if not self.decodes:
            yield data
            return
        while not self._ended:
            inflater = self._inflater or self._begin(data)
            if inflater is None:
                return
            piece = inflater.decompress(data, _PIECE_BYTES)
            if piece:
                yield piece
            if inflater.eof:
                self._inflater = None
                self._ended = self._encoding != "gzip"
                self._member += 1
                data = inflater.unused_data
                continue
            data = inflater.unconsumed_tail
            # A full piece may have left more inside the inflater though all input is taken.
            if not data and len(piece) < _PIECE_BYTES:
                return

    def finish(self) -> None:
        """Say that the body is over. Raises zlib.error when it broke off."""
        if self._inflater is not None:
            raise zlib.error("the packed body breaks off")

    def _begin(self, data: bytes) -> zlib._Decompress | None:
        if not data:
            return None
        if self._member and data[0] != 0x1F:
            # A gzip body may be several members in a row; anything else behind one is padding.
            self._ended = True
            return None
        bits = _GZIP_BITS
        if self._encoding == "deflate":
            # The word means zlib's format, but some servers send it bare.
            bits = zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS
        self._inflater = zlib.decompressobj(bits)
        return self._inflater
