"""Objects in an S3-compatible store, through obstore.

Every upload is announced in the table of leavings before its first byte, and taken out of it by the transaction that
names it: so whatever a crash leaves in the bucket is known, and removed, without listing the bucket.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, Literal, TypeVar

import obstore
from obstore.exceptions import BaseError, GenericError
from obstore.store import S3Store

from alloyd.db import Database, Tx
from alloyd.domain.objects import store
from alloyd.domain.objects.backend import ObjectFile, to_info
from alloyd.domain.objects.model import BackendName, Placed, S3Settings, StoredObject
from alloyd.domain.objects.s3_faults import FAULTS, is_missing, store_failed
from alloyd.domain.storage.model import FileInfo, upload_too_large
from alloyd.errors import AlloydError, Code
from alloyd.kit import crash
from alloyd.kit.disposition import content_disposition
from alloyd.kit.ids import random_token

T = TypeVar("T")

UPLOADS_MAX: Final = 32
PART_BYTES: Final = 8 * 1024 * 1024  # up to here an object is one request
PARTS_AT_ONCE: Final = 4
READ_BYTES: Final = 1024 * 1024
RETRIES_MAX: Final = 4
LEAVINGS_AT_ONCE: Final = 200
_PLACE_CHARS: Final = 43
_PROBE: Final = "alloyd-probe"


class S3Backend:
    """One bucket. ``on_garbage`` is called after a commit that left something to remove."""

    name: BackendName = "s3"

    def __init__(self, database: Database, settings: S3Settings, on_garbage: Callable[[], None]) -> None:
        self._database = database
        self._on_garbage = on_garbage
        self._presigns = settings.presign
        self._bucket = open_bucket(settings)
        self._slots = asyncio.Semaphore(UPLOADS_MAX)
        self._in_flight: set[str] = set()
        self._naming: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Wait for uploads that are being named though their callers have gone."""
        while self._naming:
            await asyncio.wait(self._naming)

    async def put(
        self,
        org_id: str,
        chunks: AsyncIterator[bytes],
        bytes_max: int,
        filename: str,
        content_type: str,
        write: Callable[[Tx, Placed], T | None],
    ) -> T | None:
        """See :class:`ObjectBackend`."""
        place = f"{org_id}/{random_token(_PLACE_CHARS)}"
        async with self._slots:
            self._in_flight.add(place)
            try:
                await self._database.write(lambda tx: store.insert_leaving(tx, org_id, place))
                crash.reach("object.announced")
                placed = await self._upload(place, _Metered(chunks, bytes_max), filename, content_type)
                crash.reach("object.uploaded")
            except BaseException:
                self._give_up(place)
                raise
            return await self._to_the_end(self._name(org_id, placed, write))

    async def _name(self, org_id: str, placed: Placed, write: Callable[[Tx, Placed], T | None]) -> T | None:
        def name(tx: Tx) -> T | None:
            made = write(tx, placed)
            if made is not None:
                store.delete_leavings(tx, [(org_id, placed.place)])
            return made

        made = None
        try:
            made = await self._database.write(name)
            crash.reach("object.named")
        finally:
            if made is None:
                self._give_up(placed.place)
            else:
                self._in_flight.discard(placed.place)
        return made

    def _give_up(self, place: str) -> None:
        self._in_flight.discard(place)
        self._on_garbage()

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._naming.add(task)
        task.add_done_callback(self._named)
        return await asyncio.shield(task)

    def _named(self, task: asyncio.Task[Any]) -> None:
        self._naming.discard(task)
        if not task.cancelled():
            task.exception()  # seen: the caller may have gone

    async def _upload(self, place: str, metered: _Metered, filename: str, content_type: str) -> Placed:
        # Whoever fetches it from the bucket saves it: what may be shown inline is served by alloyd.
        told = {"Content-Type": content_type, "Content-Disposition": content_disposition(filename)}
        first = await metered.gather(PART_BYTES)
        try:
            if metered.ended:
                await obstore.put_async(self._bucket, place, first, attributes=told, use_multipart=False)
            else:
                await obstore.put_async(
                    self._bucket,
                    place,
                    metered.rest_after(first),
                    attributes=told,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_AT_ONCE,
                )
        except FAULTS as error:
            raise store_failed("nothing was stored", error) from error
        return Placed(place, metered.size, metered.sha256)

    def let_go(self, tx: Tx, stored: StoredObject) -> None:
        """See :class:`ObjectBackend`."""
        store.insert_leaving(tx, stored.org_id, stored.place)
        tx.after_commit(self._on_garbage)

    async def open(self, stored: StoredObject) -> ObjectFile:
        """See :class:`ObjectBackend`."""
        return RemoteFile(self._bucket, stored)

    async def presign(self, stored: StoredObject, method: str, ttl_s: int) -> str | None:
        """See :class:`ObjectBackend`."""
        if not self._presigns:
            return None
        try:
            verb: Literal["GET", "HEAD"] = "HEAD" if method == "HEAD" else "GET"
            url: str = await obstore.sign_async(self._bucket, verb, stored.place, timedelta(seconds=ttl_s))
        except FAULTS as error:
            raise store_failed("the download can't be signed", error) from error
        return url

    # -- what no object names --------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Remove from the bucket what no object names and nobody uploads; how many. Raises ``unavailable``."""
        after, removed = "", 0
        while found := await self._list_leavings(after, LEAVINGS_AT_ONCE):
            removed += await self._remove_some(after, found)
            after = found[-1][1]
        return removed

    async def _list_leavings(self, after: str, limit: int) -> list[tuple[str, str]]:
        return await self._database.read(lambda conn: store.list_leavings(conn, after, limit))

    async def _remove_some(self, after: str, found: list[tuple[str, str]]) -> int:
        idle = [one for one in found if one[1] not in self._in_flight]
        # Read again: one that was in flight a moment ago may have been named since. It never comes back.
        still = set(await self._list_leavings(after, 2 * LEAVINGS_AT_ONCE))
        doomed = [one for one in idle if one in still]
        for _org_id, place in doomed:
            await self._remove(place)
        await self._database.write(lambda tx: store.delete_leavings(tx, doomed))
        return len(doomed)

    async def _remove(self, place: str) -> None:
        crash.reach("object.before_remove")
        try:
            await obstore.delete_async(self._bucket, place)
        except FAULTS as error:
            if not is_missing(error):
                raise store_failed("an object can't be removed", error) from error

    async def probe(self) -> None:
        """Write, read and remove one small object, as is done with all. Raises ``unavailable``, which says why not."""
        try:
            await obstore.put_async(self._bucket, _PROBE, b"alloyd", use_multipart=False)
            await (await obstore.get_async(self._bucket, _PROBE)).bytes_async()
            await obstore.delete_async(self._bucket, _PROBE)
        except FAULTS as error:
            raise store_failed("the bucket for objects can't be used", error) from error


