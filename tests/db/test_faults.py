"""A disk that is full, one that fails, one whose fsync fails: real files, real faults."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress

import pytest

from alloyd.db import Database, DatabaseSettings
from alloyd.db import database as module
from alloyd.db.database import FATAL_EXIT_STATUS
from alloyd.db.migrate import migrate
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import ManualClock

DISK_BYTES = 6 * 1024 * 1024


def put(key, size=1000):
    return lambda tx: tx.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, "v" * size)).rowcount


def all_keys(conn):
    return {row[0] for row in conn.execute("SELECT key FROM meta")}


def stored_in(path):
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return all_keys(conn)


class SmallDisk:
    """A disk of its own that can be filled and emptied."""

    def __init__(self, directory):
        self.directory = directory
        self.filler = directory / "filler"

    async def fill(self, _database):
        with self.filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass

    async def empty(self, _database):
        self.filler.unlink()


class PageBound:
    """Where nothing may be mounted: SQLite itself refuses to let the file grow."""

    def __init__(self, directory):
        self.directory = directory

    async def fill(self, database):
        await database.run_maintenance(lambda conn: conn.execute("PRAGMA max_page_count=1").fetchone())

    async def empty(self, database):
        await database.run_maintenance(lambda conn: conn.execute("PRAGMA max_page_count=1000000").fetchone())


@pytest.fixture(params=["small disk", "page bound"])
def disk(request, tmp_path):
    directory = tmp_path / "disk"
    directory.mkdir()
    if request.param == "page bound":
        yield PageBound(directory)
        return
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(directory)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this machine mounts nothing for us")
    yield SmallDisk(directory)
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


async def write_until_full(database):
    """Acknowledged keys, and the error that ended it."""
    acknowledged = set()
    for number in range(10_000):
        try:
            await database.write(put(f"k{number}", 50_000))
        except AlloydError as error:
            return acknowledged, error
        acknowledged.add(f"k{number}")
    pytest.fail("the disk is never full")


async def test_a_full_disk_is_told_loses_nothing_and_is_over_when_there_is_room(disk):
    path = disk.directory / "alloyd.db"
    migrate(path)
    database = await Database.open(path, ManualClock())
    await database.write(put("early"))
    await disk.fill(database)
    acknowledged, error = await write_until_full(database)
    acknowledged.add("early")
    assert error.code is Code.UNAVAILABLE
    assert error.message == "nothing was stored: the disk is full"
    assert error.retry_after_s
    assert database.failure == "the disk is full"
    assert await database.read(all_keys) == acknowledged
    with pytest.raises(AlloydError):
        await database.write(put("refused", 50_000))

    await disk.empty(database)
    await database.write(put("late", 50_000))
    assert database.failure is None
    assert await database.probe() is None
    await database.close()
    assert stored_in(path) - {"last_probe_at"} == acknowledged | {"late"}


async def test_nothing_of_a_group_is_stored_when_the_disk_is_full(disk):
    path = disk.directory / "alloyd.db"
    migrate(path)
    database = await Database.open(path, ManualClock())
    await disk.fill(database)
    futures = [database.submit(put("small", 10)), database.submit(put("large", 2 * DISK_BYTES))]
    for future in futures:
        with pytest.raises(AlloydError) as caught:
            await future
        assert caught.value.code is Code.UNAVAILABLE
    assert await database.read(all_keys) == set()
    await disk.empty(database)
    assert await database.write(put("small", 10)) == 1
    await database.close()


async def test_a_disk_that_fails_under_one_write_fails_the_whole_group(path):
    """Who knows what a failed call has left: nobody of the group may be told that it is stored."""
    database = await Database.open(path, ManualClock())

    def fails(_tx):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_READ, "SQLITE_IOERR_READ"
        raise error

    futures = [database.submit(fn) for fn in (put("before"), fails, put("after"))]
    for future in futures:
        with pytest.raises(AlloydError, match=r"nothing was stored: the disk failed \(SQLITE_IOERR_READ\)"):
            await future
    assert database.failure == "the disk failed (SQLITE_IOERR_READ)"
    assert await database.read(all_keys) == set()
    await database.write(put("later"))
    assert database.failure is None
    await database.close()


async def test_closing_on_a_full_disk_ends_and_keeps_what_was_acknowledged(disk):
    path = disk.directory / "alloyd.db"
    migrate(path)
    database = await Database.open(path, ManualClock(), DatabaseSettings(checkpoint_pages=1_000_000))
    await asyncio.gather(*(database.write(put(f"k{number}")) for number in range(300)))
    await disk.fill(database)
    await database.close()
    if isinstance(disk, SmallDisk):
        disk.filler.unlink()
    assert stored_in(path) == {f"k{number}" for number in range(300)}


async def test_a_directory_that_can_not_be_synced_is_refused(path, monkeypatch):
    def fail(_directory):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "_sync_directory", fail)
    with pytest.raises(AlloydError, match="can't be opened: the disk failed") as caught:
        await Database.open(path, ManualClock())
    assert caught.value.code is Code.UNAVAILABLE
    assert str(path) not in caught.value.message


async def test_what_is_no_database_is_not_opened(tmp_path):
    (tmp_path / "alloyd.db").write_bytes(b"nothing of the kind" * 1000)
    before = set(threading.enumerate())
    with pytest.raises(AlloydError, match="can't be opened: the database file is damaged"):
        await Database.open(tmp_path / "alloyd.db", ManualClock())
    assert not [thread for thread in set(threading.enumerate()) - before if "_connection_worker" in thread.name]


def test_a_migration_on_a_full_disk_is_refused_in_words(disk):
    if isinstance(disk, PageBound):
        pytest.skip("needs a disk of its own")
    asyncio.run(disk.fill(None))
    with pytest.raises(AlloydError, match="the disk is full"):
        migrate(disk.directory / "alloyd.db")


# -- faults of single calls, injected into a child process ----------------------------------------------------------

WRITER = """
import asyncio, os, sys
from pathlib import Path
from alloyd.db import Database, DatabaseSettings
from alloyd.errors import AlloydError
from alloyd.kit.clock import Clock

