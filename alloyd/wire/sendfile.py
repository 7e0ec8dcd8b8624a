"""Sends an open file as a response's body: the kernel copies from the file to the socket.

aiohttp's FileResponse opens by path, and under uvloop, which has no ``loop.sendfile``, copies through Python. Here
``os.sendfile`` runs in a thread on a duplicate of the connection's descriptor, once aiohttp has nothing more to send.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType
from typing import Final, Protocol

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from alloyd.domain.storage.model import FileInfo
from alloyd.domain.storage.service import OpenFile
from alloyd.errors import AlloydError

# A smaller body is read at once and goes out together with the headers.
SMALL_BYTES_MAX: Final = 64 * 1024
# What one hop to a thread sends at most, so that one fast client does not keep the thread.
_HOP_BYTES_MAX: Final = 16 * 1024 * 1024
# A fast client makes room sooner than the loop would tell us; a slow one must not keep the thread.
_HOP_WAIT_MS: Final = 5
# A client that takes nothing for this long is given up.
SEND_IDLE_TIMEOUT_S: Final = 60.0


class Readable(Protocol):
    """A file that is being read, on this disk or elsewhere; an async context manager that gives it back."""

    @property
    def info(self) -> FileInfo:
        """What it is."""

    async def read(self, offset: int, count: int) -> bytes:
        """``count`` bytes from ``offset`` at once."""

    def read_chunks(self, offset: int = 0, count: int | None = None) -> AsyncIterator[bytes]:
        """``count`` bytes from ``offset`` in pieces."""

    async def __aenter__(self) -> Readable:
        """Begin."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Give back what it holds."""


async def send_file(
    request: web.Request, response: web.StreamResponse, file: Readable, offset: int, count: int
) -> None:
    """Send ``count`` bytes of ``file`` from ``offset`` as the body of ``response``, which has its headers.

    When it can't be done to the end the connection is cut, so that the client sees a body that is too short.
    """
    try:
        writer = await response.prepare(request)
        transport = request.transport
        if writer is None or transport is None:
            return
        try:
            plain = transport.get_extra_info("sslcontext") is None and transport.get_extra_info("socket") is not None
            if plain and isinstance(file, OpenFile):
                await _empty_buffer(transport, writer)
                await _send_by_kernel(transport, file, offset, count)
            else:
                async for chunk in file.read_chunks(offset, count):
                    async with asyncio.timeout(SEND_IDLE_TIMEOUT_S):
                        await response.write(chunk)
            await response.write_eof()
        except BaseException:
            transport.abort()
            raise
    except (OSError, TimeoutError, AlloydError):
        return  # the client has gone or takes nothing, or the file breaks off: the connection is cut already


async def _empty_buffer(transport: asyncio.WriteTransport, writer: AbstractStreamWriter) -> None:
    """Wait until the headers are in the kernel: what we send past the transport must come after them."""
    low, high = transport.get_write_buffer_limits()
    transport.set_write_buffer_limits(high=0)
    try:
        async with asyncio.timeout(SEND_IDLE_TIMEOUT_S):
            while transport.get_write_buffer_size():
                await writer.drain()
    finally:
        transport.set_write_buffer_limits(high=high, low=low)


async def _send_by_kernel(transport: asyncio.BaseTransport, file: OpenFile, offset: int, count: int) -> None:
    # The transport may close its descriptor any moment, and the number be given to another connection.
    connection = os.dup(transport.get_extra_info("socket").fileno())
    try:
        end = offset + count
        while offset < end:
            sent = await file.run(partial(_send_some, connection, file.fd, offset, end - offset))
            offset += sent
            if not sent:
                await _writable(connection)
    finally:
        os.close(connection)


def _send_some(connection: int, fd: int, offset: int, count: int) -> int:
    """In a thread: send until the connection takes no more; how many bytes it took."""
    sent = 0
    most = min(count, _HOP_BYTES_MAX)
    room = select.poll()
    room.register(connection, select.POLLOUT)
    while sent < most:
        try:
            taken = os.sendfile(connection, fd, offset + sent, most - sent)
        except BlockingIOError:
            if room.poll(_HOP_WAIT_MS):
                continue
            break
        if not taken:
            raise OSError("the file's content is cut short on the disk")
        sent += taken
    return sent


async def _writable(connection: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(connection, wake)
    try:
        async with asyncio.timeout(SEND_IDLE_TIMEOUT_S):
            await ready
    finally:
        loop.remove_writer(connection)
