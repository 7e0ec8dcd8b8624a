"""An answer whose body is still coming: read in chunks, under the request's limits."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncGenerator

import aiohttp

from alloyd.egress.decoding import BodyDecoder
from alloyd.egress.errors import EgressError, EgressKind, timed_out, too_large, translate
from alloyd.egress.hosts import Target
from alloyd.egress.messages import Bounds, ResponseHeaders


class OutboundStream:
    """Status and headers of an answer, and its body once. Made by :meth:`Outbound.stream`, gone with its block."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        headers: ResponseHeaders,
        target: Target,
        bounds: Bounds,
        deadline: float,
    ) -> None:
        self._response = response
        self._where = target.where
        self._bounds = bounds
        self._deadline = deadline
        self._decoder = BodyDecoder(",".join(headers.get_all("content-encoding")))
        self._taken = False
        self.status = response.status
        self.url = str(target.url)
        # What describes the packed body would be wrong about the unpacked one.
        self.headers = headers.without("content-encoding", "content-length") if self._decoder.decodes else headers

    def chunks(self) -> AsyncGenerator[bytes]:
        """The body, unpacked, as it arrives; can be taken once.

        Raises EgressError ``too_large`` past the request's ``response_bytes_max``, ``timeout`` when its time or
        one silence is over, ``protocol`` or ``connect`` when the body is damaged or breaks off.
        """
        if self._taken:
            raise RuntimeError("the body was already taken")
        self._taken = True
        return self._chunks()

    async def read(self) -> bytes:
        """The whole body at once; raises as :meth:`chunks`."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def read_beginning(self, bytes_max: int) -> bytes:
        """At most the first ``bytes_max`` of the body, less when it breaks off: to tell of an answer that failed.

        Raises nothing for the body's sake: the status says enough without it.
        """
        kept = b""
        with contextlib.suppress(EgressError):
            async with contextlib.aclosing(self.chunks()) as chunks:
                async for chunk in chunks:
                    kept += chunk[: bytes_max - len(kept)]
                    if len(kept) >= bytes_max:
                        break
        return kept

    async def _chunks(self) -> AsyncGenerator[bytes]:
        received = unpacked = 0
        most = self._bounds.response_bytes_max
        while data := await self._receive():
            received += len(data)
            if received > most:
                raise too_large(self._where, most)
            try:
                for piece in self._decoder.pieces(data):
                    unpacked += len(piece)
                    if unpacked > most:
                        raise too_large(self._where, most)
                    yield piece
                    if self._decoder.decodes:
                        await asyncio.sleep(0)  # a packed body can hold minutes of work: let others run
            except zlib.error as exc:
                raise self._damaged(exc) from exc
        try:
            self._decoder.finish()
        except zlib.error as exc:
            raise self._damaged(exc) from exc

    async def _receive(self) -> bytes:
        now = asyncio.get_running_loop().time()
        until = min(self._deadline, now + self._bounds.idle_timeout_s)
        if now >= self._deadline:
            raise timed_out(self._where)
        try:
            async with asyncio.timeout_at(until):
                return await self._response.content.readany()
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError) as exc:
            raise translate(exc, self._where) from exc

    def _damaged(self, exc: zlib.error) -> EgressError:
        message = f"the packed response from {self._where} is damaged"
        return EgressError(EgressKind.PROTOCOL, message, log=str(exc))
