"""What a file or folder is, what a listing is, and the rules that need no database."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.clock import rfc3339
from alloyd.kit.paths import StoragePath

ROOT_ID = ""
# The parent of what the sweeper takes apart. Ids are UUIDs, so no folder has it.
TRASH_ID = "trash"

DEFAULT_MIME_TYPE = "application/octet-stream"
_MIME_CHARS_MAX = 255
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,127}"  # noqa: S105  # RFC 6838's restricted names, not a secret
_MIME = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[\x20\x21\x23-\x5b\x5d-\x7e]{{0,127}}"))*\Z'
)

_CURSOR_CHECK_BYTES = 6
_CURSOR_CHARS_MAX = 2048
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Node:
    """A file or folder. ``size`` is in bytes and 0 for a folder, which has neither type nor hash nor blob."""

    id: str
    parent_id: str
    name: str
    is_file: bool
    size: int
    mime_type: str | None
    sha256: str | None
    blob_id: str | None
    created_at: int
    modified_at: int


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file with the path it was found at. Times are milliseconds since the epoch, ``sha256`` is hex."""

    path: StoragePath
    size: int
    mime_type: str
    sha256: str
    blob_id: str
    created_at: int
    modified_at: int

    def to_meta(self) -> dict[str, Any]:
        """The meta data as the private contract names it."""
        return {
            "path": str(self.path),
            "name": self.path.name,
            "size": self.size,
            "created_at": rfc3339(self.created_at),
            "modified_at": rfc3339(self.modified_at),
            "hash": self.sha256,
            "mime_type": self.mime_type,
        }


class Item(msgspec.Struct, frozen=True):
    """One line of a listing (private contract: Storage). A folder has size 0, and neither type nor hash."""

    name: str
    path: str
    type: str
    size: int
    mime_type: str | None
    hash: str | None
    created_at: str
    modified_at: str


class Listing(msgspec.Struct, frozen=True, omit_defaults=True):
    """A folder's direct children, folders first, then by name; ``next_cursor`` when there are more."""

    path: str
    items: list[Item]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Blob:
    """A file's content as it lies on the disk, durable. ``id`` is random, ``size`` in bytes, ``sha256`` hex."""

    id: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What an organization stores. What was deleted counts until the sweeper has taken it away."""

    bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Bounds of storage; the configuration's group ``storage``."""

    upload_bytes_max: int = 10 * 1024 * 1024
    uploads_max: int = 64
    upload_wait_s: float = 10.0


class Position(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last line of a page: where the next goes on."""

    is_file: bool
    name: str


def encode_cursor(org_id: str, folder_id: str, position: Position) -> str:
    """An opaque cursor after ``position``, good for this folder only."""
    data = _ENCODER.encode(position)
    return base64.urlsafe_b64encode(_check(org_id, folder_id, data) + data).rstrip(b"=").decode()


def decode_cursor(org_id: str, folder_id: str, cursor: str) -> Position:
    """The inverse of :func:`encode_cursor`. Raises ``bad_request`` for what it did not make for this folder.

    The check finds slips, not forgers: a cursor carries no right, the query asks for the caller's own folder.
    """
    refused = bad_request("cursor: not one that a listing of this folder gave out", "cursor")
    if len(cursor) > _CURSOR_CHARS_MAX:
        raise refused
    try:
        whole = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(whole[_CURSOR_CHECK_BYTES:], type=Position)
    except (ValueError, msgspec.MsgspecError):
        raise refused from None
    if encode_cursor(org_id, folder_id, position) != cursor:
        raise refused
    return position


def _check(org_id: str, folder_id: str, data: bytes) -> bytes:
    return hashlib.blake2s(f"{org_id} {folder_id} ".encode() + data, digest_size=_CURSOR_CHECK_BYTES).digest()


def choose_mime_type(declared: str | None, name: str) -> str:
    """The type that the client declared if it is well formed, else the one that the name's ending stands for."""
    if declared is not None:
        declared = declared.strip()
        if len(declared) <= _MIME_CHARS_MAX and _MIME.match(declared):
            return declared
    _stem, dot, ending = name.rpartition(".")
    return MIME_TYPES.get(ending.lower(), DEFAULT_MIME_TYPE) if dot else DEFAULT_MIME_TYPE


def upload_too_large(bytes_max: int) -> AlloydError:
    """413: the content of an upload is over the limit."""
    return AlloydError(Code.TOO_LARGE, f"file: larger than {bytes_max} bytes", field="file")


# Fixed, not the system's files, so that a name means the same type on every machine.
MIME_TYPES = {
    "7z": "application/x-7z-compressed",
    "aac": "audio/aac",
    "avi": "video/x-msvideo",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "bz2": "application/x-bzip2",
    "css": "text/css",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "eml": "message/rfc822",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "gif": "image/gif",
    "gz": "application/gzip",
    "heic": "image/heic",
    "htm": "text/html",
    "html": "text/html",
    "ico": "image/vnd.microsoft.icon",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "m4a": "audio/mp4",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "ndjson": "application/x-ndjson",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "otf": "font/otf",
    "parquet": "application/vnd.apache.parquet",
    "pdf": "application/pdf",
    "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "rtf": "application/rtf",
    "sqlite": "application/vnd.sqlite3",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "toml": "application/toml",
    "tsv": "text/tab-separated-values",
    "ttf": "font/ttf",
    "txt": "text/plain",
    "vcf": "text/vcard",
    "wasm": "application/wasm",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
    "zst": "application/zstd",
}
