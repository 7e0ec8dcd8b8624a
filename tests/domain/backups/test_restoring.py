"""Restoring: whole or not at all, and the directory that was there before is never lost."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys

import pytest

from alloyd.domain.backups import restoring as module
from alloyd.domain.backups.restoring import (
    recover_cut_off_switch,
    remove_restore_leftovers,
    restore_new,
    restore_over,
)
from alloyd.errors import AlloydError, Code
from alloyd.kit import crash
from alloyd.process.datadir import DataDir
from tests.domain.backups.conftest import CONTENTS
from tests.domain.backups.forging import forge, read_parts
from tests.storage import TWO, open_backend

NOW_MS = 1_767_225_600_000
BEFORE = "data.before-restore-20260101T000000Z"


@pytest.fixture
def kept(archive, tmp_path):
    """The archive with nothing else beside it, in a folder of its own."""
    return archive.rename(tmp_path / "kept.tar")


@pytest.fixture
def place(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    return place


def present(place, files=("alloyd.db", "keys/old.key", "blobs/aa/x")):
    """A data directory with something in it."""
    root = place / "data"
    data_dir = DataDir(root)
    data_dir.prepare()
    for name in files:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("old")
    return root


def tree(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def is_whole(root):
    """Everything that was in the backup can be read out of ``root``."""
    async with open_backend(root) as backend:
        for path, content in CONTENTS.items():
            assert await backend.get(path) == content
        assert await backend.get("/other", TWO) == b"of another organization"
        with pytest.raises(AlloydError):
            await backend.get("/trashed")
    assert (root / "keys" / "master.key").read_bytes() == b"K" * 32
    return True


@pytest.mark.parametrize("there", [False, True])
async def test_into_a_new_or_empty_directory(kept, place, there):
    target = place / "new"
    if there:
        target.mkdir()
    manifest = restore_new(kept, target)
    assert manifest.keys == 1
    assert [entry.name for entry in place.iterdir()] == ["new"]
    for path in [target, *target.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert {path.name for path in target.iterdir()} == {"alloyd.db", "blobs", "keys", "tmp", "backups"}
    assert await is_whole(target)


@pytest.mark.parametrize("kind", ["full", "file", "link"])
def test_into_nothing_else(kept, place, kind):
    target = place / "new"
    if kind == "full":
        target.mkdir()
        (target / "precious").write_text("x")
    elif kind == "file":
        target.write_text("x")
    else:
        (place / "elsewhere").mkdir()
        target.symlink_to(place / "elsewhere")
    before = sorted(place.rglob("*"))
    with pytest.raises(AlloydError, match="not empty") as caught:
        restore_new(kept, target)
    assert caught.value.code is Code.CONFLICT
    assert sorted(place.rglob("*")) == before


async def test_over_a_data_directory(kept, place):
    root = present(place)
    before = tree(root)
    restored = restore_over(kept, root, NOW_MS)
    assert restored.previous == place / BEFORE
    assert tree(place / BEFORE) == before
    assert sorted(entry.name for entry in place.iterdir()) == ["data", BEFORE]
    assert await is_whole(root)


async def test_over_a_directory_that_holds_nothing(kept, place):
    root = present(place, ("alloyd.lock",))
    assert restore_over(kept, root, NOW_MS).previous is None
    assert [entry.name for entry in place.iterdir()] == ["data"]
    assert await is_whole(root)


async def test_over_a_directory_behind_a_link(kept, place):
    root = present(place)
    (place / "link").symlink_to(root)
    restore_over(kept, place / "link", NOW_MS)
    assert (place / "link").is_symlink()
    assert await is_whole(place / "link")


async def test_where_two_names_can_not_be_exchanged(kept, place, monkeypatch):
    def refuse(_one, _other):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(module, "_exchange", refuse)
    root = present(place)
    before = tree(root)
    assert restore_over(kept, root, NOW_MS).previous == place / BEFORE
    assert tree(place / BEFORE) == before
    assert await is_whole(root)


@pytest.mark.parametrize("fails", ["exchange", "second rename"])
async def test_a_switch_that_fails_leaves_the_old_state(kept, place, monkeypatch, fails):
    root = present(place)
    before = tree(root)

    def exchange(_one, _other):
        raise OSError(errno.EIO if fails == "exchange" else errno.ENOSYS, "no")

    rename = type(root).rename

    def refuse_last(path, target):
        if fails == "second rename" and target == root and "restoring" in path.name:
            raise OSError(errno.EIO, "no")
        return rename(path, target)

    monkeypatch.setattr(module, "_exchange", exchange)
    monkeypatch.setattr(type(root), "rename", refuse_last)
    with pytest.raises(AlloydError, match="nothing was restored") as caught:
        restore_over(kept, root, NOW_MS)
    assert caught.value.code is Code.UNAVAILABLE
    assert tree(root) == before
    assert [entry.name for entry in place.iterdir()] == ["data"]


def test_a_damaged_backup_changes_nothing(kept, place):
    parts = read_parts(kept)
    name = next(name for name, content in parts.items() if name.startswith("blobs/") and content)
    parts[name] = b"?" * len(parts[name])
    forge(kept, parts, keep_listing=True)
    root = present(place)
    before = tree(root)
    for restore in (lambda: restore_over(kept, root, NOW_MS), lambda: restore_new(kept, place / "new")):
        with pytest.raises(AlloydError, match="is not what was written"):
            restore()
    assert tree(root) == before
    assert [entry.name for entry in place.iterdir()] == ["data"]


def test_what_can_not_be_restored_over(kept, place, tmp_path):
    root = present(place)
    (place / BEFORE).mkdir()
    with pytest.raises(AlloydError, match="is there already"):
        restore_over(kept, root, NOW_MS)
    with pytest.raises(AlloydError) as caught:
        restore_over(kept, place / "nothing", NOW_MS)
    assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(AlloydError) as caught:
        restore_over(tmp_path / "no.tar", root, NOW_MS + 60_000)
    assert caught.value.code is Code.NOT_FOUND
    with pytest.raises(AlloydError, match="mount point"):
        restore_over(kept, type(place)("/"), NOW_MS)


def test_a_disk_that_is_too_small_is_told_before(kept, place, monkeypatch):
    usage = shutil.disk_usage(place)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    root = present(place)
    with pytest.raises(AlloydError, match="too little disk space"):
        restore_over(kept, root, NOW_MS)
    assert [entry.name for entry in place.iterdir()] == ["data"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_get_the_owner_of_the_directory(kept, place):
    root = present(place)
    os.chown(root, 4321, 4321)
    restore_over(kept, root, NOW_MS)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in [root, *root.rglob("*")]} == {(4321, 4321)}


def test_who_waits_for_the_lock_of_the_old_directory_does_not_get_in(place, monkeypatch):
    root = present(place)
    data_dir = DataDir(root)
    opened = data_dir._open_lock

    def replaced_meanwhile(flags):
        fd = opened(flags)
        root.rename(place / "moved")
        present(place)
        return fd

    (root / "alloyd.lock").touch()
    monkeypatch.setattr(data_dir, "_open_lock", replaced_meanwhile)
    with pytest.raises(AlloydError):
        data_dir.lock("serve")
    assert not data_dir.locked


# -- crashes ----------------------------------------------------------------------------------------------------------

RESTORE = """
import sys
from pathlib import Path
from alloyd.domain.backups import restoring

