"""Real storage in a temporary directory, for tests of the capability and of its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.domain.storage.blobs import BlobStore
from alloyd.domain.storage.model import StorageSettings
from alloyd.domain.storage.service import StorageService
from alloyd.domain.storage.worker import StorageSweeper
from alloyd.events.hub import Hub, Reader
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock
from alloyd.principal import Kind, Principal, Role


def principal_of(org_id: str, role: Role = Role.MEMBER) -> Principal:
    """A key of the private surface."""
    return Principal(Kind.KEY, "key", org_id, role, frozenset({"private"}), surface="private")


ONE, TWO = principal_of("one"), principal_of("two")


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    """``chunks`` as an upload brings them."""
    for chunk in chunks:
        yield chunk


@dataclass
class Backend:
    """What stands behind the routes."""

    database: Database
    hub: Hub
    blobs: BlobStore
    storage: StorageService
    sweeper: StorageSweeper
    clock: ManualClock
    reader: Reader
    fatal: list[BaseException]
    data_dir: Path

    def set(self, **changes: Any) -> None:
        """Change settings."""
        self.storage.settings = replace(self.storage.settings, **changes)

    def told(self) -> list[tuple[str, str]]:
        """Kind and subject of the events since the last call, oldest first."""
        return [(event.kind, event.subject) for event in self.reader.take()]

    async def put(self, path: str, content: bytes = b"x", who: Principal = ONE, mime_type: str | None = None) -> None:
        """Store ``content`` at ``path``."""
        await self.storage.write_bytes(who, path, content, mime_type)

    async def get(self, path: str, who: Principal = ONE) -> bytes:
        """The content at ``path``."""
        return (await self.storage.read_bytes(who, path, 1 << 30))[1]

    async def tree(self, who: Principal = ONE, path: str = "/") -> list[str]:
        """Every path below ``path``, folders with a slash at their end."""
        found: list[str] = []
        for item in (await self.storage.list_folder(who, path)).items:
            found.append(item.path + ("/" if item.type == "folder" else ""))
            if item.type == "folder":
                found += await self.tree(who, item.path)
        return found

    def files_on_disk(self) -> list[str]:
        """Contents in blobs/."""
        return sorted(path.name for path in self.blobs.blobs_dir.glob("*/*"))

    def files_in_tmp(self) -> list[str]:
        """What lies in tmp/."""
        return sorted(path.name for path in self.blobs.tmp_dir.iterdir())


@asynccontextmanager
async def open_backend(data_dir: Path) -> AsyncIterator[Backend]:
    """Everything behind storage, on the data directory ``data_dir``."""
    path = data_dir / "alloyd.db"
    migrate(path)
    clock, hub = ManualClock(), Hub()
    fatal: list[BaseException] = []
    database = await Database.open(path, clock)
    database.on_fatal = fatal.append
    await EventLog(database, hub).start()
    blobs = BlobStore(data_dir, fatal.append, lambda: 0)
    sweeper = StorageSweeper(database, blobs, 3600)
    storage = StorageService(database, blobs, StorageSettings(), sweeper.wake)
    reader = hub.open({"one", "two"})
    yield Backend(database, hub, blobs, storage, sweeper, clock, reader, fatal, data_dir)
    await storage.close()
    blobs.close()
    await database.close()
