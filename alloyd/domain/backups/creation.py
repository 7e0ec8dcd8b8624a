"""Makes an archive out of a data directory that is in use. It blocks: run it in a thread."""

from __future__ import annotations

import errno
import io
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from alloyd.db.snapshot import KeepGoing, check_space, copy_database, go_on, open_copy, read_schema_version
from alloyd.domain.backups import store
from alloyd.domain.backups.archive import CHUNK_BYTES, ArchiveWriter, Source, archive_bytes
from alloyd.domain.backups.model import (
    DAMAGED_MAX,
    DATABASE,
    FORMAT_VERSION,
    MANIFEST,
    MEMBERS,
    BackupReport,
    Manifest,
    Member,
    Places,
    blob_name,
    key_name,
    seal,
)
from alloyd.errors import AlloydError, Code, conflict
from alloyd.kit import crash

PARTIAL_SUFFIX = ".partial"
# What a line of members.jsonl takes at most.
_LINE_BYTES_MAX = 256
_READ_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Origin:
    """What a manifest says of where and when: ``created_at`` in ms since the epoch."""

    alloyd_version: str
    created_at: int


def partial_path(path: Path) -> Path:
    """Where the archive grows until it is whole."""
    return path.with_name(path.name + PARTIAL_SUFFIX)


def make_archive(
    places: Places, path: Path, origin: Origin, free_bytes_min: int = 0, keep_going: KeepGoing = go_on
) -> BackupReport:
    """Write database, contents and keys to the new file ``path``, whole and durable, or not at all.

    No content may be removed meanwhile; everything else goes on. ``free_bytes_min`` bytes stay free on every disk.
    ``keep_going`` is called often, and stops the work by raising. Raises ``conflict`` when ``path`` is there already,
    ``unavailable`` when a disk is too small or fails.
    """
    if path.exists() or path.is_symlink():
        raise conflict("the file is there already", "path")
    with _disk_faults(), tempfile.TemporaryDirectory(prefix="backup-", dir=places.tmp) as scratch:
        snapshot = Path(scratch) / DATABASE
        copy_database(places.database, snapshot, free_bytes_min, keep_going)
        with closing(open_copy(snapshot)) as conn:
            files, content_bytes = store.count_blobs(conn)
            needed = archive_bytes(content_bytes + snapshot.stat().st_size + files * _LINE_BYTES_MAX, files + 3)
            check_space(path.parent, needed, free_bytes_min)
            with _growing(path) as out:
                work = _Work(places, origin, snapshot, conn, keep_going)
                report = work.write(out, path)
    return report


@contextmanager
def _growing(path: Path) -> Iterator[BinaryIO]:
    """The file at :func:`partial_path`; becomes ``path`` when the block is left well, and is removed otherwise."""
    partial = partial_path(path)
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        message = f"{partial.name} is there: another backup is being made, or one was cut off; remove it"
        raise conflict(message, "path") from error
    try:
        with os.fdopen(fd, "wb", buffering=CHUNK_BYTES) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        crash.reach("backup.written")
        partial.rename(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    crash.reach("backup.renamed")
    sync_directory(path.parent)


@dataclass(slots=True)
class _Work:
    """One archive being written."""

    places: Places
    origin: Origin
    snapshot: Path
    conn: sqlite3.Connection
    keep_going: KeepGoing

    def write(self, out: BinaryIO, path: Path) -> BackupReport:
        archive = ArchiveWriter(out, self.origin.created_at // 1000)
        damaged: list[str] = []
        count, size, keys, files = 0, 0, 0, 0
        with tempfile.TemporaryFile(dir=self.snapshot.parent) as lines:
            for member in self._members(archive, damaged):
                lines.write(member_line(member))
                count, size = count + 1, size + member.size
                files += member.name.startswith("blobs/")
                keys += member.name.startswith("keys/")
            length = lines.tell()
            lines.seek(0)
            listed = archive.add(MEMBERS, length, lines.read)
        manifest = seal(
            Manifest(
                format_version=FORMAT_VERSION,
                alloyd_version=self.origin.alloyd_version,
                schema_version=read_schema_version(self.conn),
                created_at=self.origin.created_at,
                members=count,
                bytes=size,
                files=files,
                keys=keys,
                members_sha256=listed.sha256,
                damaged=damaged,
            )
        )
        archive.add(MANIFEST, len(manifest), io.BytesIO(manifest).read)
        archive.end()
        return BackupReport(path, archive.size, archive.sha256, msgspec.json.decode(manifest, type=Manifest))

    def _members(self, archive: ArchiveWriter, damaged: list[str]) -> Iterator[Member]:
        with self.snapshot.open("rb", buffering=0) as database:
            yield archive.add(DATABASE, self.snapshot.stat().st_size, self._reading(database.fileno()))
        for blob_id, size, sha256 in store.list_blobs(self.conn):
            member = self._add_blob(archive, blob_id, size)
            if member is not None:
                yield member
            if member is None or member.sha256 != sha256:
                damaged.append(blob_id)
                if len(damaged) > DAMAGED_MAX:
                    message = f"more than {DAMAGED_MAX} stored files are missing or altered on the disk"
                    raise AlloydError(Code.UNAVAILABLE, message)
        for path in sorted(self.places.keys.iterdir()) if self.places.keys.exists() else ():
            yield self._add_key(archive, path)

    def _add_blob(self, archive: ArchiveWriter, blob_id: str, size: int) -> Member | None:
        """None when the content is not there, or of another size."""
        name = blob_name(blob_id)
        try:
            fd = os.open(self.places.blobs.parent / name, _READ_ONLY)
        except OSError:
            return None
        try:
            if os.fstat(fd).st_size != size:
                return None
            return archive.add(name, size, self._reading(fd, forgiving=True))
        finally:
            os.close(fd)

    def _add_key(self, archive: ArchiveWriter, path: Path) -> Member:
        name = key_name(path.name)
        if name is None or not path.is_file() or path.is_symlink():
            raise conflict("there is something in the folder of keys that is no key file; take it away", "keys")
        with path.open("rb", buffering=0) as key:
            return archive.add(name, os.fstat(key.fileno()).st_size, self._reading(key.fileno()))

    def _reading(self, fd: int, *, forgiving: bool = False) -> Source:
        """``forgiving``: a disk that fails in the middle of a content ends it there, and its checksum tells."""

        def read(count: int) -> bytes:
            self.keep_going()
            pieces = []
            while count:
                try:
                    piece = os.read(fd, count)
                except OSError:
                    if forgiving:
                        break
                    raise
                if not piece:
                    break
                pieces.append(piece)
                count -= len(piece)
            return b"".join(pieces)

        return read


def member_line(member: Member) -> bytes:
    """A member's line in ``members.jsonl``."""
    return msgspec.json.encode(member) + b"\n"


def sync_directory(directory: Path) -> None:
    """Make durable which names are in ``directory``."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _disk_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_fault("the backup was not made", error) from error


def disk_fault(what: str, error: OSError) -> AlloydError:
    """What an operator is told of a failing disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "the disk is full"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = "the folder can't be written to"
    else:
        reason = error.strerror or type(error).__name__
    return AlloydError(Code.UNAVAILABLE, f"{what}: {reason}", log=repr(error), retry_after_s=60)
