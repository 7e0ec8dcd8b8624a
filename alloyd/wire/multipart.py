"""Reads multipart/form-data as it comes, with a bound on everything.

aiohttp's own reader warns where we must refuse, drops the backslashes of a Windows client's file name, and decides
lengths by what the part claims; hence this one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import unquote

from aiohttp import web

from alloyd.errors import AlloydError, bad_request
from alloyd.wire.bodystream import BodyReader

PARTS_MAX = 16
PART_HEADERS_BYTES_MAX = 8 * 1024
# Before the first boundary and after the last: text for mail programs of 1996.
SURROUNDINGS_BYTES_MAX = 4 * 1024
BOUNDARY_CHARS_MAX = 70

_PARAM = re.compile(r';[ \t]*([!#$%&*+.^_`|~0-9A-Za-z\'-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))[ \t]*', re.DOTALL)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]*[0-9A-Za-z'()+_,./:=?-]\Z")
_EXTENDED_CHARSETS = frozenset({"utf-8", "iso-8859-1"})
_PLAIN_ENCODINGS = frozenset({"7bit", "8bit", "binary"})


class Part:
    """One part: its field ``name``, and of a file the ``filename`` as the client wrote it and the declared type.

    Its content must be read, with :meth:`chunks` or :meth:`read`, before the next part is asked for.
    """

    def __init__(self, form: FormReader, name: str, filename: str | None, content_type: str | None) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self._form = form

    def chunks(self) -> AsyncIterator[bytes]:
        """The content in pieces of no fixed size. Raises ``bad_request`` when the body breaks off."""
        return self._form.content()

    async def read(self, bytes_max: int) -> bytes:
        """The whole content. Raises ``bad_request`` naming the part when it is larger than ``bytes_max``."""
        pieces: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > bytes_max:
                raise bad_request(f"{self.name[:100]}: longer than {bytes_max} bytes", self.name[:100])
            pieces.append(chunk)
        return b"".join(pieces)


class FormReader:
    """The parts of one request's body. ``idle_timeout_s`` bounds the wait for each next piece of it."""

    def __init__(self, request: web.Request, idle_timeout_s: float) -> None:
        self._body = BodyReader(request.content, idle_timeout_s)
        self._delimiter = b"\r\n--" + _read_boundary(request.headers.get("Content-Type", ""))
        # The first delimiter may be the body's first line; then no line break is before it.
        self._buffer = bytearray(b"\r\n")

    async def parts(self) -> AsyncIterator[Part]:
        """Each part in its order; when it ends the body has been read to its end."""
        await self._skip_preamble()
        for _ in range(PARTS_MAX):
            if await self._at_close():
                await self._skip_epilogue()
                return
            yield await self._read_head()
        if not await self._at_close():
            raise bad_request(f"body: more than {PARTS_MAX} parts", "body")
        await self._skip_epilogue()

    async def content(self) -> AsyncIterator[bytes]:
        """The bytes up to the next delimiter, which is taken away."""
        buffer, delimiter = self._buffer, self._delimiter
        while True:
            found = buffer.find(delimiter)
            if found >= 0:
                piece = bytes(buffer[:found])
                del buffer[: found + len(delimiter)]
                if piece:
                    yield piece
                return
            safe = len(buffer) - len(delimiter) + 1  # what can't be the beginning of a delimiter
            if safe > 0:
                piece = bytes(buffer[:safe])
                del buffer[:safe]
                yield piece
            await self._need_more()

    async def _skip_preamble(self) -> None:
        skipped = 0
        async for piece in self.content():
            skipped += len(piece)
            if skipped > SURROUNDINGS_BYTES_MAX:
                raise _malformed("the boundary does not come")

    async def _skip_epilogue(self) -> None:
        while len(self._buffer) <= SURROUNDINGS_BYTES_MAX:
            if not await self._fill():
                return
        raise _malformed("too much after the last boundary")

    async def _at_close(self) -> bool:
        """After a delimiter: whether it was the last. Takes the rest of its line away."""
        buffer = self._buffer
        while len(buffer) < 2:  # the two dashes
            await self._need_more()
        if buffer.startswith(b"--"):
            return True
        line = await self._take_until(b"\r\n", BOUNDARY_CHARS_MAX)
        if line.strip(b" \t"):
            raise _malformed("text after a boundary")
        return False

    async def _read_head(self) -> Part:
        self._buffer[:0] = b"\r\n"  # so that a part without headers ends its head like any other
        head = await self._take_until(b"\r\n\r\n", PART_HEADERS_BYTES_MAX)
        try:
            headers = _parse_headers(head.decode())
        except UnicodeDecodeError:
            raise _malformed("a part's headers are not valid UTF-8") from None
        kind, params = _parse_disposition(headers.get("content-disposition", ""))
        name = params.get("name")
        if kind != "form-data" or name is None:
            raise _malformed('a part without Content-Disposition: form-data; name="…"')
        if headers.get("content-transfer-encoding", "binary").strip().lower() not in _PLAIN_ENCODINGS:
            raise _malformed("Content-Transfer-Encoding is not supported")
        return Part(self, name, params.get("filename*", params.get("filename")), headers.get("content-type"))

    async def _take_until(self, end: bytes, bytes_max: int) -> bytes:
        buffer = self._buffer
        while (found := buffer.find(end)) < 0 and len(buffer) <= bytes_max:
            await self._need_more()
        if not 0 <= found <= bytes_max:
            raise _malformed(f"a part's head is longer than {bytes_max} bytes")
        taken = bytes(buffer[:found])
        del buffer[: found + len(end)]
        return taken

    async def _need_more(self) -> None:
        if not await self._fill():
            raise bad_request("body: broken off before the last boundary", "body")

    async def _fill(self) -> bool:
        """Wait for the next piece of the body; False at its end."""
        piece = await self._body.read()
        self._buffer += piece
        return bool(piece)