async def main():
    database = await Database.open(Path(sys.argv[1]), Clock(), DatabaseSettings(readers=1, checkpoint_pages=5))
    ledger = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    refused = 0
    for number in range(40):
        key = f"k{number}"
        try:
            await database.write(
                lambda tx, key=key: tx.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, "v" * 3000))
            )
        except AlloydError as error:
            refused += 1
            assert error.message.startswith("nothing was stored: the disk"), error.message
            assert database.failure
        else:
            os.write(ledger, f"{key}\\n".encode())
    await database.write(lambda tx: tx.execute("SELECT 1").fetchone())  # writes nothing, so it says nothing of the disk
    print("refused", refused, "failure", database.failure)
    await database.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def strace():
    found = shutil.which("strace")
    if not found or subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True).returncode:
        pytest.skip("strace is missing, or may not trace here")
    return found


def write_under(strace, path, ledger, injection):
    files = ["-P", str(path), "-P", f"{path}-wal"]
    command = [
        strace,
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        *files,
        "-e",
        f"inject={injection}",
        sys.executable,
        "-c",
        WRITER,
    ]
    return subprocess.run([*command, str(path), str(ledger)], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("nth", [1, 2])
def test_a_failed_fsync_while_opening_is_refused_in_words(strace, path, tmp_path, nth):
    ended = write_under(strace, path, tmp_path / "ledger", f"fsync,fdatasync:error=EIO:when={nth}")
    assert ended.returncode == 1
    assert "the database can't be opened: the disk failed (SQLITE_IOERR_FSYNC)" in ended.stderr
    assert stored_in(path) == set()


# The first two are of opening the file.
@pytest.mark.parametrize("nth", [3, 4, 5, 6, 8, 21])
def test_a_failed_fsync_ends_the_process_at_once(strace, path, tmp_path, nth):
    ledger = tmp_path / "ledger"
    ended = write_under(strace, path, ledger, f"fsync,fdatasync:error=EIO:when={nth}")
    assert ended.returncode == FATAL_EXIT_STATUS, ended.stderr
    assert "alloyd: fatal: the disk failed (SQLITE_IOERR_FSYNC)" in ended.stderr
    assert "refused" not in ended.stdout
    acknowledged = set(ledger.read_text().split())
    stored = stored_in(path)
    assert acknowledged <= stored
    assert len(stored - acknowledged) <= 1  # the one that was under way may be there or not
    assert len(acknowledged) < 40


@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("nth", [6, 9, 12, 31, 60, 85])
def test_a_failed_write_is_refused_and_the_next_ones_go_on(strace, path, tmp_path, fault, nth):
    ledger = tmp_path / "ledger"
    ended = write_under(strace, path, ledger, f"pwrite64:error={fault}:when={nth}")
    assert ended.returncode == 0, ended.stderr
    acknowledged = set(ledger.read_text().split())
    assert stored_in(path) == acknowledged
    assert len(acknowledged) >= 39
    assert ended.stdout == f"refused {40 - len(acknowledged)} failure None\n"


def test_a_disk_that_stays_failed_acknowledges_nothing(strace, path, tmp_path):
    ledger = tmp_path / "ledger"
    ended = write_under(strace, path, ledger, "pwrite64:error=EIO:when=30+")
    assert ended.returncode == 0, ended.stderr
    acknowledged = set(ledger.read_text().split())
    assert stored_in(path) == acknowledged
    assert 0 < len(acknowledged) < 40
    assert ended.stdout.startswith(f"refused {40 - len(acknowledged)} failure the disk failed")
