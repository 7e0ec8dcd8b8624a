"""Reads a large body as it comes: who stops sending, or drips, is given up."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiohttp import StreamReader, web

from alloyd.errors import bad_request

# A body slower than this on the whole, after a grace, holds a place that others wait for.
BYTES_PER_S_MIN: Final = 4 * 1024
SLOW_GRACE_S: Final = 30.0


class BodyReader:
    """The pieces of one request's body. ``idle_timeout_s`` bounds the wait for each next one."""

    def __init__(self, content: StreamReader, idle_timeout_s: float) -> None:
        self._content = content
        self._idle_timeout_s = idle_timeout_s
        self._started = time.monotonic()
        self._received = 0

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises ``bad_request`` when the body breaks off, rests or drips."""
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                piece = await self._content.readany()
        except TimeoutError:
            raise bad_request(f"body: nothing came for {self._idle_timeout_s:g} s", "body") from None
        except (web.RequestPayloadError, asyncio.IncompleteReadError, ConnectionError) as error:
            raise bad_request("body: broken off or badly encoded", "body") from error
        self._received += len(piece)
        late_s = time.monotonic() - self._started - SLOW_GRACE_S
        if late_s > 0 and self._received < late_s * BYTES_PER_S_MIN:
            raise bad_request(f"body: comes slower than {BYTES_PER_S_MIN} bytes a second", "body")
        return piece
