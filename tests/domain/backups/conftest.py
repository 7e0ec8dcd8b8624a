"""A data directory with files and keys in it, and its backups."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alloyd.domain.backups.model import Places
from alloyd.domain.backups.service import BackupService
from tests.storage import ONE, TWO, Backend, open_backend

CONTENTS = {"/a.txt": b"first", "/folder/b.bin": bytes(range(256)) * 3000, "/empty": b""}


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    root = tmp_path / "data"
    root.mkdir()
    (root / "keys").mkdir(mode=0o700)
    (root / "backups").mkdir()
    (root / "keys" / "master.key").write_bytes(b"K" * 32)
    async with open_backend(root) as backend:
        for path, content in CONTENTS.items():
            await backend.put(path, content)
        await backend.put("/other", b"of another organization", TWO)
        await backend.put("/trashed", b"deleted before the backup")
        await backend.storage.delete(ONE, "/trashed")
        yield backend


@pytest.fixture
def backups(backend: Backend) -> BackupService:
    return BackupService(
        backend.database, Places.below(backend.data_dir), backend.clock, backend.sweeper.hold, lambda: 0, "1.2.3"
    )


@pytest.fixture
async def archive(backups: BackupService, tmp_path: Path) -> Path:
    """A backup of it."""
    return (await backups.create(tmp_path / "backup.tar")).path
