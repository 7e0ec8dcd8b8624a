"""Makes a data directory out of an archive: beside its place, checked, then put there in one step. It blocks."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from alloyd.db.snapshot import KeepGoing, check_space, go_on
from alloyd.domain.backups.checking import read_archive
from alloyd.domain.backups.creation import disk_fault, sync_directory
from alloyd.domain.backups.model import DATABASE, Manifest
from alloyd.errors import conflict, not_found
from alloyd.kit import crash
from alloyd.kit.clock import rfc3339

_FOLDERS = ("blobs", "tmp", "keys", "backups")
# Of a directory that holds nothing of anybody.
_NO_CONTENT = frozenset({"alloyd.lock", "alloyd.sock"})

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored; ``previous`` is where the directory that was there before is now, None if it held nothing."""

    manifest: Manifest
    previous: Path | None


def restore_new(archive: Path, target: Path, keep_going: KeepGoing = go_on) -> Manifest:
    """Make the data directory ``target``, which is not there or empty, out of ``archive``.

    It appears whole and checked, or not at all. Raises ``conflict`` when ``target`` has something in it or the backup
    is of a newer program, ``not_found``, ``unprocessable`` when the backup is damaged, ``unavailable`` for the disk.
    """
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise conflict("the directory to restore into is not empty", "target")
    with _restored_beside(archive, target, None, keep_going) as (fresh, manifest):
        fresh.rename(target)  # takes the place of an empty directory, and of nothing else
    sync_directory(target.parent)
    return manifest


def restore_over(archive: Path, root: Path, now_ms: int, keep_going: KeepGoing = go_on) -> Restored:
    """Put what ``archive`` holds in the place of the data directory ``root``, whose lock the caller has.

    The present directory becomes ``<root>.before-restore-<time>``; until the very switch it is not touched. Files get
    its owner. Raises as :func:`restore_new`, and ``conflict`` for a directory that can't be renamed: a mount point.
    """
    root = root.resolve()
    if os.path.ismount(root):
        message = "the data directory is a mount point and can't be switched: restore into a new directory and use that"
        raise conflict(message, "data.dir")
    if not root.is_dir():
        raise not_found("the data directory")
    time = re.sub(r"[-:]|\.\d+", "", rfc3339(now_ms))
    before = root.with_name(f"{root.name}.before-restore-{time}")
    if before.exists():
        raise conflict(f"{before.name} is there already", "data.dir")
    empty = _is_empty(root)
    with _restored_beside(archive, root, root.stat(), keep_going) as (fresh, manifest):
        crash.reach("restore.before_switch")
        _switch(root, fresh, before)
        crash.reach("restore.after_switch")
    sync_directory(root.parent)
    if empty:
        shutil.rmtree(before, ignore_errors=True)
    return Restored(manifest, None if empty else before)


def recover_cut_off_switch(root: Path) -> bool:
    """Bring the data directory ``root`` back if a restore ended with a crash when it was just taken away.

    To be called before a data directory is made; whether there was anything to do. Raises OSError.
    """
    root = root.resolve()
    if root.exists() or not root.parent.is_dir() or not _leftovers(root):
        return False
    pattern = re.compile(re.escape(root.name) + r"\.before-restore-\w+\Z")
    earlier = sorted(path for path in root.parent.iterdir() if pattern.match(path.name))
    if not earlier:
        return False
    earlier[-1].rename(root)
    sync_directory(root.parent)
    return True


def remove_restore_leftovers(root: Path) -> int:
    """Remove what restores left beside the data directory ``root`` when they were cut off; how many directories.

    The caller has the directory's lock, so no restore is at work.
    """
    leftovers = _leftovers(root.resolve())
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)


def _leftovers(root: Path) -> list[Path]:
    pattern = re.compile(re.escape(root.name) + r"\.restoring-[0-9a-f]{8}\Z")
    return [path for path in root.parent.iterdir() if pattern.match(path.name)]


@contextmanager
def _restored_beside(
    archive: Path, target: Path, owner: os.stat_result | None, keep_going: KeepGoing
) -> Iterator[tuple[Path, Manifest]]:
    """A whole, checked directory beside ``target``; removed in the end, unless it was renamed."""
    target = target.absolute()
    fresh = target.with_name(f"{target.name}.restoring-{secrets.token_hex(4)}")
    try:
        if archive.is_file():
            check_space(target.parent, archive.stat().st_size, 0)
        fresh.mkdir(mode=0o700)
        manifest = _unpack(archive, fresh, owner if os.geteuid() == 0 else None, keep_going)
        crash.reach("restore.unpacked")
        yield fresh, manifest
    except OSError as error:
        raise disk_fault("nothing was restored", error) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(fresh)


def _unpack(archive: Path, fresh: Path, owner: os.stat_result | None, keep_going: KeepGoing) -> Manifest:
    folders = [fresh, *(fresh / name for name in _FOLDERS)]
    for folder in folders[1:]:
        folder.mkdir(mode=0o700)

    def keep(name: str) -> BinaryIO:
        path = fresh / name  # one of the names that model.place_in_order knows: none leads out of here
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700)
            folders.append(path.parent)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if owner is not None:
            os.fchown(fd, owner.st_uid, owner.st_gid)
        return os.fdopen(fd, "wb")

    manifest = read_archive(archive, fresh / DATABASE, keep, keep_going)
    for folder in reversed(folders):
        if owner is not None:
            os.chown(folder, owner.st_uid, owner.st_gid)
        sync_directory(folder)
    return manifest


def _is_empty(root: Path) -> bool:
    return not any(path.name not in _NO_CONTENT for path in root.rglob("*") if not path.is_dir())


def _switch(root: Path, fresh: Path, before: Path) -> None:
    """``root`` becomes ``before``, and ``fresh`` becomes ``root``: in one step where the file system can do that."""
    fresh.rename(before)  # under this name already when it holds the old state: no name but root ever lies for long
    try:
        _exchange(root, before)
    except OSError as error:
        before.rename(fresh)
        if error.errno not in _NO_EXCHANGE:
            raise
        root.rename(before)
        try:
            fresh.rename(root)
        except OSError:
            before.rename(root)
            raise


def _exchange(one: Path, other: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    renameat2 = getattr(library, "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
