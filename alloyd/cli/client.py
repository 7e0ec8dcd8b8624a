"""The daemon's HTTP API over its socket, as commands use it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from alloyd.cli.errors import NoDaemon, Refused
from alloyd.errors import Code
from alloyd.kit.sockets import reachable
from alloyd.wire.auth import OPERATOR_ORG_HEADER

CONNECT_TIMEOUT_S: Final = 5.0
# No request but a stream or a transfer is silent for longer.
ANSWER_TIMEOUT_S: Final = 120.0
STREAM_SILENCE_S: Final = 90.0  # heartbeats come every few seconds
EVENT_BYTES_MAX: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024

_ORIGIN: Final = "http://alloyd"
_BOUNDARY: Final = "alloyd-command-line-4c1f7a52d0b94e53"

Query = Mapping[str, str | int | None]
Progress = Callable[[int], None]


def segment(text: str) -> str:
    """``text`` as one segment of a path."""
    return quote(text, safe="")


class Client:
    """One command's session. ``offline``: there is no daemon, the command runs the app in its own process."""

    def __init__(self, socket: Path, org: str | None, *, offline: bool) -> None:
        self.offline = offline
        self.org = org
        headers = {} if org is None else {OPERATOR_ORG_HEADER: org}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=reachable(socket), limit=0),
            headers=headers,
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S, sock_read=ANSWER_TIMEOUT_S),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._session.close()

    # -- requests and their data -----------------------------------------------------------------------------

    async def get(self, path: str, query: Query | None = None) -> Any:
        """The answer's ``data``. Raises Refused with the API's code and message, and NoDaemon."""
        return (await self._ask("GET", path, query))[0]

    async def post(self, path: str, body: Any = None, *, patience_s: float = ANSWER_TIMEOUT_S) -> Any:
        """As :meth:`get`, with a JSON body; bytes are JSON already. The answer may take ``patience_s``."""
        content = body if isinstance(body, bytes) else msgspec.json.encode({} if body is None else body)
        return (await self._ask("POST", path, None, content, patience_s))[0]

    async def patch(self, path: str, body: Any) -> Any:
        """As :meth:`post`."""
        return (await self._ask("PATCH", path, None, msgspec.json.encode(body)))[0]

    async def delete(self, path: str, query: Query | None = None) -> Any:
        """As :meth:`get`."""
        return (await self._ask("DELETE", path, query))[0]

    async def list_pages(self, path: str, query: Query | None = None, items_max: int | None = None) -> list[Any]:
        """A list's items from all its pages, or the first ``items_max``."""
        items, links = await self._ask("GET", path, query)
        while "next" in links and (items_max is None or len(items) < items_max):
            more, links = await self._ask("GET", links["next"])
            items += more
        return list(items[:items_max])

    async def _ask(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        content: bytes | None = None,
        patience_s: float = ANSWER_TIMEOUT_S,
    ) -> tuple[Any, dict[str, str]]:
        headers = {} if content is None else {"Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S, sock_read=patience_s)
        async with self._opened(method, path, query, data=content, headers=headers, timeout=timeout) as response:
            return await _read_answer(response)

    @asynccontextmanager
    async def _opened(
        self, method: str, path: str, query: Query | None = None, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(_ORIGIN + path, encoded=True)
        if query:
            url = url.update_query({name: value for name, value in query.items() if value is not None})
        try:
            async with self._session.request(method, url, **options) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoDaemon(f"the daemon does not answer: {error or type(error).__name__}") from error

    # -- transfers -------------------------------------------------------------------------------------------

    async def upload(
        self, folder: str, name: str, mime_type: str, pieces: AsyncIterator[bytes], size: int | None
    ) -> Any:
        """Store ``pieces`` as ``name`` in ``folder``; ``size`` in bytes if it is known, and then held to."""
        head, tail = _form_around(folder, name, mime_type)

        async def body() -> AsyncIterator[bytes]:
            yield head
            async for piece in pieces:
                yield piece
            yield tail

        content_type = f"multipart/form-data; boundary={_BOUNDARY}"
        whole = None if size is None else len(head) + size + len(tail)
        return await self.upload_raw("/api/private/storage/upload", None, content_type, body(), whole)

    async def upload_raw(
        self, path: str, query: Query | None, content_type: str, pieces: AsyncIterator[bytes], size: int | None
    ) -> Any:
        """Post ``pieces`` as they are; ``size`` in bytes if it is known, and then held to."""
        headers = {"Content-Type": content_type}
        if size is not None:
            headers["Content-Length"] = str(size)
        async with self._opened("POST", path, query, data=pieces, headers=headers) as response:
            transport = response.connection.transport if response.connection else None
            try:
                return (await _read_answer(response))[0]
            except Refused:
                # The daemon may not take the rest, and closing would wait for it to.
                if isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size():
                    transport.abort()
                    await asyncio.sleep(0)
                raise

    @asynccontextmanager
    async def download(self, path: str, query: Query | None = None) -> AsyncIterator[Download]:
        """What a GET answers with bytes and their SHA-256 as ``ETag``."""
        async with self._opened("GET", path, query) as response:
            if response.status >= 400:
                await _read_answer(response)
            yield Download(response)

    @asynccontextmanager
    async def events(
        self, path: str, query: Query | None = None, after: str | None = None
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Server-sent events as they come; it ends when the daemon ends it."""
        headers = {} if after is None else {"Last-Event-ID": after}
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S, sock_read=STREAM_SILENCE_S)
        async with self._opened("GET", path, query, headers=headers, timeout=timeout) as response:
            if response.status >= 400:
                await _read_answer(response)
            yield read_events(response.content.iter_any())

    @asynccontextmanager
    async def pieces(
        self, path: str, body: Any, *, patience_s: float = ANSWER_TIMEOUT_S
    ) -> AsyncIterator[tuple[Mapping[str, str], AsyncIterator[tuple[str, dict[str, Any]]]]]:
        """The headers, and the named parts, of a POST's answer as it is made; the first one may take ``patience_s``."""
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S, sock_read=patience_s)
        content = msgspec.json.encode(body)
        async with self._opened("POST", path, data=content, headers=headers, timeout=timeout) as response:
            if response.status >= 400:
                await _read_answer(response)
            yield response.headers, read_parts(response.content.iter_any())


class Download:
    """A file on its way; ``size`` in bytes as the daemon says it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.size = response.content_length or 0
        self._sha256 = response.headers.get("ETag", "").strip('"')

    async def pieces(self) -> AsyncIterator[bytes]:
        """The content. Raises Refused at the end when it is not what was stored."""
        digest = hashlib.sha256()
        async for piece in self._response.content.iter_chunked(CHUNK_BYTES):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != self._sha256:
            raise Refused(Code.INTERNAL.value, "what came is not what was stored: the SHA-256 differs")


async def read_events(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The events in a stream of server-sent events: the JSON of each ``data:`` line; comments are left out."""
    async for frame in _read_frames(pieces):
        for line in frame.split(b"\n"):
            if line.startswith(b"data: "):
                yield msgspec.json.decode(line[6:], type=dict[str, Any])


async def read_parts(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The named frames of a stream with their JSON; those without a name, comments and the last, are left out."""
    async for frame in _read_frames(pieces):
        fields = dict(line.partition(b": ")[::2] for line in frame.split(b"\n"))
        if b"event" in fields:
            yield fields[b"event"].decode(), msgspec.json.decode(fields[b"data"], type=dict[str, Any])


async def _read_frames(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    buffer = bytearray()
    async for piece in pieces:
        buffer += piece
        while (end := buffer.find(b"\n\n")) >= 0:
            frame = bytes(buffer[:end])
            del buffer[: end + 2]
            yield frame
        if len(buffer) > EVENT_BYTES_MAX:
            raise Refused(Code.INTERNAL.value, "an event is too large")


async def _read_answer(response: aiohttp.ClientResponse) -> tuple[Any, dict[str, str]]:
    """``data`` and ``links`` of an answer in either envelope. Raises Refused for an error."""
    body = await response.read()
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise Refused(Code.INTERNAL.value, f"the daemon answered {response.status} without JSON") from None
    if response.status < 400:
        return answer["data"], answer.get("links") or {}
    error = answer.get("error")
    if isinstance(error, dict):
        raise Refused(str(error.get("code")), str(error.get("message")), error.get("details"))
    raise Refused(str(error), str(answer.get("message")))


def _form_around(folder: str, name: str, mime_type: str) -> tuple[bytes, bytes]:
    """What stands before and behind a file's content in the upload form."""
    dashes = f"--{_BOUNDARY}"
    head = (
        f'{dashes}\r\nContent-Disposition: form-data; name="path"\r\n\r\n{folder}\r\n'
        f"{dashes}\r\nContent-Disposition: form-data; name=\"file\"; filename*=UTF-8''{segment(name)}\r\n"
        f"Content-Type: {mime_type}\r\n\r\n"
    )
    return head.encode(), f"\r\n{dashes}--\r\n".encode()
