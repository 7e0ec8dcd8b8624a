"""Answers a download: validators, one range, and the headers that keep a browser from running what it gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import web
from multidict import CIMultiDict

from alloyd.domain.storage.model import FileInfo
from alloyd.kit.disposition import content_disposition
from alloyd.wire.route import Call
from alloyd.wire.sendfile import SMALL_BYTES_MAX, Readable, send_file

# 18 digits are more than any file has; longer ones are not worth turning into a number.
_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*\Z", re.IGNORECASE | re.ASCII)
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')

# What a browser shows without running anything in it; neither HTML, SVG nor PDF.
_HARMLESS = frozenset(
    {
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "image/avif",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/plain",
        "video/mp4",
        "video/webm",
    }
)


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes that are sent: ``count`` from ``offset``."""

    offset: int
    count: int


def is_harmless(mime_type: str) -> bool:
    """Whether a browser shows the type without running anything in it."""
    return mime_type.partition(";")[0].strip().lower() in _HARMLESS


async def answer_download(
    call: Call,
    file: Readable,
    refuse: Callable[[str], bytes],
    *,
    inline: bool = False,
    shows: Callable[[str], bool] = is_harmless,
) -> web.StreamResponse:
    """The response for ``file`` (private contract: Download); a large body is sent already. Closes ``file``.

    ``refuse(message)`` makes the body of a 416 in the surface's own dialect. Only with ``inline`` a browser may show
    the file where it is, if ``shows(its type)``.
    """
    with_body = call.request.method != "HEAD"
    async with file:
        info = file.info
        headers = _headers(call, info, inline=inline and shows(info.mime_type))
        if _is_unchanged(call.request, info):
            return web.Response(status=304, headers=headers)
        span = _find_span(call.request, info) if with_body else None
        if span is not None and span.count == 0:
            return _refuse_range(call, info, refuse)
        status = 200
        if span is not None:
            status = 206
            headers["Content-Range"] = f"bytes {span.offset}-{span.offset + span.count - 1}/{info.size}"
        else:
            span = Span(0, info.size)
        headers["Content-Type"] = info.mime_type
        headers["Content-Length"] = str(span.count)
        if with_body and span.count <= SMALL_BYTES_MAX:
            return web.Response(status=status, headers=headers, body=await file.read(span.offset, span.count))
        response = web.StreamResponse(status=status, headers=headers)
        if with_body:
            await send_file(call.request, response, file, span.offset, span.count)
        return response


def _headers(call: Call, info: FileInfo, *, inline: bool) -> CIMultiDict[str]:
    return CIMultiDict(
        {
            **(call.headers or {}),
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Content-Disposition": content_disposition(info.path.name, "inline" if inline else "attachment"),
            "Content-Security-Policy": "sandbox",
            "ETag": _etag(info),
            "Last-Modified": _last_modified(info),
            "Server": "alloyd",
            "X-Content-Type-Options": "nosniff",
            "X-Request-Id": call.request_id,
        }
    )


def _etag(info: FileInfo) -> str:
    return f'"{info.sha256}"'


def _last_modified(info: FileInfo) -> str:
    return formatdate(info.modified_at // 1000, usegmt=True)


def _is_unchanged(request: web.Request, info: FileInfo) -> bool:
    known = ",".join(request.headers.getall("If-None-Match", ()))
    if known:
        return known.strip() == "*" or info.sha256 in _ETAG.findall(known)
    try:
        since = request.if_modified_since
    except ValueError:  # a date that no calendar has
        return False
    return since is not None and info.modified_at // 1000 <= since.timestamp()


def _find_span(request: web.Request, info: FileInfo) -> Span | None:
    """The one range asked for; None for the whole: no range, several, not a valid one, or an old ``If-Range``.

    A range that lies outside has a count of 0.
    """
    given = request.headers.getall("Range", ())
    match = _RANGE.match(given[0]) if len(given) == 1 else None
    if match is None or not (match[1] or match[2]):
        return None
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() not in (_etag(info), _last_modified(info)):
        return None
    size = info.size
    if not match[1]:
        count = min(int(match[2]), size)
        return Span(size - count, count)
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    return Span(first, max(0, min(last, size - 1) - first + 1))


def _refuse_range(call: Call, info: FileInfo, refuse: Callable[[str], bytes]) -> web.Response:
    headers = {
        "Cache-Control": "no-store",
        "Content-Range": f"bytes */{info.size}",
        "Content-Type": "application/json",
        "Server": "alloyd",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": call.request_id,
    }
    return web.Response(status=416, body=refuse(f"Range: the file has {info.size} bytes"), headers=headers)
