"""The data directory: its layout, its permissions, and the lock that makes one process its owner."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from alloyd.errors import AlloydError, Code, conflict

PRIVATE_MODE: Final = 0o700
LOCK_MODE: Final = 0o600

# Who only looks whether a daemon runs holds the lock for an instant; so who wants it tries more than once.
LOCK_TRIES: Final = 5
LOCK_PAUSE_S: Final = 0.02

_OWNER: Final = re.compile(r"(\d{1,10}) ([a-z]{1,20})\n?\Z")
_OWNER_BYTES_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class LockOwner:
    """Who holds the lock: ``purpose`` as given to :meth:`DataDir.lock`; ``pid`` is None while it is not written yet."""

    pid: int | None
    purpose: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.purpose})" if self.pid else "another process"


class DataDir:
    """The directory at ``path``, and where things are in it. Making one touches nothing."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.root: Final = Path(path).absolute()
        self.database: Final = self.root / "alloyd.db"
        self.blobs: Final = self.root / "blobs"
        self.tmp: Final = self.root / "tmp"
        self.keys: Final = self.root / "keys"
        self.backups: Final = self.root / "backups"
        self.socket: Final = self.root / "alloyd.sock"
        self.lock_file: Final = self.root / "alloyd.lock"
        self._lock_fd: int | None = None

    def prepare(self) -> list[str]:
        """Makes what is missing, each folder for its owner only; gives advice on what is there but not well.

        Raises AlloydError(CONFLICT) when anybody may write to the directory, and AlloydError(UNAVAILABLE) when it
        cannot be made or used; ``log`` of the error has the path.
        """
        _make_folder(self.root, parents=True)
        mode = stat.S_IMODE(self.root.stat().st_mode)
        if mode & stat.S_IWOTH:
            raise AlloydError(
                Code.CONFLICT,
                "anybody on this machine may write to the data directory; make it its owner's alone (chmod 700)",
                log=f"{self.root} has mode {mode:o}",
            )
        for folder in (self.blobs, self.tmp, self.keys, self.backups):
            _make_folder(folder)
        _make_private(self.keys)
        return self._advice(mode)

    def lock(self, purpose: str) -> None:
        """Makes this process the owner until :meth:`release` or its end, however it ends.

        ``purpose`` (lower-case letters, such as ``serve``) is told to whoever else wants the lock. Raises
        AlloydError(CONFLICT) that names the present owner, or AlloydError(UNAVAILABLE) where locking fails.
        """
        if self._lock_fd is not None:
            raise conflict("this process holds the data directory already")
        fd = self._open_lock(os.O_RDWR | os.O_CREAT)
        try:
            if not _take(fd, fcntl.LOCK_EX, LOCK_TRIES):
                raise conflict(f"the data directory is in use by {_read_owner(fd)}")
            if not os.path.samestat(os.fstat(fd), self.lock_file.stat()):
                raise conflict("the data directory was replaced by another one just now; try again")
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()} {purpose}\n".encode(), 0)
        except BaseException as error:
            os.close(fd)
            if isinstance(error, OSError):
                raise _unusable("the data directory cannot be locked", self.lock_file, error) from error
            raise
        self._lock_fd = fd

    def release(self) -> None:
        """Gives the lock up; nothing happens when it is not held. The file stays: deleting it would let two in."""
        if self._lock_fd is not None:
            fd, self._lock_fd = self._lock_fd, None
            os.ftruncate(fd, 0)
            os.close(fd)

    @property
    def locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock_fd is not None

    def find_daemon(self) -> LockOwner | None:
        """Who holds the lock now, or None. Raises AlloydError(UNAVAILABLE) where that can't be found out."""
        try:
            fd = self._open_lock(os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return None if _take(fd, fcntl.LOCK_SH, 1) else _read_owner(fd)
        except OSError as error:
            raise _unusable("the lock of the data directory cannot be read", self.lock_file, error) from error
        finally:
            os.close(fd)

    def clean_tmp(self) -> int:
        """Deletes what a process that ended left in ``tmp/``; gives how many entries. The lock must be held."""
        if not self.locked:
            raise AlloydError(Code.INTERNAL, "only the owner of the data directory may clean it")
        entries = list(self.tmp.iterdir())
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        return len(entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _open_lock(self, flags: int) -> int:
        """Raises FileNotFoundError only when nothing is to be created."""
        try:
            return os.open(self.lock_file, flags | os.O_CLOEXEC | os.O_NOFOLLOW, LOCK_MODE)
        except FileNotFoundError as error:
            if not flags & os.O_CREAT:
                raise
            raise _unusable("the data directory does not exist", self.root, error) from error
        except OSError as error:
            raise _unusable("the lock of the data directory cannot be opened", self.lock_file, error) from error

    def _advice(self, mode: int) -> list[str]:
        advice = []
        if mode & ~PRIVATE_MODE:
            advice.append(f"others on this machine may look into the data directory (mode {mode:o}); chmod 700 it")
        if self.root.stat().st_uid != os.geteuid():
            advice.append("the data directory belongs to another user than the one that alloyd runs as")
        return advice


def fsync_dir(path: str | os.PathLike[str]) -> None:
    """Makes durable which names are in the directory at ``path``. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_folder(path: Path, *, parents: bool = False) -> None:
    try:
        path.mkdir(mode=PRIVATE_MODE, parents=parents, exist_ok=True)
    except OSError as error:
        raise _unusable(f"{'the data directory' if parents else path.name} cannot be made", path, error) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        raise _unusable(f"{'the data directory' if parents else path.name} cannot be written to", path, denied)


def _make_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~PRIVATE_MODE:
        try:
            path.chmod(PRIVATE_MODE)
        except OSError as error:
            raise _unusable(f"{path.name} is open to others and cannot be closed", path, error) from error


def _take(fd: int, kind: int, tries: int) -> bool:
    """Whether the lock of ``kind`` was to be had, after waiting LOCK_PAUSE_S between ``tries``. Raises OSError."""
    for remaining in reversed(range(tries)):
        with suppress(BlockingIOError):
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return True
        if remaining:
            time.sleep(LOCK_PAUSE_S)
    return False


def _read_owner(fd: int) -> LockOwner:
    match = _OWNER.match(os.pread(fd, _OWNER_BYTES_MAX, 0).decode(errors="replace"))
    return LockOwner(int(match[1]), match[2]) if match else LockOwner(None, "unknown")


def _unusable(message: str, path: Path, error: OSError) -> AlloydError:
    reason = error.strerror or type(error).__name__
    return AlloydError(Code.UNAVAILABLE, f"{message}: {reason.lower()}", log=f"{path}: {reason}")
