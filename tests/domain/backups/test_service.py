"""Making backups: what is in them, while others write, and when it can't be."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tarfile
import threading

import msgspec
import pytest

from alloyd.db import snapshot
from alloyd.domain.backups import creation, store
from alloyd.domain.backups.model import Member, Places
from alloyd.domain.backups.service import BackupService
from alloyd.errors import AlloydError, Code
from tests.storage import ONE, TWO, open_backend


def members_of(path):
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


async def blob_ids(backend):
    return set(await backend.database.read(lambda conn: [row[0] for row in store.list_blobs(conn)]))


async def test_an_archive_is_a_tar_of_database_contents_and_keys(backend, backups, tmp_path):
    path = tmp_path / "backup.tar"
    report = await backups.create(path)
    members = members_of(path)
    kept = await blob_ids(backend)
    contents = {f"blobs/{blob_id[:2]}/{blob_id}" for blob_id in kept}
    assert list(members) == ["alloyd.db", *sorted(contents), "keys/master.key", "members.jsonl", "manifest.json"]
    assert members["keys/master.key"] == b"K" * 32
    listed = [msgspec.json.decode(line, type=Member) for line in members["members.jsonl"].splitlines()]
    for member in listed:
        assert (member.size, member.sha256) == (
            len(members[member.name]),
            hashlib.sha256(members[member.name]).hexdigest(),
        )
    assert [member.name for member in listed] == list(members)[:-2]
    manifest = msgspec.json.decode(members["manifest.json"])
    assert manifest["alloyd_version"] == "1.2.3"
    assert manifest["created_at"] == backend.clock.now_ms()
    assert (manifest["members"], manifest["files"], manifest["keys"]) == (len(kept) + 2, len(kept), 1)
    assert manifest["damaged"] == []
    whole = path.read_bytes()
    assert (report.size, report.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["backup.tar", "data"]
    assert backend.files_in_tmp() == []
    assert await backups.find_last() == backend.clock.now_ms()


async def test_nothing_is_remembered_before_the_first_backup(backups):
    assert await backups.find_last() is None
    assert await backups.clean_up() is False


async def test_without_keys(tmp_path):
    async with open_backend(tmp_path) as backend:
        places = Places.below(tmp_path)
        backups = BackupService(backend.database, places, backend.clock, backend.sweeper.hold, lambda: 0, "1")
        (tmp_path / "backups").mkdir()
        report = await backups.create(tmp_path / "backups" / "b.tar")
        assert (report.manifest.keys, report.manifest.files, report.manifest.members) == (0, 0, 1)
        await backups.verify(report.path)


async def test_a_backup_is_of_one_moment_while_everything_goes_on(backend, backups, tmp_path, monkeypatch):
    """Between any two steps of the copy others write, delete, and the sweeper would remove contents."""
    monkeypatch.setattr(snapshot, "COPY_STEP_PAGES", 5)
    loop = asyncio.get_running_loop()
    steps = []
    copy = creation.copy_database

    async def meddle(number):
        if number == 0:
            await backend.storage.delete(ONE, "/a.txt")
            await backend.put("/folder/b.bin", b"replaced")
            await backend.sweeper.sweep()
        await backend.put(f"/new{number}", b"n" * 5000)

    def copy_slowly(source, target, free_bytes_min, keep_going):
        def step():
            keep_going()
            asyncio.run_coroutine_threadsafe(meddle(len(steps)), loop).result(30)
            steps.append(1)

        return copy(source, target, free_bytes_min, step)

    monkeypatch.setattr(creation, "copy_database", copy_slowly)
    before = await blob_ids(backend)
    report = await backups.create(tmp_path / "b.tar")
    # It did not start over: a copy of some 50 pages in steps of 5.
    assert 3 < len(steps) < 40
    in_archive = {name.rpartition("/")[2] for name in members_of(report.path) if name.startswith("blobs/")}
    assert in_archive == before
    assert (await backups.verify(report.path)).files == len(before)
    assert await backend.get("/folder/b.bin") == b"replaced"
    await backend.sweeper.sweep()  # now it may
    assert set(backend.files_on_disk()) == await blob_ids(backend)


async def test_one_at_a_time(backend, backups, tmp_path, monkeypatch):
    began, go_on = threading.Event(), threading.Event()
    copy = creation.copy_database

    def wait(*arguments):
        began.set()
        assert go_on.wait(30)
        return copy(*arguments)

    monkeypatch.setattr(creation, "copy_database", wait)
    first = asyncio.create_task(backups.create(tmp_path / "1.tar"))
    assert await asyncio.to_thread(began.wait, 30)
    with pytest.raises(AlloydError, match="a backup is being made") as caught:
        await backups.create(tmp_path / "2.tar")
    assert caught.value.code is Code.CONFLICT
    go_on.set()
    assert (await first).path.exists()
    await backups.create(tmp_path / "2.tar")


async def test_a_cancelled_caller_stops_it_and_leaves_nothing(backend, backups, tmp_path, monkeypatch):
    began, go_on = threading.Event(), threading.Event()
    copy = creation.copy_database

    def wait(*arguments):
        size = copy(*arguments)
        began.set()
        assert go_on.wait(30)
        return size

    monkeypatch.setattr(creation, "copy_database", wait)
    caller = asyncio.create_task(backups.create(tmp_path / "b.tar"))
    assert await asyncio.to_thread(began.wait, 30)
    caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()  # contents must not be removed while the thread may still read them
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]
    assert backend.files_in_tmp() == []
    assert await backups.find_last() is None
    await backups.create(tmp_path / "b.tar")


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("relative.tar", Code.BAD_REQUEST, "absolute"),
        ("{tmp}/no/such/folder/b.tar", Code.BAD_REQUEST, "not there"),
        ("{tmp}/data/../b.tar", Code.BAD_REQUEST, "not a path"),
        ("{tmp}/b\0.tar", Code.BAD_REQUEST, "not a path"),
        ("/", Code.BAD_REQUEST, "not a path"),
        ("{tmp}/" + "x" * 4096, Code.BAD_REQUEST, "not a path"),
        ("{tmp}/data/b.tar", Code.BAD_REQUEST, "only its folder backups"),
        ("{tmp}/data/blobs/b.tar", Code.BAD_REQUEST, "only its folder backups"),
        ("{tmp}/link/b.tar", Code.BAD_REQUEST, "only its folder backups"),
        ("{tmp}/there.tar", Code.CONFLICT, "there already"),
        ("{tmp}/dangling.tar", Code.CONFLICT, "there already"),
        ("{tmp}/half.tar", Code.CONFLICT, "half.tar.partial is there"),
    ],
)
async def test_where_no_backup_can_be(backend, backups, tmp_path, path, code, says):
    (tmp_path / "there.tar").write_text("precious")
    (tmp_path / "half.tar.partial").write_text("precious")
    (tmp_path / "dangling.tar").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link").symlink_to(backend.data_dir / "tmp")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(AlloydError, match=says) as caught:
        await backups.create(type(tmp_path)(path.format(tmp=tmp_path)))
    assert (caught.value.code, caught.value.field) == (code, "path")
    assert str(tmp_path) not in caught.value.message
    assert [entry for entry in sorted(tmp_path.rglob("*")) if "alloyd.db" not in entry.name] == [
        entry for entry in before if "alloyd.db" not in entry.name
    ]
    assert (tmp_path / "there.tar").read_text() == (tmp_path / "half.tar.partial").read_text() == "precious"


@pytest.mark.parametrize("spared", [1 << 60, "between"])
async def test_a_disk_that_is_too_small_is_told_before(backend, tmp_path, spared, monkeypatch):
    if spared == "between":  # room for the copy of the database, none for the archive
        usage = snapshot.shutil.disk_usage(tmp_path)
        size = backend.database.path.stat().st_size
        monkeypatch.setattr(snapshot.shutil, "disk_usage", lambda _path: usage._replace(free=size + 300_000))
        spared = 0
    backups = BackupService(
        backend.database, Places.below(backend.data_dir), backend.clock, backend.sweeper.hold, lambda: spared, "1"
    )
    with pytest.raises(AlloydError, match=r"too little disk space: \d+ bytes are needed, \d+ are free") as caught:
        await backups.create(tmp_path / "b.tar")
    assert caught.value.code is Code.UNAVAILABLE
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]
    assert backend.files_in_tmp() == []


async def test_a_disk_that_fills_up_leaves_nothing(backend, backups, tmp_path, monkeypatch):
    def full(_self, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(creation.ArchiveWriter, "_write", full)
    with pytest.raises(AlloydError, match="the backup was not made: the disk is full") as caught:
        await backups.create(tmp_path / "b.tar")
    assert caught.value.code is Code.UNAVAILABLE
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]
    assert await backups.find_last() is None


async def test_damaged_contents_do_not_keep_the_rest_from_being_saved(backend, backups, tmp_path):
    ids = sorted(await blob_ids(backend))
    paths = [path for path in map(backend.blobs.path_of, ids) if path.stat().st_size]
    missing, altered, cut = paths[:3]
    missing.unlink()
    altered.write_bytes(b"#" * altered.stat().st_size)
    cut.write_bytes(cut.read_bytes() + b"more")
    expected = [path.name for path in (missing, altered, cut)]
    report = await backups.create(tmp_path / "b.tar")
    assert report.manifest.damaged == expected
    assert report.manifest.files == len(ids) - 2  # what is there, but altered, is kept as it is
    assert (await backups.verify(report.path)).damaged == expected


async def test_too_many_damaged_contents_are_refused(backend, backups, tmp_path, monkeypatch):
    monkeypatch.setattr(creation, "DAMAGED_MAX", 1)
    for blob_id in await blob_ids(backend):
        backend.blobs.path_of(blob_id).unlink()
    with pytest.raises(AlloydError, match="more than 1 stored files are missing"):
        await backups.create(tmp_path / "b.tar")
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("intruder", ["folder", "link", "name"])
async def test_what_is_no_key_among_the_keys_is_told(backend, backups, tmp_path, intruder):
    keys = backend.data_dir / "keys"
    if intruder == "folder":
        (keys / "sub").mkdir()
    elif intruder == "link":
        (keys / "link").symlink_to("/etc/hostname")
    else:
        (keys / "a name").write_text("x")
    with pytest.raises(AlloydError, match="no key file") as caught:
        await backups.create(tmp_path / "b.tar")
    assert caught.value.code is Code.CONFLICT


async def test_what_a_crash_cut_off_is_removed_at_the_next_start(backend, backups, tmp_path):
    partial = tmp_path / "b.tar.partial"
    partial.write_bytes(b"half")
    await backend.database.write(lambda tx: store.set_note(tx, store.PARTIAL_BACKUP, str(partial)))
    assert await backups.clean_up() is True
    assert not partial.exists()
    assert await backups.clean_up() is False


@pytest.mark.parametrize("kind", ["gone", "other name", "link", "folder"])
async def test_what_is_not_ours_is_not_removed(backend, backups, tmp_path, kind):
    path = tmp_path / ("precious.txt" if kind == "other name" else "b.tar.partial")
    (tmp_path / "precious").write_text("x")
    if kind == "other name":
        path.write_text("x")
    elif kind == "link":
        path.symlink_to(tmp_path / "precious")
    elif kind == "folder":
        path.mkdir()
    await backend.database.write(lambda tx: store.set_note(tx, store.PARTIAL_BACKUP, str(path)))
    assert await backups.clean_up() is False
    assert kind == "gone" or os.path.lexists(path)
    assert (tmp_path / "precious").exists()


async def test_backup_and_rows_of_another_organization(backend, backups, archive):
    assert await backend.get("/other", TWO) == b"of another organization"
    assert b"of another organization" in members_of(archive).values()
