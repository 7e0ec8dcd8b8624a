"""Where connections come in: sockets, their bounds, and an end that lets requests finish.

aiohttp's protocol is private in parts; tests/wire/test_listener.py holds what is relied on here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import stat
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web_protocol import RequestPayloadError, _ErrInfo

from alloyd.errors import AlloydError, Code, conflict
from alloyd.kit.sockets import reachable
from alloyd.log import get_logger
from alloyd.wire.http_errors import HEADERS_LATE, describe_unread
from alloyd.wire.server import SERVER, Server

log = get_logger("alloyd.wire.listener")

BACKLOG = 1024
HEADERS_MAX = 100
# After an answer to a request that was not read to its end: how long the rest may take to come.
LINGER_S = 5.0
# How long a cancelled handler may take to put things in order.
CANCELLED_S = 5.0
LOOK_AGAIN_S = 0.1
HEAD_BYTES_KEPT = 256
SOCKET_MODE_UMASK = 0o177


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """Bounds of connections; the configuration's group ``http``."""

    headers_bytes_max: int = 16 * 1024
    keepalive_timeout_s: float = 75.0
    headers_timeout_s: float = 15.0
    connections_max: int = 10_000
    tls: ssl.SSLContext | None = None  # for TCP only


class Listener:
    """One listening socket and the connections that came in by it."""

    def __init__(self, runner: web.AppRunner, server: Server, settings: ListenerSettings) -> None:
        self.port = 0
        self.connections: set[Connection] = set()
        self.draining = False
        self.server = server
        self.settings = settings
        self.unix_path: Path | None = None
        self._made: tuple[int, int, int] | None = None  # which file it was
        self._runner = runner
        self._listening: asyncio.Server | None = None
        self._empty = asyncio.Event()

    def make_connection(self) -> Connection:
        """The protocol of a new connection: what the event loop calls."""
        manager = self._runner.server
        assert manager is not None
        return Connection(self, manager)

    def left(self, connection: Connection) -> None:
        """A connection is closed."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def _listens(self, listening: asyncio.Server, unix_path: Path | None = None) -> None:
        self._listening = listening
        if unix_path is None:
            self.port = listening.sockets[0].getsockname()[1]
        else:
            self.unix_path = unix_path
            self._made = _identity(unix_path)

    async def stop(self, grace_s: float) -> None:
        """Take no more connections, let requests finish within ``grace_s``, then cut what is left.

        Close the streams before (``Streams.stop``): they would never finish.
        """
        self.draining = self.server.draining = True
        if self._listening is not None:
            self._listening.close()
        self._remove_socket_file()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_s
        while True:
            for connection in list(self.connections):
                connection.close_if_idle()
            # Looked at again and again: an answer that was on its way already leaves its connection open.
            await self._wait_until_empty(min(LOOK_AGAIN_S, deadline - loop.time()))
            if not self.connections or loop.time() >= deadline:
                break
        if self.connections:
            log.warning("requests cut at the stop", connections=len(self.connections))
        for connection in list(self.connections):
            connection.cut()
        await self._wait_until_empty(CANCELLED_S)
        await self._runner.cleanup()

    async def abandon(self) -> None:
        """Undo what was made when listening failed."""
        await self._runner.cleanup()

    async def _wait_until_empty(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.connections:
                    self._empty.clear()
                    await self._empty.wait()

    def _remove_socket_file(self) -> None:
        path = self.unix_path
        if path is None:
            return
        with contextlib.suppress(FileNotFoundError):
            if _identity(path) == self._made:  # another daemon may have put its own there
                path.unlink()


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_ctime_ns  # numbers of files are used again


class Connection(web.RequestHandler):
    """aiohttp's protocol, with JSON for what it answers by itself and a limit on the time for headers."""

    __slots__ = ("_head", "_headers_timer", "_last_payload", "_listener")

    def __init__(self, listener: Listener, manager: web.Server) -> None:
        settings = listener.settings
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=settings.keepalive_timeout_s,
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own way to say none
            max_line_size=settings.headers_bytes_max,
            max_field_size=settings.headers_bytes_max,
            max_headers=HEADERS_MAX,
            lingering_time=LINGER_S,
        )
        self._request_handler = listener.server.dispatch  # type: ignore[assignment]  # its requests are web.Request
        self._listener = listener
        self._headers_timer: asyncio.TimerHandle | None = None
        self._head = b""  # how the request begins that is not complete yet
        self._last_payload: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        listener = self._listener
        listener.connections.add(self)
        super().connection_made(transport)
        if listener.draining or len(listener.connections) > listener.settings.connections_max:
            self._refuse_now(AlloydError(Code.UNAVAILABLE, "too many connections; try again", retry_after_s=5), 503)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_headers_timer()
        self._last_payload = None
        task = self._task_handler
        super().connection_lost(exc)
        if task is None:
            self._listener.left(self)
        else:  # it is cancelled now, and may have something to put in order
            task.add_done_callback(lambda _done: self._listener.left(self))

    def data_received(self, data: bytes) -> None:
        messages: deque[Any] = self._messages
        before = len(messages)
        super().data_received(data)
        if len(messages) > before:
            self._stop_headers_timer()
            self._check_messages(before, data)
        elif data and self._headers_timer is None and self._waiter is not None and self.transport is not None:
            # Idle, and what came is not yet a request.
            self._head = data[:HEAD_BYTES_KEPT]
            timeout_s = self._listener.settings.headers_timeout_s
            self._headers_timer = self._loop.call_later(timeout_s, self._headers_late)

    def _check_messages(self, first: int, data: bytes) -> None:
        messages: deque[Any] = self._messages
        for place in range(first, len(messages)):
            message, payload = messages[place]
            if isinstance(message, _ErrInfo):
                # What follows can't be told apart any more, so the body before it will never be whole either.
                if self._last_payload is not None and not self._last_payload.is_eof():
                    self._last_payload.set_exception(RequestPayloadError("body: badly encoded"))
                self._head = self._head or data[:HEAD_BYTES_KEPT]
                self._last_payload = None
                continue
            fault = _fault_of(message)
            if fault is not None:
                messages[place] = (_ErrInfo(status=400, exc=fault, message=fault.message), payload)
            self._last_payload = payload
        if not isinstance(messages[-1][0], _ErrInfo):
            self._head = b""

    # -- what aiohttp would answer ---------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A request that could not be read, or a handler that failed outside of the pipeline."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request failed", path=request.path, exc_info=exc)
            error = AlloydError(Code.INTERNAL, "an internal error")
            path = request.path
        else:
            error, status = describe_unread(exc)
            log.debug("request not readable", reason=error.message)
            path = _path_of(self._head)
        response = self._listener.server.refuse_unread(path, error, status)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        # What goes wrong after the answer is the connection's business; failures before it are logged above.
        log.debug("connection failed", reason=str(args[0]) if args else "", exc_info=kw.get("exc_info"))

    def _headers_late(self) -> None:
        self._headers_timer = None
        error = AlloydError(Code.BAD_REQUEST, HEADERS_LATE, field="headers")
        self._refuse_now(error, HTTPStatus.REQUEST_TIMEOUT)

    def _refuse_now(self, error: AlloydError, status: int) -> None:
        """Answer without a request, and close."""
        if self.transport is not None:
            response = self._listener.server.refuse_unread(_path_of(self._head), error, status)
            assert isinstance(response, web.Response)
            self.transport.write(_raw(response))
        self.force_close()

    def _stop_headers_timer(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    # -- the end ---------------------------------------------------------------------------------------------

    def close_if_idle(self) -> None:
        """Close unless a request is being answered; that one then closes the connection with its answer."""
        if not self._request_in_progress and not self._messages:
            self.force_close()

    def cut(self) -> None:
        """Close whatever happens: cancels the handler."""
        if self.transport is not None:
            self.transport.abort()


def _fault_of(message: RawRequestMessage) -> BadHttpMessage | None:
    """What the parser lets through and nobody here serves."""
    if message.version not in (HttpVersion11, HttpVersion10):
        return BadHttpMessage("Only HTTP/1.1 and HTTP/1.0 are spoken here")
    if message.method == "CONNECT" or message.path == "*":
        return BadHttpMessage("The request line has no path")
    return None


def _path_of(head: bytes) -> str:
    """The path in the first line of what came, as far as it can be told."""
    words = head.partition(b"\r")[0].split(b" ")
    path = words[1] if len(words) > 1 else b"/"
    return path.partition(b"?")[0].decode("ascii", "replace")


def _raw(response: web.Response) -> bytes:
    body = response.body
    assert isinstance(body, bytes)
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items() if name.lower() != "content-length"]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


