"""Moves objects from one backend to the other, a few at a time: copied, compared, renamed, and then let go."""

from __future__ import annotations

from typing import Final

from alloyd.db import Database, Tx
from alloyd.domain.objects import store
from alloyd.domain.objects.backend import ObjectBackend
from alloyd.domain.objects.model import MIGRATED_AT_ONCE, BackendName, Migrated, Placed, StoredObject
from alloyd.domain.objects.service import ObjectService
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.log import get_logger

log = get_logger("alloyd.objects")

BYTES_AT_ONCE: Final = 64 * 1024 * 1024
_OTHER: Final[dict[BackendName, BackendName]] = {"local": "s3", "s3": "local"}


class MigrationService:
    """Each object is moved by itself, so an interrupted migration goes on where it was."""

    def __init__(self, database: Database, objects: ObjectService) -> None:
        self._database = database
        self._objects = objects

    async def move_some(self, to: BackendName, after_id: str) -> Migrated:
        """Move the next objects with ids above ``after_id`` to the backend ``to``.

        An object whose bytes are not there or differ from their SHA-256 stays as it is, and is told as damaged. Raises
        ``bad_request`` when there is no such backend, ``unavailable`` when the disk or the bucket fails.
        """
        target, source = self._objects.backends.get(to), self._objects.backends.get(_OTHER[to])
        if target is None or source is None:
            raise bad_request("to: the bucket is not configured (objects.s3_bucket)", "to")
        origin = source.name
        found = await self._database.read(
            lambda conn: store.list_in_backend(conn, origin, after_id, MIGRATED_AT_ONCE + 1)
        )
        more = len(found) > MIGRATED_AT_ONCE
        moved = total = 0
        damaged: list[str] = []
        last = after_id
        for stored in found[:MIGRATED_AT_ONCE]:
            outcome = await self._move(source, target, stored)
            moved += outcome is True
            total += stored.size if outcome is True else 0
            if outcome is None:
                damaged.append(stored.id)
            last = stored.id
            if total >= BYTES_AT_ONCE:
                more = True
                break
        return Migrated(moved, total, tuple(damaged), last if more else None)

    async def _move(self, source: ObjectBackend, target: ObjectBackend, stored: StoredObject) -> bool | None:
        """Whether it moved; None when it is damaged, False when it is gone meanwhile."""
        unlike: list[Placed] = []

        def write(tx: Tx, placed: Placed) -> bool | None:
            if (placed.size, placed.sha256) != (stored.size, stored.sha256):
                unlike.append(placed)
                return None
            if not store.move_object(tx, stored, target.name, placed.place):
                return None
            source.let_go(tx, stored)
            tx.audit(f"object:{stored.id}", action="object.migrate", org_id=stored.org_id, changed=("backend",))
            return True

        try:
            async with await source.open(stored) as file:
                done = await target.put(
                    stored.org_id,
                    file.read_chunks(),
                    max(stored.size, 1),
                    stored.filename,
                    stored.content_type,
                    write,
                )
        except FileNotFoundError:
            return False
        except AlloydError as error:
            if error.code is not Code.INTERNAL:
                raise
            log.error("an object's bytes are missing", object_id=stored.id, reason=error.log or error.message)
            return None
        if unlike:
            log.error("an object's bytes differ from their hash", object_id=stored.id)
            return None
        return bool(done)
