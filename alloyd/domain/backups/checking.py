"""Reads an archive against its own checksums and against the database in it. It blocks: run it in a thread."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

import msgspec

from alloyd.db.migrate import SCHEMA_VERSION
from alloyd.db.snapshot import KeepGoing, check_database, check_space, go_on, open_copy
from alloyd.domain.backups import store
from alloyd.domain.backups.archive import read_members
from alloyd.domain.backups.creation import disk_fault, member_line
from alloyd.domain.backups.model import (
    DATABASE,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    MEMBERS,
    Manifest,
    Member,
    blob_id_of,
    damaged,
    unseal,
)
from alloyd.errors import AlloydError, Code, conflict, not_found

_MEMBER = msgspec.json.Decoder(Member)
_LINE_BYTES_MAX = 1024


class Keep(Protocol):
    """Where a member's content goes."""

    def __call__(self, name: str) -> Any:
        """A new file to write the member ``name`` to, as a context manager; None to let it pass."""


def verify_archive(path: Path, scratch_parent: Path, keep_going: KeepGoing = go_on) -> Manifest:
    """Check every byte of the archive at ``path``, and that each content that its database names is in it.

    The database is laid down in ``scratch_parent`` meanwhile. Raises ``not_found``, ``unprocessable`` saying what is
    damaged, ``conflict`` when its schema is newer than the program, ``unavailable`` when the disk is too small.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="verify-", dir=scratch_parent) as scratch:
            database = Path(scratch) / DATABASE
            return read_archive(
                path, database, lambda name: database.open("xb") if name == DATABASE else None, keep_going
            )
    except OSError as error:
        raise disk_fault("the backup could not be checked", error) from error


def read_archive(path: Path, database: Path, keep: Keep, keep_going: KeepGoing = go_on) -> Manifest:
    """Read the whole archive, hand each member to ``keep``, and check all of it.

    ``keep`` is to write :data:`DATABASE` to ``database``, which is then opened. Raises as :func:`verify_archive`.
    """
    with _open_archive(path) as archive, tempfile.TemporaryFile(dir=database.parent) as lines:
        manifest = _read_members(archive, lines, database, keep, keep_going)
        check_schema(manifest)
        if check_database(database, keep_going) != manifest.schema_version:
            raise damaged("the database in it has another schema than the manifest says")
        lines.seek(0)
        try:
            _compare_with_rows(database, lines, manifest)
        except sqlite3.Error as error:
            raise damaged("the database in it can't be read", str(error)) from error
    return manifest


def check_schema(manifest: Manifest) -> None:
    """Raises ``conflict`` when the backup is of a newer program."""
    if manifest.schema_version > SCHEMA_VERSION:
        message = (
            f"the backup has schema {manifest.schema_version}, this program knows up to {SCHEMA_VERSION}: "
            "use the newer program"
        )
        raise AlloydError(Code.CONFLICT, message)


def _open_archive(path: Path) -> BinaryIO:
    try:
        if not path.is_file():
            raise conflict("the backup is not a regular file", "path") if path.exists() else not_found("the backup")
        return path.open("rb")
    except OSError as error:
        raise disk_fault("the backup can't be read", error) from error


def _read_members(archive: BinaryIO, lines: IO[bytes], database: Path, keep: Keep, keep_going: KeepGoing) -> Manifest:
    """All members: what they are is written to ``lines``, and is what ``members.jsonl`` says, or it raises."""
    listing = hashlib.sha256()
    counts = {DATABASE: 0, "blobs": 0, "keys": 0}
    content_bytes = 0
    manifest: Manifest | None = None
    listed: Member | None = None
    for name, size, content in read_members(archive):
        if name == MANIFEST:
            if size > MANIFEST_BYTES_MAX:
                raise damaged(f"{MANIFEST} is too large")
            manifest = unseal(b"".join(content))
        elif name == MEMBERS:
            listed = _read_one(name, size, _compared(content, lines), None, keep_going)
        else:
            if name == DATABASE:
                check_space(database.parent, size, 0)
            member = _read_one(name, size, content, keep, keep_going)
            line = member_line(member)
            lines.write(line)
            listing.update(line)
            counts[name.partition("/")[0]] += 1
            content_bytes += size
    if manifest is None or listed is None or not counts[DATABASE]:
        raise damaged("it is not whole")
    told = (manifest.members_sha256, manifest.members, manifest.bytes, manifest.files, manifest.keys)
    found = (listing.hexdigest(), sum(counts.values()), content_bytes, counts["blobs"], counts["keys"])
    if listed.sha256 != listing.hexdigest() or told != found:
        raise damaged(f"{MANIFEST} does not fit what is in it")
    return manifest


def _read_one(name: str, size: int, content: Iterator[bytes], keep: Keep | None, keep_going: KeepGoing) -> Member:
    digest = hashlib.sha256()
    with (keep(name) if keep else None) or nullcontext() as out:
        for chunk in content:
            keep_going()
            digest.update(chunk)
            if out is not None:
                out.write(chunk)
        if out is not None:
            out.flush()
            os.fsync(out.fileno())
    return Member(name, size, digest.hexdigest())


def _compared(content: Iterator[bytes], lines: IO[bytes]) -> Iterator[bytes]:
    """``content`` as it comes, while it is what ``lines`` has. Raises with the first member that differs."""
    lines.seek(0)
    rest = b""
    for chunk in content:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            ours = lines.readline()
            if ours != line + b"\n":
                raise damaged(f"{_name_of(ours) or _name_of(line) or MEMBERS} is not what was written")
        if len(rest) > _LINE_BYTES_MAX:
            raise damaged(f"{MEMBERS} can't be read")
        yield chunk
    ours = lines.readline()
    if rest or ours:
        raise damaged(f"{_name_of(ours) or MEMBERS} is not what was written")


def _name_of(line: bytes) -> str | None:
    try:
        return _MEMBER.decode(line).name[:100]
    except msgspec.MsgspecError:
        return None


def _compare_with_rows(database: Path, lines: IO[bytes], manifest: Manifest) -> None:
    """Each content that a row names is a member, in the same order, but for those that the manifest calls damaged."""
    members = (member for member in map(_MEMBER.decode, lines) if blob_id_of(member.name))
    known_damaged = set(manifest.damaged)
    with closing(open_copy(database)) as conn:
        member = next(members, None)
        for blob_id, size, sha256 in store.list_blobs(conn):
            found = member is not None and blob_id_of(member.name) == blob_id
            whole = found and member is not None and (member.size, member.sha256) == (size, sha256)
            if not whole and blob_id not in known_damaged:
                raise damaged(f"the content {blob_id} {'differs from its row' if found else 'is missing'}")
            if found:
                member = next(members, None)
        if member is not None:
            raise damaged(f"it holds {member.name}, which no row names")
        lost = store.find_file_without_blob(conn)
    if lost is not None:
        raise damaged(f"the file {lost} has no content")
