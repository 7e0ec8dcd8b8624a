"""`/operator/status` and `/operator/backup` of the whole app, and what the app does with backups at its start."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alloyd import __version__
from alloyd.app import App
from alloyd.config import Config
from alloyd.db import migrate as migrations
from alloyd.domain.backups import store
from alloyd.domain.backups.restoring import restore_over
from alloyd.kit.clock import ManualClock
from alloyd.process.datadir import DataDir


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[App]:
    with DataDir(root) as data_dir:
        data_dir.prepare()
        data_dir.lock("test")
        app = await App.open(Config(), data_dir, ManualClock())
        try:
            yield app
        finally:
            await app.close(0)


@pytest.fixture
def root() -> Any:
    with tempfile.TemporaryDirectory() as short:  # a socket's path has at most 107 bytes
        yield Path(short) / "data"


@pytest.fixture
async def app(root: Path) -> AsyncIterator[App]:
    async with opened(root) as app:
        await app.listen_socket()
        yield app


@pytest.fixture
async def client(app: App) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(str(app.data_dir.socket))
    async with aiohttp.ClientSession("http://alloyd", connector=connector) as session:
        yield session


async def ask(client: aiohttp.ClientSession, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    async with client.request(method, f"/operator{path}", **more) as response:
        return response.status, await response.json()


async def test_status(app: App, client: aiohttp.ClientSession) -> None:
    app.clock.advance(1500)  # type: ignore[attr-defined]
    status, answer = await ask(client, "GET", "/status")
    assert status == 200
    data = answer["data"]
    database, disk = data.pop("database"), data.pop("disk")
    assert database["size_bytes"] > 0
    assert set(database) == {"size_bytes", "wal_bytes", "free_pages"}
    assert disk["free_bytes"] > 0
    assert data == {
        "pid": os.getpid(),
        "version": __version__,
        "sqlite_version": sqlite3.sqlite_version,
        "instance_id": app.instance_id,
        "started_at": "2026-01-01T00:00:00.000Z",
        "uptime_ms": 1500,
        "urls": [],
        "data_dir": str(app.data_dir.root),
        "draining": False,
        "runs": {"queued": 0, "running": 0},
        "streams": 0,
        "organizations": 1,
        "last_backup_at": None,
    }


@pytest.mark.parametrize("verify", [False, True])
async def test_backup_and_back(app: App, client: aiohttp.ClientSession, root: Path, verify: bool) -> None:
    path = root.parent / "b.tar"
    status, answer = await ask(client, "POST", "/backup", json={"path": str(path), "verify": verify})
    assert status == 201, answer
    content = path.read_bytes()
    assert answer["data"] == {
        "path": str(path),
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "members": 2,
        "files": 0,
        "keys": 1,
        "damaged": [],
        "objects_elsewhere": 0,
        "schema_version": migrations.SCHEMA_VERSION,
        "alloyd_version": __version__,
        "created_at": "2026-01-01T00:00:00.000Z",
        "verified": verify,
    }
    status, answer = await ask(client, "GET", "/status")
    assert answer["data"]["last_backup_at"] == "2026-01-01T00:00:00.000Z"
    orgs = await app.orgs.list_all(10)

    other = root.parent / "other"
    DataDir(other).prepare()
    assert restore_over(path, other, 0).previous is None
    async with opened(other) as restored:
        assert await restored.orgs.list_all(10) == orgs
        assert await restored.backups.find_last() is None


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "path"),
        ({"path": "b.tar"}, 400, "path"),
        ({"path": ""}, 400, "path"),
        ({"path": "/nowhere/at/all/b.tar"}, 400, "path"),
        ({"path": "/etc/hostname"}, 409, "path"),
        ({"path": "/tmp/x", "keys": False}, 400, "keys"),
    ],
)
async def test_backups_that_can_not_be(client: aiohttp.ClientSession, body: Any, status: int, field: str) -> None:
    got, answer = await ask(client, "POST", "/backup", json=body)
    assert got == status
    assert answer["data"] is None
    assert field in str(answer["error"])


async def test_neither_is_on_the_network(app: App) -> None:
    assert not any(bound.path.startswith("/operator") for bound in app.server.bound_routes())


async def test_what_crashes_left_is_gone_after_the_start(root: Path) -> None:
    partial = root.parent / "b.tar.partial"
    async with opened(root) as app:
        await app.database.write(lambda tx: store.set_note(tx, store.PARTIAL_BACKUP, str(partial)))
    partial.write_bytes(b"half")
    (root.parent / "data.restoring-0123abcd" / "blobs").mkdir(parents=True)
    (root / "tmp" / "backup-x").mkdir()
    async with opened(root):
        pass
    assert sorted(path.name for path in root.parent.iterdir()) == ["data"]
    assert list((root / "tmp").iterdir()) == []


async def test_the_database_is_copied_before_its_migration(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(root):
        pass
    version, name = migrations.SCHEMA_VERSION, "9999_next.sql"
    read = migrations.read_migration
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, name))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", version + 1)
    monkeypatch.setattr(
        migrations, "read_migration", lambda asked: "CREATE TABLE next (a);" if asked == name else read(asked)
    )
    async with opened(root):
        pass
    (copy,) = (root / "backups").iterdir()
    for path, wanted in ((copy, version), (root / "alloyd.db", version + 1)):
        with closing(sqlite3.connect(path)) as conn:
            assert conn.execute("PRAGMA user_version").fetchone()[0] == wanted