def _read_boundary(content_type: str) -> bytes:
    kind, _, _rest = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise bad_request(f"Content-Type: multipart/form-data is wanted, not {kind.strip()[:100]!r}", "Content-Type")
    params = _parse_params(content_type[len(kind) :])
    boundary = None if params is None else params.get("boundary")
    if boundary is None or len(boundary) > BOUNDARY_CHARS_MAX or not _BOUNDARY.match(boundary):
        raise bad_request("Content-Type: no valid boundary", "Content-Type")
    return boundary.encode("ascii")


def _parse_headers(head: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in head.split("\r\n"):
        if not line:
            continue
        name, colon, value = line.partition(":")
        key = name.lower()
        if not colon or not _HEADER_NAME.match(name) or key in headers or any(char in value for char in "\r\n\0"):
            raise _malformed("a part's header is not valid")
        headers[key] = value.strip(" \t")
    return headers


def _parse_disposition(value: str) -> tuple[str, dict[str, str]]:
    kind, _, _rest = value.partition(";")
    params = _parse_params(value[len(kind) :])
    if params is None:
        raise _malformed("a part's Content-Disposition is not valid")
    extended = params.get("filename*")
    if extended is not None:
        params["filename*"] = _decode_extended(extended)
    return kind.strip().lower(), params


def _parse_params(text: str) -> dict[str, str] | None:
    """``; key=value; key="quoted"`` as a dict with lower-case keys; None when it is not that, or a key comes twice."""
    params: dict[str, str] = {}
    at = 0
    text = text.rstrip(" \t;")
    while at < len(text):
        match = _PARAM.match(text, at)
        if match is None:
            return None
        key, quoted, token = match.groups()
        if key.lower() in params:
            return None
        # Only these two are escapes in practice; a lone backslash is part of a Windows path.
        value = token if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted)
        params[key.lower()] = value
        at = match.end()
    return params


def _decode_extended(value: str) -> str:
    """The text of an RFC 5987 value, ``UTF-8''na%C3%AFve.txt``."""
    charset, mark, rest = value.partition("'")
    _language, second_mark, encoded = rest.partition("'")
    if not mark or not second_mark or charset.lower() not in _EXTENDED_CHARSETS:
        raise bad_request("file: filename* is not valid", "file")
    try:
        return unquote(encoded, charset, "strict")
    except UnicodeDecodeError:
        raise bad_request("file: filename* is not valid", "file") from None


def _malformed(what: str) -> AlloydError:
    return bad_request(f"body: malformed multipart: {what}", "body")
