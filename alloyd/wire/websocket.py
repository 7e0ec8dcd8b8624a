"""The same events over a WebSocket, with a subscription that the client can change."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Literal
from urllib.parse import urlsplit

import msgspec
from aiohttp import WSMessage, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from alloyd.errors import AlloydError, Code, bad_request
from alloyd.wire.body import decode_json
from alloyd.wire.route import Call
from alloyd.wire.stream import STOPPING, Stream, Streams, log, parse_kinds

MESSAGE_BYTES_MAX = 16 * 1024
MESSAGE_DEPTH_MAX = 4
# A client that keeps sending what nobody understands is closed with 1008.
BAD_MESSAGES_MAX = 10
CLOSE_TIMEOUT_S = 2.0

CLOSE_STOPPING = 1001
CLOSE_POLICY = 1008
CLOSE_FAILED = 1011
CLOSE_REVOKED = 4401

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Subscribe(msgspec.Struct):
    """Which kinds to send from now on (all when left out), and after which event id to begin."""

    type: Literal["subscribe"]
    kinds: list[str] | None = None
    after: str | None = None


_DECODER = msgspec.json.Decoder(Subscribe)
_ENCODER = msgspec.json.Encoder()


def check_origin(request: web.Request, allowed_origins: Collection[str]) -> None:
    """Refuse pages of other sites, and ``null``, which anybody can be. Raises ``forbidden``.

    No ``Origin`` at all is no browser. The scheme is not compared with our own: a proxy may have ended TLS.
    """
    origin = request.headers.get("Origin")
    if origin is None or origin in allowed_origins:
        return
    if origin != "null" and _is_same_site(origin, request.host):
        return
    raise AlloydError(Code.FORBIDDEN, "Origin: pages of this origin may not open a stream", field="Origin")


def _is_same_site(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        default = _DEFAULT_PORTS[parts.scheme]
        ours = urlsplit(f"//{host}")
        return parts.hostname == ours.hostname and (parts.port or default) == (ours.port or default)
    except (KeyError, ValueError):
        return False


async def serve_websocket(
    call: Call,
    streams: Streams,
    org_ids: Collection[str],
    kinds: frozenset[str] | None,
    after: str | None,
    allowed_origins: Collection[str],
) -> web.StreamResponse:
    """Events as text messages, live from the start or after ``after``. Contract: control, "Events and streams".

    Raises ``forbidden`` for a foreign ``Origin``, ``bad_request`` without a WebSocket handshake, ``rate_limited``.
    Closes with 4401 when the credential is revoked, 1001 when the daemon stops, 1008 after many bad messages.
    """
    check_origin(call.request, allowed_origins)
    socket = web.WebSocketResponse(
        timeout=CLOSE_TIMEOUT_S,
        heartbeat=streams.settings.heartbeat_s,
        compress=False,
        max_msg_size=MESSAGE_BYTES_MAX,
    )
    if call.request.method != "GET" or not socket.can_prepare(call.request).ok:
        raise bad_request("a WebSocket handshake (version 13) is wanted here", "Upgrade")
    stream = streams.open(call, org_ids, kinds=kinds, sends_heartbeats=False)
    try:
        if after:
            await stream.feed.resume(after)
        socket.headers["X-Request-Id"] = call.request_id
        writer = await socket.prepare(call.request)
        stream.bound_socket()
        await _Conversation(socket, writer, streams, stream, call.request_id).run()
    finally:
        streams.release(stream)
    return socket


class _Conversation:
    """One connected client: a task reads what it says, the caller's own task sends."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        writer: AbstractStreamWriter,
        streams: Streams,
        stream: Stream,
        request_id: str,
    ) -> None:
        self._socket = socket
        self._writer = writer
        self._streams = streams
        self._stream = stream
        self._request_id = request_id
        self._wanted: tuple[frozenset[str] | None, str | None] | None = None
        self._left = False
        self._bad_messages = 0

    async def run(self) -> None:
        """Until either side ends it."""
        listening = asyncio.create_task(self._listen())
        try:
            await self._talk()
        except ConnectionError:
            pass  # the client left
        except Exception:
            log.exception("stream broken off", request_id=self._request_id)
            await self._socket.close(code=CLOSE_FAILED)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _talk(self) -> None:
        while not self._left:
            if self._wanted is not None:
                await self._subscribe()
            batches = await self._stream.feed.read()
            if batches is None:
                await self._say_goodbye()
                return
            if self._socket.closed:  # nothing may follow the frame that says so
                return
            # aiohttp's own way would make a frame of each event for each client.
            await self._stream.send(self._writer, [batch.to_messages() for batch in batches])

    async def _subscribe(self) -> None:
        assert self._wanted is not None
        kinds, after = self._wanted
        self._wanted = None
        self._streams.narrow(self._stream, kinds)
        if after is not None:
            await self._stream.feed.resume(after)

    async def _say_goodbye(self) -> None:
        reason = self._stream.feed.reader.closed or ""
        code = CLOSE_STOPPING if reason == STOPPING else CLOSE_REVOKED
        await self._socket.close(code=code, message=reason.encode()[:120])

    async def _listen(self) -> None:
        async for message in self._socket:
            try:
                self._wanted = _read_message(message)
            except AlloydError as error:
                await self._complain(error)
            self._stream.feed.nudge()
        self._left = True
        self._stream.feed.nudge()

    async def _complain(self, error: AlloydError) -> None:
        self._bad_messages += 1
        told = {"type": "error", "code": error.code.value, "message": error.message}
        await self._socket.send_frame(_ENCODER.encode(told), WSMsgType.TEXT)
        if self._bad_messages >= BAD_MESSAGES_MAX:
            await self._socket.close(code=CLOSE_POLICY, message=b"too many bad messages")


def _read_message(message: WSMessage) -> tuple[frozenset[str] | None, str | None]:
    if message.type is not WSMsgType.TEXT:
        raise bad_request("body: a text message is wanted", "body")
    wanted: Subscribe = decode_json(message.data.encode(), _DECODER, MESSAGE_DEPTH_MAX)
    return parse_kinds(wanted.kinds or ()), wanted.after
