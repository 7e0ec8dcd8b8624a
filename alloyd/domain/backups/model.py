"""What a backup holds and what is told of it; the names that its members may have."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from alloyd.errors import AlloydError, Code

FORMAT_VERSION = 1

DATABASE = "alloyd.db"
MEMBERS = "members.jsonl"
MANIFEST = "manifest.json"

MANIFEST_BYTES_MAX = 1024 * 1024
# With more contents missing than this a backup is refused: the disk is to be looked after first.
DAMAGED_MAX = 1000

_BLOB = re.compile(r"blobs/([0-9a-f]{2})/(\1[0-9a-f]{30})\Z")
_KEY = re.compile(r"keys/[A-Za-z0-9_][A-Za-z0-9._-]{0,80}\Z")


class Member(msgspec.Struct, frozen=True):
    """A line of ``members.jsonl``: a file in the archive with its size in bytes and its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the archive says of itself, its last member.

    ``members`` and ``bytes`` count what ``members.jsonl`` lists: the database, ``files`` contents and ``keys`` key
    files. ``damaged`` are ids of contents that were missing or altered on the disk when the backup was made. ``digest``
    is the SHA-256 of the manifest with an empty ``digest``.
    """

    format_version: int
    alloyd_version: str
    schema_version: int
    created_at: int
    members: int
    bytes: int
    files: int
    keys: int
    members_sha256: str
    damaged: list[str]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of a data directory lie. ``tmp`` takes the copy of the database while a backup is made."""

    database: Path
    blobs: Path
    keys: Path
    tmp: Path

    @classmethod
    def below(cls, root: Path) -> Places:
        """The parts of the data directory at ``root``."""
        return cls(root / DATABASE, root / "blobs", root / "keys", root / "tmp")


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A backup that was made: the archive's size in bytes and its SHA-256, and its manifest."""

    path: Path
    size: int
    sha256: str
    manifest: Manifest


def seal(manifest: Manifest) -> bytes:
    """The manifest as it stands in the archive."""
    digest = hashlib.sha256(msgspec.json.encode(manifest)).hexdigest()
    return msgspec.json.encode(msgspec.structs.replace(manifest, digest=digest))


def unseal(text: bytes) -> Manifest:
    """The inverse of :func:`seal`. Raises ``unprocessable`` for anything else, and for a format of a newer program."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise damaged(f"{MANIFEST} can't be read", str(error)) from error
    if manifest.format_version != FORMAT_VERSION:
        message = f"the backup has format {manifest.format_version}, this program reads {FORMAT_VERSION}"
        raise AlloydError(Code.UNPROCESSABLE, message)
    if seal(msgspec.structs.replace(manifest, digest="")) != text:
        raise damaged(f"{MANIFEST} was altered")
    return manifest


def blob_name(blob_id: str) -> str:
    """The member that holds a content; also its path below the data directory."""
    return f"blobs/{blob_id[:2]}/{blob_id}"


def blob_id_of(name: str) -> str | None:
    """The content's id of a member, None when it holds something else."""
    found = _BLOB.match(name)
    return found[2] if found else None


def key_name(file_name: str) -> str | None:
    """The member that holds a key file, None when it can't be one."""
    name = f"keys/{file_name}"
    return name if _KEY.match(name) else None


def place_in_order(name: str) -> tuple[int, str]:
    """Where a member belongs: members come in this order, each once. Raises ``unprocessable`` for any other name."""
    if name == DATABASE:
        return 0, name
    if _BLOB.match(name):
        return 1, name
    if _KEY.match(name):
        return 2, name
    if name == MEMBERS:
        return 3, name
    if name == MANIFEST:
        return 4, name
    raise damaged(f"it holds {name[:100]!r}, which no backup does")


def damaged(what: str, log: str | None = None) -> AlloydError:
    """The archive is not as it was written."""
    return AlloydError(Code.UNPROCESSABLE, f"the backup is damaged: {what}", log=log)
