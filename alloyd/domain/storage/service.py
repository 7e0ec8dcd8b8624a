"""Storage's use cases: the only door to an organization's tree of files."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import unicodedata
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.storage import store, tree
from alloyd.domain.storage.blobs import BlobStore, Draft
from alloyd.domain.storage.model import (
    Blob,
    FileInfo,
    Listing,
    Position,
    StorageSettings,
    Usage,
    choose_mime_type,
    decode_cursor,
    encode_cursor,
)
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit import crash
from alloyd.kit.paths import StoragePath, parse_name, parse_path
from alloyd.principal import Principal

T = TypeVar("T")

# A content can vanish between looking it up and opening it only if it was overwritten; again and again is a fault.
_OPEN_TRIES_MAX = 5


class OpenFile:
    """A file that is being read: ``info`` and ``fd`` belong together, whatever happens to the path meanwhile.

    An async context manager; leaving it closes ``fd``.
    """

    def __init__(self, info: FileInfo, fd: int, blobs: BlobStore) -> None:
        self.info = info
        self.fd = fd
        self._blobs = blobs

    def read_chunks(self, offset: int = 0, count: int | None = None) -> AsyncIterator[bytes]:
        """``count`` bytes from ``offset`` in pieces; all of the rest without ``count``."""
        return self._blobs.read_chunks(self.fd, offset, self.info.size - offset if count is None else count)

    async def read(self, offset: int, count: int) -> bytes:
        """``count`` bytes from ``offset`` at once."""
        return await self._blobs.read(self.fd, offset, count)

    async def run(self, fn: Callable[[], T]) -> T:
        """Run ``fn``, which uses ``fd``, in a thread of the disk's."""
        return await self._blobs.run(fn)

    def close(self) -> None:
        """Give the descriptor back; a second time does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    async def __aenter__(self) -> OpenFile:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.close()


class Reception:
    """An upload on its way: its bytes are written as they come, and named at the end."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.placed = False

    async def write(self, chunk: bytes) -> None:
        """Append. Raises ``too_large``, ``unavailable``."""
        await self.draft.write(chunk)

    async def sha256(self) -> str:
        """The hash of what came so far, in hex. Raises ``unavailable``."""
        return await self.draft.sha256()


