"""Objects over a real database, a real disk and a real bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alloyd.domain.objects import store
from alloyd.domain.objects.backend import ObjectBackend
from alloyd.domain.objects.local import LocalBackend
from alloyd.domain.objects.migration import MigrationService
from alloyd.domain.objects.model import BackendName, NewObject, ObjectSettings, S3Settings, StoredObject
from alloyd.domain.objects.s3 import S3Backend
from alloyd.domain.objects.service import ObjectService
from alloyd.domain.orgs.service import OrgService
from alloyd.principal import Principal, system_principal
from tests.bucket import ACCESS_KEY, BUCKET, SECRET_KEY, Bucket
from tests.storage import Backend, open_backend

CONTENT = bytes(range(256)) * 10


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def settings_of(bucket: Bucket, **more: Any) -> S3Settings:
    return S3Settings(BUCKET, "us-east-1", bucket.url, ACCESS_KEY, SECRET_KEY, allow_http=True, **more)


@dataclass
class World:
    """One organization's objects."""

    disk: Backend
    objects: ObjectService
    migration: MigrationService
    s3: S3Backend | None
    bucket: Bucket | None
    who: Principal

    async def put(self, content: bytes = CONTENT, filename: str = "a.txt", **more: Any) -> StoredObject:
        direction = more.pop("direction", "output")
        return await self.objects.put(self.who, NewObject(direction, filename, **more), pieces(content))

    async def get(self, stored: StoredObject) -> bytes:
        async with await self.objects.open(stored.key) as file:
            return b"".join([piece async for piece in file.read_chunks()])

    async def row(self, stored: StoredObject) -> StoredObject | None:
        return await self.disk.database.read(lambda conn: store.find_by_key(conn, stored.key))

    async def delete_runs(self, *run_ids: str) -> int:
        who = self.who
        return await self.disk.database.write(lambda tx: self.objects.delete_of_runs(tx, who.org_id, run_ids))

    async def sweep(self) -> None:
        await self.disk.sweeper.sweep()
        if self.s3 is not None:
            await self.s3.sweep()

    async def told(self) -> list[tuple[str, str]]:
        """Kind and subject of what was told of objects."""
        return await self.disk.database.read(
            lambda conn: conn.execute("SELECT kind, subject FROM events WHERE kind LIKE 'object.%'").fetchall()
        )

    def bytes_kept(self) -> int:
        """Contents that lie anywhere."""
        return len(self.disk.files_on_disk()) + (len(self.bucket.files()) if self.bucket else 0)

    async def scan(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """The sums by user, workflow and direction, counted from the rows."""
        return {
            (row[0], row[1], row[2]): (row[3], row[4])
            for row in await self.disk.database.read(
                lambda conn: conn.execute(
                    "SELECT coalesce(created_by, ''), coalesce(workflow_id, ''), direction, sum(size), count(*) "
                    "FROM objects GROUP BY 1, 2, 3"
                ).fetchall()
            )
        }

    async def totals(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """The sums as they are kept."""
        return {
            (row[0], row[1], row[2]): (row[3], row[4])
            for row in await self.disk.database.read(
                lambda conn: conn.execute(
                    "SELECT created_by, workflow_id, direction, bytes, files FROM object_totals"
                ).fetchall()
            )
        }


@asynccontextmanager
async def open_world(
    directory: Path, backend: BackendName = "local", bucket: Bucket | None = None, **more: Any
) -> AsyncIterator[World]:
    async with open_backend(directory) as disk:
        s3 = None if bucket is None else S3Backend(disk.database, settings_of(bucket), lambda: None)
        backends: dict[str, ObjectBackend] = {"local": LocalBackend(disk.storage)}
        if s3 is not None:
            backends["s3"] = s3
        settings = ObjectSettings(backend, **more)
        objects = ObjectService(disk.database, backends, disk.clock, settings, bytes(32))
        org = await OrgService(disk.database).create("acme", "Acme")
        who = system_principal(org.id)
        yield World(disk, objects, MigrationService(disk.database, objects), s3, bucket, who)
        if s3 is not None:
            await s3.close()
