"""What is wrong with a request before any route sees it: the request line, the headers, the host."""

from __future__ import annotations

import re
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import (
    BadHttpMethod,
    HttpProcessingError,
    InvalidHeader,
    InvalidURLError,
    LineTooLong,
    TransferEncodingError,
)

from alloyd.errors import AlloydError, Code, bad_request

HEADERS_LATE = "the headers of the request took too long"

_HOST_HEADER = re.compile(r"(?P<name>[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?\Z")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_TOO_MANY_HEADERS = "Too many headers"

_REASONS: tuple[tuple[type[HttpProcessingError], str], ...] = (
    (BadHttpMethod, "the request line does not begin with a method of HTTP"),
    (InvalidURLError, "the request line has no valid path"),
    (InvalidHeader, "a header is malformed"),
    (TransferEncodingError, "body: badly chunked"),
)


def describe_unread(fault: BaseException | None) -> tuple[AlloydError, int]:
    """What to tell of a request that the parser refused, and the status. The request's own bytes are not repeated."""
    text = str(getattr(fault, "message", ""))
    if isinstance(fault, LineTooLong) or text.startswith(_TOO_MANY_HEADERS):
        error = AlloydError(Code.TOO_LARGE, "the request line or the headers are larger than allowed", field="headers")
        return error, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    for kind, reason in _REASONS:
        if isinstance(fault, kind):
            return bad_request(reason), HTTPStatus.BAD_REQUEST
    # The parser's first line is a fixed text; what follows the colon would be the request's bytes.
    what = text.partition("\n")[0].partition(":")[0].strip().rstrip(".")
    return bad_request(f"not a valid HTTP request: {what}" if what else "not a valid HTTP request"), 400


def check_path(target: str) -> None:
    """Refuse a path with escapes that are broken, not UTF-8, or control characters. Raises ``bad_request``."""
    path = target.partition("?")[0]
    if _BROKEN_ESCAPE.search(path):
        raise bad_request("path: a percent sign needs two hexadecimal digits after it", "path")
    try:
        text = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise bad_request("path: not valid UTF-8", "path") from None
    if _CONTROL_CHARACTER.search(text):
        raise bad_request("path: control characters are not allowed", "path")


class HostRule:
    """Which names requests may be addressed to. Loopback always is one: no other site's page can claim it."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = frozenset(_bracketed(name.lower().rstrip(".")) for name in names)
        self._accepted: str | None = None  # the last one: nearly all requests name the same

    def check(self, host: str | None) -> None:
        """Raises ``bad_request`` for a malformed ``Host``, and for one that is not among the names."""
        if host == self._accepted:
            return
        match = _HOST_HEADER.match(host or "")
        if match is None:
            raise bad_request("Host: not a host name with a port or without", "Host")
        name = match["name"].lower().rstrip(".")
        if self._names and name not in self._names and name not in _LOOPBACK_NAMES:
            raise bad_request("Host: this server does not answer to this name", "Host")
        self._accepted = host


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


async def answer_expect(request: web.Request) -> None:
    """Let a waiting client send its body. Raises ``bad_request`` for an expectation other than 100-continue."""
    if request.version != HttpVersion11:
        return
    if request.headers["Expect"].lower() != "100-continue":
        raise bad_request("Expect: only 100-continue is known", "Expect")
    if request.can_read_body:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
