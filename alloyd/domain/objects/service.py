"""Use cases of objects: keep, find, open, sign, sum up, list, delete with their runs. The only door to them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Final

from alloyd.db import Database, Tx
from alloyd.domain.objects import store
from alloyd.domain.objects.backend import ObjectBackend, ObjectFile
from alloyd.domain.objects.model import (
    Belonging,
    Disposition,
    NewObject,
    ObjectSettings,
    ObjectUsage,
    Placed,
    StoredObject,
    WorkflowShare,
    is_key,
    name_of,
    new_key,
    no_such_object,
    shows_inline,
    to_reference,
)
from alloyd.domain.objects.signing import UrlSigner
from alloyd.domain.operations.model import NewStepObject
from alloyd.domain.orgs import service as orgs
from alloyd.domain.storage.model import choose_mime_type
from alloyd.domain.users import service as users
from alloyd.errors import AlloydError, Code
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

# An object that is moved to the other backend right now is found there; again and again is a fault.
_OPEN_TRIES_MAX: Final = 5
_DELETED_AT_ONCE: Final = 100_000
# A crash leaves objects among the newest ones only: far more than may be on their way at one time.
_RECENT_MAX: Final = 10_000


class ObjectService:
    """``backends`` by name: new objects go to the one that the settings name. ``secret`` signs URLs."""

    def __init__(
        self,
        database: Database,
        backends: Mapping[str, ObjectBackend],
        clock: Clock,
        settings: ObjectSettings,
        secret: bytes,
    ) -> None:
        self.settings = settings
        self.backends = backends
        self._database = database
        self._clock = clock
        self._signer = UrlSigner(secret)

    # -- keeping ---------------------------------------------------------------------------------------------

    async def put(self, principal: Principal, new: NewObject, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Make ``chunks`` an object; durable on return. A repeat, by ``new.origin``, gives the first one.

        Raises ``bad_request`` (filename), ``too_large``, ``unavailable`` when the disk or the bucket fails. Emits
        ``object.created``.
        """
        org_id, origin = principal.org_id, new.origin
        filename = name_of(new.filename)
        content_type = choose_mime_type(new.content_type, filename)
        if origin is not None:
            made = await self._find_made(org_id, origin)
            if made is not None:
                return made
        backend = self._backend(self.settings.backend)

        def write(tx: Tx, placed: Placed) -> StoredObject | None:
            if origin is not None and store.find_by_origin(tx.conn, org_id, origin) is not None:
                return None
            belonging = _belonging(tx, org_id, new)
            stored = StoredObject(
                new_id(),
                org_id,
                new_key(belonging, new.direction, filename),
                belonging.workflow_id,
                belonging.run_id,
                new.direction,
                filename,
                content_type,
                placed.size,
                placed.sha256,
                belonging.created_by,
                origin,
                backend.name,
                placed.place,
                tx.now,
            )
            store.insert_object(tx, stored)
            tx.emit(Event(org_id, "object.created", stored.id, _told(stored), run_id=stored.run_id))
            return stored

        bytes_max = new.bytes_max or self.settings.output_bytes_max
        stored = await backend.put(org_id, chunks, bytes_max, filename, content_type, write)
        if stored is None and origin is not None:
            stored = await self._find_made(org_id, origin)
        if stored is None:
            raise AlloydError(Code.UNAVAILABLE, "the object was deleted meanwhile", retry_after_s=1)
        return stored

    async def put_output(
        self, principal: Principal, new: NewStepObject, chunks: AsyncIterator[bytes]
    ) -> Mapping[str, Any]:
        """:meth:`put` for a step: ``{object_key, url, filename, size, content_type}``."""
        made = NewObject(
            "output", new.filename, new.content_type, new.workflow_id, new.run_id, new.started_by, new.origin
        )
        return self.reference(await self.put(principal, made, chunks))

    def reference(self, stored: StoredObject) -> Mapping[str, Any]:
        """An object as steps pass it on."""
        return to_reference(stored, self.settings.base_url)

    async def _find_made(self, org_id: str, origin: str) -> StoredObject | None:
        return await self._database.read(lambda conn: store.find_by_origin(conn, org_id, origin))

    # -- downloading -----------------------------------------------------------------------------------------

    async def find(self, key: str) -> StoredObject | None:
        """The object of that key; None when there is none, or its organization is archived."""
        if not is_key(key):
            return None
        return await self._database.read(lambda conn: _find_active(conn, key))

    async def sign(self, stored: StoredObject, disposition: Disposition, method: str) -> str:
        """A URL that serves the object for ``url_ttl_s`` seconds: the bucket's own, or alloyd's.

        What a browser is to show where it is always comes from alloyd, which says that nothing in it may run. Raises
        ``unavailable``.
        """
        if disposition == "attachment" or not shows_inline(stored.content_type):
            disposition = "attachment"
            url = await self._backend(stored.backend).presign(stored, method, self.settings.url_ttl_s)
            if url is not None:
                return url
        expires_s = self._clock.now_ms() // 1000 + self.settings.url_ttl_s
        return (self.settings.base_url or "") + self._signer.sign(stored.key, disposition, expires_s)

    def check_signature(self, key: str, expires: str, disposition: str, signature: str) -> None:
        """Raises ``forbidden`` unless alloyd signed these together, and the time is not over."""
        if not self._signer.allows(key, expires, disposition, signature, self._clock.now_ms()):
            raise AlloydError(Code.FORBIDDEN, "the link is not valid, or its time is over")

    async def open(self, key: str) -> ObjectFile:
        """An object for reading, by its exact key. Raises ``not_found``, ``unavailable``."""
        for _ in range(_OPEN_TRIES_MAX):
            stored = await self.find(key)
            if stored is None:
                raise no_such_object()
            try:
                return await self._backend(stored.backend).open(stored)
            except FileNotFoundError:
                continue
        raise AlloydError(Code.UNAVAILABLE, "the object is being moved; try again", retry_after_s=1)

    async def open_own(self, principal: Principal, object_id: str) -> ObjectFile:
        """An object of the caller's organization for reading, by its id. Raises ``not_found``, ``unavailable``."""
        stored = await self._database.read(lambda conn: store.find_by_id(conn, principal.org_id, object_id))
        if stored is None:
            raise no_such_object()
        return await self.open(stored.key)

    async def read_own(self, principal: Principal, key: str, bytes_max: int) -> tuple[str, bytes]:
        """Content type and whole content of an object of the caller's organization.

        Raises ``not_found``, also for another organization's, ``too_large`` over ``bytes_max`` bytes, ``unavailable``.
        """
        stored = await self.find(key)
        if stored is None or stored.org_id != principal.org_id:
            raise no_such_object()
        if stored.size > bytes_max:
            raise AlloydError(Code.TOO_LARGE, f"the object is larger than {bytes_max} bytes")
        async with await self.open(key) as file:
            return stored.content_type, await file.read(0, stored.size)

    def _backend(self, name: str) -> ObjectBackend:
        backend = self.backends.get(name)
        if backend is None:
            raise AlloydError(
                Code.UNAVAILABLE, "the object lies in an object store that is not configured", log=f"backend {name}"
            )
        return backend

    # -- sums and lists --------------------------------------------------------------------------------------

    async def usage(self, org_id: str, created_by: str | None = None) -> ObjectUsage:
        """Sums of an organization, or of one user's files in it; read from totals, whatever the number of files."""
        rows = await self._database.read(lambda conn: store.list_totals(conn, org_id, created_by))
        sums = {"input": 0, "output": 0}
        shares: dict[str, WorkflowShare] = {}
        files = 0
        for workflow_id, direction, name, total, count in rows:
            sums[direction] += total
            files += count
            if workflow_id:
                before = shares.get(workflow_id) or WorkflowShare(workflow_id, name or workflow_id, 0, 0)
                shares[workflow_id] = WorkflowShare(
                    workflow_id, before.workflow_name, before.bytes + total, before.files + count
                )
        largest_first = sorted(shares.values(), key=lambda share: (-share.bytes, share.workflow_id))
        return ObjectUsage(sums["input"], sums["output"], files, tuple(largest_first))

    async def list_page(
        self, org_id: str, before_id: str | None, limit: int, run_id: str | None = None
    ) -> list[StoredObject]:
        """A page of the organization's objects, of one run if it is named, newest first."""
        return await self._database.read(lambda conn: store.list_page(conn, org_id, before_id, limit, run_id))

    async def find_organization(self, object_id: str) -> str | None:
        """Whose object it is; None when there is none."""
        return await self._database.read(lambda conn: store.find_organization(conn, object_id))

    async def count_in(self, backend: str) -> tuple[int, int]:
        """Objects and bytes of all organizations that lie in one backend."""
        return await self._database.read(lambda conn: store.count_in_backend(conn, backend))

    # -- deleting --------------------------------------------------------------------------------------------

    def delete_of_runs(self, tx: Tx, org_id: str, run_ids: Collection[str], rows_max: int = _DELETED_AT_ONCE) -> int:
        """Delete at most ``rows_max`` objects of these runs; how many. Their bytes are removed after the commit."""
        deleted = 0
        for run_id in run_ids:
            for stored in store.list_of_run(tx.conn, org_id, run_id, rows_max - deleted):
                store.delete_object(tx, stored)
                self._backend(stored.backend).let_go(tx, stored)
                deleted += 1
            if deleted >= rows_max:
                break
        return deleted

    async def delete_of_unstarted(self, org_id: str, run_id: str) -> None:
        """Delete the objects that were made for a run which did not start after all; those of a run that is there stay.

        Raises ``unavailable``.
        """

        def write(tx: Tx) -> None:
            if not store.has_run(tx.conn, org_id, run_id):
                self.delete_of_runs(tx, org_id, [run_id])

        await self._database.write(write)

    async def delete_left(self) -> int:
        """At the start: delete what a crash left of runs that never started; how many. Raises ``unavailable``."""

        def write(tx: Tx) -> int:
            left = store.list_unstarted(tx.conn, _RECENT_MAX)
            return sum(
                self.delete_of_runs(tx, org_id, [run_id]) for org_id, run_id, name in left if name in self.backends
            )

        return await self._database.write(write)


def _find_active(conn: sqlite3.Connection, key: str) -> StoredObject | None:
    stored = store.find_by_key(conn, key)
    if stored is None or orgs.get_within(conn, stored.org_id).archived:
        return None
    return stored


def _belonging(tx: Tx, org_id: str, new: NewObject) -> Belonging:
    """Whose it is, as of now; of who started a run only a user counts: keys and alloyd itself own no files."""
    org = orgs.get_within(tx.conn, org_id)
    created_by = new.started_by
    if created_by is not None and users.find_account(tx.conn, created_by) is None:
        created_by = None
    return Belonging(org_id, org.slug, new.workflow_id, new.run_id, created_by)


def _told(stored: StoredObject) -> dict[str, Any]:
    """What others may know of an object; its key is not theirs to have."""
    return {
        "filename": stored.filename,
        "content_type": stored.content_type,
        "size_bytes": stored.size,
        "direction": stored.direction,
        "workflow_id": stored.workflow_id,
        "run_id": stored.run_id,
    }