async def _make(app: web.Application, settings: ListenerSettings) -> Listener:
    # A client that leaves cancels its handler; writes that were handed to the database are not undone by it.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=CANCELLED_S, access_log=None)
    await runner.setup()
    return Listener(runner, app[SERVER], settings)


async def start_tcp(app: web.Application, host: str, port: int, settings: ListenerSettings | None = None) -> Listener:
    """Listen on ``host`` and ``port``; 0 takes a free one, and ``Listener.port`` tells it.

    ``app`` is what ``Server.build`` made. Raises ``conflict`` when the address can't be had.
    """
    settings = settings or ListenerSettings()
    listener = await _make(app, settings)
    loop = asyncio.get_running_loop()
    try:
        listening = await loop.create_server(listener.make_connection, host, port, backlog=BACKLOG, ssl=settings.tls)
    except OSError as error:
        await listener.abandon()
        raise conflict(f"http: can't listen on {host} port {port}: {error.strerror or error}", "http.port") from error
    listener._listens(listening)  # noqa: SLF001  # its maker
    return listener


async def start_unix(
    app: web.Application, path: Path, settings: ListenerSettings | None = None, *, replace_stale: bool
) -> Listener:
    """Listen on a socket file that only its owner may open, from the moment it is there.

    ``replace_stale``: take away a socket file that is there already. Only who holds the lock on the data directory
    may say so: then nobody can be listening on it. Raises ``conflict`` when something is in the way.
    """
    listener = await _make(app, settings or ListenerSettings())
    try:
        bound = _bind_unix(path, replace_stale=replace_stale)
    except BaseException:
        await listener.abandon()
        raise
    loop = asyncio.get_running_loop()
    listening = await loop.create_unix_server(listener.make_connection, sock=bound, backlog=BACKLOG)
    listener._listens(listening, path)  # noqa: SLF001  # its maker
    return listener


def _bind_unix(path: Path, *, replace_stale: bool) -> socket.socket:
    if replace_stale:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
    bound = socket.socket(socket.AF_UNIX)
    umask = os.umask(SOCKET_MODE_UMASK)
    try:
        bound.bind(reachable(path))
    except OSError as error:
        bound.close()
        raise conflict("data.dir: its socket can't be made; is another alloyd running?", "data.dir") from error
    finally:
        os.umask(umask)
    bound.setblocking(False)
    return bound