if sys.argv[3] == "renames":
    def refuse(one, other):
        raise OSError(22, "Invalid argument")
    restoring._exchange = refuse
if len(sys.argv) > 4:
    import os
    rename = Path.rename
    def dying(path, target):
        rename(path, target)
        if path.name == "data":
            os._exit(137)
    Path.rename = dying
restoring.restore_over(Path(sys.argv[1]), Path(sys.argv[2]), 1767225600000)
"""


def crash_at(point, *arguments):
    environment = {**os.environ, "ALLOYD_CRASH_AT": point}
    ended = subprocess.run([sys.executable, "-c", RESTORE, *map(str, arguments)], env=environment, timeout=60)
    assert ended.returncode == crash.EXIT_STATUS


@pytest.mark.parametrize("way", ["exchange", "renames"])
@pytest.mark.parametrize("point", ["restore.unpacked", "restore.before_switch"])
async def test_a_crash_before_the_switch_leaves_the_old_state(kept, place, point, way):
    root = present(place)
    before = tree(root)
    crash_at(point, kept, root, way)
    assert recover_cut_off_switch(root) is False
    assert tree(root) == before
    assert remove_restore_leftovers(root) == 1
    assert [entry.name for entry in place.iterdir()] == ["data"]
    restore_over(kept, root, NOW_MS)
    assert await is_whole(root)


async def test_a_crash_between_the_two_renames_is_mended_at_the_next_start(kept, place):
    root = present(place)
    before = tree(root)
    crash_at("", kept, root, "renames", "die after the first")
    assert not root.exists()
    assert recover_cut_off_switch(root) is True
    assert tree(root) == before
    assert recover_cut_off_switch(root) is False
    assert remove_restore_leftovers(root) == 1
    assert [entry.name for entry in place.iterdir()] == ["data"]


async def test_a_crash_after_the_switch_leaves_the_new_state_and_the_old_one_beside(kept, place):
    root = present(place)
    before = tree(root)
    crash_at("restore.after_switch", kept, root, "exchange")
    assert recover_cut_off_switch(root) is False
    assert remove_restore_leftovers(root) == 0
    assert tree(place / BEFORE) == before
    assert await is_whole(root)


def test_nothing_of_others_is_taken_for_a_leftover(place):
    root = present(place)
    for name in ("data.restoring-", "data.restoring-zzzzzzzz", "other.restoring-00000000", "data.restoring-000000000"):
        (place / name).mkdir()
    assert remove_restore_leftovers(root) == 0
    assert recover_cut_off_switch(place / "missing") is False
    assert recover_cut_off_switch(place / "no" / "parent") is False