class _Metered:
    """Counts and hashes a stream on its way. Raises ``too_large``."""

    def __init__(self, chunks: AsyncIterator[bytes], bytes_max: int) -> None:
        self.size = 0
        self.ended = False
        self._chunks = chunks
        self._bytes_max = bytes_max
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def gather(self, count: int) -> bytes:
        """At least ``count`` bytes, or all there are, and then ``ended`` is set."""
        pieces: list[bytes] = []
        async for chunk in self._chunks:
            pieces.append(self._take(chunk))
            if self.size >= count:
                return b"".join(pieces)
        self.ended = True
        return b"".join(pieces)

    async def rest_after(self, first: bytes) -> AsyncIterator[bytes]:
        """``first``, then what was not gathered."""
        yield first
        async for chunk in self._chunks:
            if chunk:
                yield self._take(chunk)

    def _take(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        if self.size > self._bytes_max:
            raise upload_too_large(self._bytes_max)
        self._digest.update(chunk)
        return chunk


class RemoteFile:
    """An object of the bucket that is being read; nothing is held open between reads."""

    def __init__(self, bucket: S3Store, stored: StoredObject) -> None:
        self.info: FileInfo = to_info(stored)
        self._bucket = bucket
        self._place = stored.place

    async def __aenter__(self) -> RemoteFile:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None

    async def read(self, offset: int, count: int) -> bytes:
        """See :class:`ObjectFile`. Raises ``unavailable``."""
        return b"".join([piece async for piece in self.read_chunks(offset, count)])

    async def read_chunks(self, offset: int = 0, count: int | None = None) -> AsyncIterator[bytes]:
        """See :class:`ObjectFile`. Raises ``unavailable``, also when the object is cut short there."""
        left = self.info.size - offset
        left = left if count is None else min(left, count)
        if left <= 0:
            return
        try:
            skip, stream = await self._stream(offset, left)
            async for chunk in stream:
                piece = bytes(chunk)[skip : skip + left]
                skip = max(0, skip - len(chunk))
                left -= len(piece)
                if piece:
                    yield piece
                if not left:
                    return
        except FAULTS as error:
            if not is_missing(error):
                raise store_failed("the file can't be read", error) from error
            message = "the file's content is missing in the object store"
            raise AlloydError(Code.INTERNAL, message, log=f"object {self._place}") from error
        raise AlloydError(Code.INTERNAL, "the file's content is cut short in the object store")

    async def _stream(self, offset: int, count: int) -> tuple[int, AsyncIterator[Any]]:
        """How many bytes to skip, and the bytes."""
        if offset == 0 and count == self.info.size:
            whole = await obstore.get_async(self._bucket, self._place)
            return 0, whole.stream(READ_BYTES)
        try:
            part = await obstore.get_async(self._bucket, self._place, options={"range": (offset, offset + count)})
            return 0, part.stream(READ_BYTES)
        except GenericError as error:
            if "partial" not in str(error):
                raise
        # Some answer a range with status 200, which obstore refuses: then what comes before is passed over here.
        whole = await obstore.get_async(self._bucket, self._place)
        return offset, whole.stream(READ_BYTES)


def open_bucket(settings: S3Settings) -> S3Store:
    """The client of a bucket; nothing is asked of it yet. Raises ``bad_request`` for settings that can't be."""
    config: dict[str, Any] = {
        "bucket": settings.bucket,
        "region": settings.region,
        "virtual_hosted_style_request": not settings.path_style,
        "endpoint": settings.endpoint,
        "access_key_id": settings.access_key,
        "secret_access_key": settings.secret_key,
    }
    config = {name: value for name, value in config.items() if value is not None}
    try:
        return S3Store(
            prefix=settings.prefix,
            config=config,  # type: ignore[arg-type]  # a TypedDict of these names
            client_options={
                "allow_http": settings.allow_http,
                "connect_timeout": timedelta(seconds=min(10, settings.timeout_s)),
                "timeout": timedelta(seconds=settings.timeout_s),
            },
            retry_config={"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=settings.timeout_s)},
        )
    except (BaseError, ValueError) as error:
        message = "objects.s3_endpoint: the object store's settings can't be used"
        raise AlloydError(Code.BAD_REQUEST, message, field="objects.s3_endpoint", log=repr(error)[:500]) from error