class StorageService:
    """The files of all organizations. ``on_garbage`` is called after a commit that left something to sweep."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        settings: StorageSettings,
        on_garbage: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self._database = database
        self._blobs = blobs
        self._on_garbage = on_garbage
        self._slots = asyncio.Semaphore(settings.uploads_max)
        self._placing: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Wait for uploads that are being named though their callers have gone."""
        while self._placing:
            await asyncio.wait(self._placing)

    # -- looking -----------------------------------------------------------------------------------------------

    async def list_folder(
        self,
        principal: Principal,
        path: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        prefix: str | None = None,
    ) -> Listing:
        """A folder's direct children, folders first, then by name (private contract: Storage, List).

        All of them without ``limit``; those whose names begin with ``prefix``. Raises ``bad_request`` (``path``,
        ``limit``, ``cursor``), ``not_found`` for a missing folder and for a file.
        """
        return await self._list(principal, path, limit, cursor, prefix, lambda listing: listing)

    async def list_folder_json(
        self,
        principal: Principal,
        path: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        prefix: str | None = None,
    ) -> msgspec.Raw:
        """:meth:`list_folder` as JSON, made on the reader's thread: a folder may have 100,000 children."""
        return await self._list(
            principal, path, limit, cursor, prefix, lambda listing: msgspec.Raw(msgspec.json.encode(listing))
        )

    async def _list(
        self,
        principal: Principal,
        path: str,
        limit: int | None,
        cursor: str | None,
        prefix: str | None,
        shape: Callable[[Listing], T],
    ) -> T:
        where = parse_path(path)
        if limit is not None and limit < 1:
            raise bad_request("limit: at least 1", "limit")
        org_id, begins = principal.org_id, unicodedata.normalize("NFC", prefix or "")

        def find(conn: sqlite3.Connection) -> T:
            folder_id = tree.get_folder_id(conn, org_id, where)
            after = None if cursor is None else decode_cursor(org_id, folder_id, cursor)
            fetch = None if limit is None else limit + 1
            found = store.list_children(conn, org_id, folder_id, after, fetch, begins)
            items = [tree.to_item(where, node) for node in found]
            following = None
            if limit is not None and len(items) > limit:
                items.pop()
                following = encode_cursor(org_id, folder_id, Position(items[-1].type == "file", items[-1].name))
            return shape(Listing(str(where), items, following))

        return await self._database.read(find)

    async def get_file(self, principal: Principal, path: str) -> FileInfo:
        """A file's meta data. Raises ``bad_request`` for a folder and a bad path, ``not_found``."""
        where, org_id = parse_path(path), principal.org_id
        return await self._database.read(lambda conn: tree.get_file(conn, org_id, where))

    async def open_file(self, principal: Principal, path: str) -> OpenFile:
        """The file at ``path`` for reading, as it is now, to its end. Raises as :meth:`get_file`, ``unavailable``."""
        where, org_id = parse_path(path), principal.org_id
        return await self.open_found(lambda conn: tree.get_file(conn, org_id, where))

    async def open_found(self, find: Callable[[sqlite3.Connection], FileInfo]) -> OpenFile:
        """The content of the row that ``find`` reads, for another capability's files. Raises what ``find`` raises."""
        opened: list[int] = []

        def look_up(conn: sqlite3.Connection) -> FileInfo:
            """On the reader's thread, so that looking up and opening are one hop."""
            info = find(conn)
            fd = self._blobs.open_now(info.blob_id)
            if fd is not None:
                opened.append(fd)
            return info

        for _ in range(_OPEN_TRIES_MAX):
            job = asyncio.ensure_future(self._database.read(look_up))
            try:
                info = await asyncio.shield(job)
            except asyncio.CancelledError:
                job.add_done_callback(lambda done: _close_unwanted(done, opened))
                raise
            if opened:
                return OpenFile(info, opened[0], self._blobs)
        raise AlloydError(Code.INTERNAL, "the file's content is missing on the disk", log=f"blob {info.blob_id}")

    async def usage(self, principal: Principal) -> Usage:
        """What the organization stores, the not yet swept trash included."""
        return await self._database.read(lambda conn: store.get_usage(conn, principal.org_id))

    # -- writing content ---------------------------------------------------------------------------------------

    @asynccontextmanager
    async def receive(self, bytes_max: int | None = None) -> AsyncIterator[Reception]:
        """Take the bytes of an upload: write to it, then :meth:`place` it; what was not placed is removed.

        ``bytes_max`` bounds it where that is not ``upload_bytes_max``. Waits for one of ``uploads_max`` places. Raises
        ``unavailable`` when none comes free in ``upload_wait_s``.
        """
        try:
            async with asyncio.timeout(self.settings.upload_wait_s):
                await self._slots.acquire()
        except TimeoutError:
            raise AlloydError(Code.UNAVAILABLE, "too many uploads at this time", retry_after_s=1) from None
        try:
            reception = Reception(self._blobs.new_draft(bytes_max or self.settings.upload_bytes_max))
            try:
                yield reception
            finally:
                if not reception.placed:
                    await reception.draft.discard()
        finally:
            self._slots.release()

    async def place(
        self,
        principal: Principal,
        reception: Reception,
        path: StoragePath,
        mime_type: str | None,
        once: Once | None = None,
        *,
        only_new: bool = False,
    ) -> FileInfo | None:
        """Make what was received the file at ``path``; made or overwritten, in one step, durable on return.

        None when a request with the key of ``once`` did it before, and so nothing happened now. Missing folders are
        made. ``mime_type`` is kept if it is well formed, else guessed from the name. Goes on to
        its end when the caller is cancelled. Emits ``storage_folder.created`` for each folder made, and
        ``storage_file.created`` or ``storage_file.updated``. Raises ``bad_request`` when ``path`` is a folder or
        leads through a file, ``conflict`` when the key was used otherwise or there is a file though ``only_new``,
        ``unavailable`` when the disk is full or fails.
        """
        if path.is_root:
            raise bad_request("path: the root is a folder", "path")
        kept_type, org_id = choose_mime_type(mime_type, path.name), principal.org_id

        def swap(tx: Tx, blob: Blob) -> FileInfo | None:
            if idempotency.find_made(tx, org_id, once) is not None:
                return None
            info = tree.put_file(
                tx, org_id, path, blob, kept_type, self._on_garbage, principal.run_id, only_new=only_new
            )
            idempotency.remember_made(tx, org_id, once, str(path))
            return info

        reception.placed = True
        return await self._to_the_end(self._name(reception.draft, swap))

    async def keep(self, principal: Principal, reception: Reception, write: Callable[[Tx, Blob], T | None]) -> T | None:
        """Keep what was received for another capability, whose ``write`` makes the row that names it.

        The content, its row and ``write`` are durable on return; it is removed again when ``write`` gives None or
        raises. Goes on to its end when the caller is cancelled. Raises ``unavailable`` besides.
        """
        org_id = principal.org_id

        def insert(tx: Tx, blob: Blob) -> T | None:
            made = write(tx, blob)
            if made is not None:
                store.insert_blob(tx, org_id, blob)
                store.add_usage(tx, org_id, blob.size, 1)
            return made

        reception.placed = True
        return await self._to_the_end(self._name(reception.draft, insert))

    def let_go(self, tx: Tx, org_id: str, blob_id: str, size: int) -> None:
        """Nothing names the content any more that :meth:`keep` kept: the sweeper removes it."""
        store.let_go_of_blob(tx, org_id, blob_id)
        store.add_usage(tx, org_id, -size, -1)
        tx.after_commit(self._on_garbage)

    async def _name(self, draft: Draft, write: Callable[[Tx, Blob], T | None]) -> T | None:
        try:
            blob = await draft.seal()
            crash.reach("storage.before_swap")
            made = await self._database.write(lambda tx: write(tx, blob))
        except BaseException:
            await self._drop(draft)
            raise
        if made is None:
            await draft.discard()
        else:
            crash.reach("storage.after_swap")
            draft.keep()
        return made

    async def _drop(self, draft: Draft) -> None:
        """Remove a content whose naming failed; unless, the answer of a failing disk being unsure, a row has it."""
        try:
            named = await self._database.read(lambda conn: store.find_named_blobs(conn, [draft.id]))
        except Exception:
            return  # it stays in flight: the next start finds out
        if named:
            draft.keep()
        else:
            await draft.discard()

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._placing.add(task)
        task.add_done_callback(self._placed)
        return await asyncio.shield(task)

    def _placed(self, task: asyncio.Task[Any]) -> None:
        self._placing.discard(task)
        if not task.cancelled():
            task.exception()  # seen: the caller may have gone

    async def upload(
        self,
        principal: Principal,
        folder_path: str,
        filename: str,
        chunks: AsyncIterator[bytes],
        mime_type: str | None = None,
    ) -> FileInfo:
        """Store ``chunks`` as ``filename`` in a folder; see :meth:`place`. Raises ``too_large`` besides."""
        path = parse_path(folder_path).child(parse_name(filename, "file"))
        async with self.receive() as reception:
            async for chunk in chunks:
                await reception.write(chunk)
            return _stored(await self.place(principal, reception, path, mime_type))

    # -- changing the tree -------------------------------------------------------------------------------------

    async def make_folder(
        self, principal: Principal, name: str, path: str = "/", once: Once | None = None
    ) -> StoragePath:
        """The folder ``name`` in ``path``, with the folders on the way; nothing happens if it is there.

        Emits ``storage_folder.created`` for each one made. Raises ``conflict`` when a file has the name,
        ``bad_request`` when ``path`` leads through a file.
        """
        where, org_id = parse_path(path).child(parse_name(name)), principal.org_id
        return await self._change(org_id, once, lambda tx: tree.make_folder(tx, org_id, where))

    async def rename(self, principal: Principal, path: str, new_name: str, once: Once | None = None) -> StoragePath:
        """Give a file or folder another name; its new path. The same name changes nothing.

        Emits ``storage_file.moved`` or ``storage_folder.moved``. Raises ``bad_request`` for the root, ``not_found``,
        ``conflict`` when the name is taken.
        """
        where, name, org_id = parse_path(path), parse_name(new_name, "new_name"), principal.org_id
        if where.is_root:
            raise bad_request("path: the root has no name", "path")
        return await self._change(org_id, once, lambda tx: tree.rename(tx, org_id, where, name))

    async def move(
        self, principal: Principal, source_path: str, dest_path: str, once: Once | None = None
    ) -> StoragePath:
        """Move a file or folder, with all below it, into the folder ``dest_path``; its new path.

        To where it is already changes nothing. Emits ``storage_file.moved`` or ``storage_folder.moved``. Raises
        ``bad_request`` for the root, for a destination that is a file or lies in the source, ``not_found``,
        ``conflict`` when the destination has that name.
        """
        source, dest = parse_path(source_path, "source_path"), parse_path(dest_path, "dest_path")
        if source.is_root:
            raise bad_request("source_path: the root can't be moved", "source_path")
        org_id = principal.org_id
        return await self._change(org_id, once, lambda tx: tree.move(tx, org_id, source, dest))

    async def _change(self, org_id: str, once: Once | None, change: Callable[[Tx], StoragePath]) -> StoragePath:
        """``change`` in a transaction, or the path that a request with the same idempotency key got."""

        def write(tx: Tx) -> StoragePath:
            made = idempotency.find_made(tx, org_id, once)
            if made is not None:
                return parse_path(made)
            path = change(tx)
            idempotency.remember_made(tx, org_id, once, str(path))
            return path

        return await self._database.write(write)

    async def delete(self, principal: Principal, path: str) -> str:
        """Delete a file or a whole folder, in one step; its canonical path. The sweeper frees the space.

        Emits ``storage_file.deleted`` or ``storage_folder.deleted``, one for the whole folder. Raises
        ``bad_request`` for the root, ``not_found``.
        """
        where, org_id = parse_path(path), principal.org_id
        if where.is_root:
            raise bad_request("path: the root can't be deleted", "path")
        await self._database.write(lambda tx: tree.delete(tx, org_id, where, self._on_garbage, principal.run_id))
        return str(where)

    # -- for operations (StepFiles) ----------------------------------------------------------------------------

    async def read_bytes(self, principal: Principal, path: str, bytes_max: int) -> tuple[Mapping[str, Any], bytes]:
        """A file's meta data and whole content. Raises ``too_large`` over ``bytes_max`` bytes, as :meth:`get_file`."""
        async with await self.open_file(principal, path) as file:
            if file.info.size > bytes_max:
                raise AlloydError(Code.TOO_LARGE, f"path: the file is larger than {bytes_max} bytes", field="path")
            return file.info.to_meta(), await file.read(0, file.info.size)

    async def read_meta(self, principal: Principal, path: str) -> Mapping[str, Any]:
        """A file's meta data. Raises as :meth:`get_file`."""
        return (await self.get_file(principal, path)).to_meta()

    @asynccontextmanager
    async def open_stream(
        self, principal: Principal, path: str
    ) -> AsyncIterator[tuple[Mapping[str, Any], AsyncIterator[bytes]]]:
        """A file's meta data and its content in pieces, as it is now, inside the block. See :meth:`open_file`."""
        async with await self.open_file(principal, path) as file:
            yield file.info.to_meta(), file.read_chunks()

    async def write_bytes(
        self, principal: Principal, path: str, content: bytes, mime_type: str | None
    ) -> Mapping[str, Any]:
        """Make or overwrite the file at ``path``, with its folders; the new meta data. See :meth:`place`."""

        async def whole() -> AsyncIterator[bytes]:
            yield content

        return await self.write_stream(principal, path, whole(), mime_type)

    async def write_stream(
        self, principal: Principal, path: str, chunks: AsyncIterator[bytes], mime_type: str | None
    ) -> Mapping[str, Any]:
        """As :meth:`write_bytes`. What ``chunks`` raises goes through, and nothing is stored then."""
        where = parse_path(path)
        if where.is_root:
            raise bad_request("path: the root is a folder", "path")
        async with self.receive() as reception:
            async for chunk in chunks:
                await reception.write(chunk)
            return _stored(await self.place(principal, reception, where, mime_type)).to_meta()

    async def list_items(self, principal: Principal, path: str, limit: int, cursor: str | None) -> Mapping[str, Any]:
        """``{path, items, next_cursor?}`` of a folder, as the private contract lists it."""
        found: dict[str, Any] = msgspec.to_builtins(await self.list_folder(principal, path, limit=limit, cursor=cursor))
        return found


def _stored(info: FileInfo | None) -> FileInfo:
    assert info is not None  # only a request with an idempotency key can have been served before
    return info


def _close_unwanted(done: asyncio.Future[Any], opened: list[int]) -> None:
    """Who asked for the file has gone meanwhile."""
    if not done.cancelled():
        done.exception()
    for fd in opened:
        os.close(fd)
