"""Takes the chunks of an HTTP/1.1 answer apart."""

from __future__ import annotations


class Dechunker:
    """Chunked bytes in, content out, however they were cut."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0  # of the present chunk, with the line break behind it

    def feed(self, data: bytes) -> bytes:
        """The content in ``data``."""
        pieces = []
        at = 0
        while at < len(data):
            if not self._left:
                end = data.find(b"\n", at)
                if end < 0:
                    self._head += data[at:]
                    break
                self._left = int(self._head + data[at:end], 16) + 2
                self._head = b""
                at = end + 1
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            surplus = max(0, 2 - self._left)  # of the line break
            pieces.append(piece[: max(0, len(piece) - surplus)] if surplus else piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
