"""Files of the program itself, served from memory: the executable deletes what it was unpacked to once it is up."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aiohttp import web

from alloyd.wire.route import Call

GZIP: Final = "gzip"
# Of text; smaller bodies fit a packet or two anyway.
GZIP_BYTES_MIN: Final = 1024
_GZIP_LEVEL: Final = 6

_STANDING: Final = {
    "X-Content-Type-Options": "nosniff",
    "Server": "alloyd",
    # Kept by browsers, and asked for again with its tag, so that a new version is seen at once.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


class FixedFile:
    """One text of the program with its media type. ``headers`` go with every answer."""

    def __init__(self, data: bytes, media_type: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self._data = data
        self._compressed: bytes | None = None
        # Weak: the same for the compressed form.
        self.etag = f'W/"{hashlib.sha256(data).hexdigest()[:32]}"'
        # That JSON is UTF-8 goes without saying, RFC 8259; all text here is.
        self._content_type = f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
        self._headers = {**_STANDING, **headers, "ETag": self.etag}

    async def answer(self, call: Call) -> web.Response:
        """The file, compressed for who takes that; 304 for who has it already."""
        request, headers = call.request, {**self._headers, "X-Request-Id": call.request_id}
        if is_known(request.headers.get("If-None-Match", ""), self.etag):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = self._content_type
        if len(self._data) < GZIP_BYTES_MIN or not takes_gzip(request.headers.get("Accept-Encoding", "")):
            return web.Response(body=self._data, headers=headers)
        headers["Content-Encoding"] = GZIP
        return web.Response(body=await self._compress(), headers=headers)

    async def _compress(self) -> bytes:
        if self._compressed is None:  # two who come first both do it, with the same result
            self._compressed = await asyncio.to_thread(gzip.compress, self._data, _GZIP_LEVEL, mtime=0)
        return self._compressed


def is_known(if_none_match: str, etag: str) -> bool:
    """Whether the header names ``etag``, weakly compared as RFC 9110, section 13.1.2 has it."""
    named = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in named or etag.removeprefix("W/") in named


def takes_gzip(accept_encoding: str) -> bool:
    """Whether ``Accept-Encoding`` allows gzip: named, or by ``*``, and not with the weight 0."""
    weights: dict[str, str] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameters = part.partition(";")
        weights[coding.strip()] = parameters.replace(" ", "").removeprefix("q=") or "1"
    weight = weights.get(GZIP, weights.get("*", "0"))
    return weight.strip("0.") != ""
