"""What an object is, how its key looks, and what a browser may show of it; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from alloyd.errors import AlloydError, not_found
from alloyd.kit.ids import random_token
from alloyd.kit.paths import parse_name

Direction = Literal["input", "output"]
BackendName = Literal["local", "s3"]
Disposition = Literal["attachment", "inline"]

KEY_RANDOM_CHARS: Final = 43  # of 6 bits: 256 bits, rounded up
KEY_CHARS_MAX: Final = 1024
NO_WORKFLOW: Final = "-"  # stands in a key where an object belongs to no workflow or no run
DEFAULT_NAME: Final = "file"
DOWNLOAD_PATH: Final = "/api/v1/objects/download"
SIGNED_PREFIX: Final = "/objects"
MIGRATED_AT_ONCE: Final = 16

_RANDOM: Final = re.compile(rf"[A-Za-z0-9_-]{{{KEY_RANDOM_CHARS}}}\Z")
_SEGMENTS: Final = 6
_INLINE_TYPES: Final = frozenset(
    {"application/pdf", "image/gif", "image/jpeg", "image/png", "image/webp", "text/plain"}
)
_INLINE_FAMILIES: Final = re.compile(r"(?:audio|video)/[a-z0-9.+-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Belonging:
    """Whose an object is: the organization, and what it came of, as far as it did."""

    org_id: str
    org_slug: str
    workflow_id: str | None
    run_id: str | None
    created_by: str | None


@dataclass(frozen=True, slots=True)
class Placed:
    """Bytes that are durable in a backend, at ``place``. ``sha256`` is hex."""

    place: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object; it never changes but for ``backend`` and ``place``. ``created_at`` in ms since the epoch."""

    id: str
    org_id: str
    key: str
    workflow_id: str | None
    run_id: str | None
    direction: Direction
    filename: str
    content_type: str
    size: int
    sha256: str
    created_by: str | None
    origin: str | None
    backend: BackendName
    place: str
    created_at: int


@dataclass(frozen=True, slots=True)
class NewObject:
    """An object to be made. ``origin`` is the idempotency key of what makes it; a repeat finds the first one."""

    direction: Direction
    filename: str
    content_type: str | None = None
    workflow_id: str | None = None
    run_id: str | None = None
    started_by: str | None = None  # a principal's id; only a user's is kept
    origin: str | None = None
    bytes_max: int | None = None


@dataclass(frozen=True, slots=True)
class S3Settings:
    """The bucket. Without keys those of the machine's role are used. ``prefix`` is a folder in it."""

    bucket: str
    region: str
    endpoint: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    prefix: str | None = None
    path_style: bool = True
    allow_http: bool = False
    presign: bool = True
    timeout_s: int = 60


@dataclass(frozen=True, slots=True)
class ObjectSettings:
    """The configuration's group ``objects``. ``base_url`` is where clients reach alloyd; None gives paths."""

    backend: BackendName = "local"
    url_ttl_s: int = 300
    output_bytes_max: int = 10 * 1024 * 1024
    base_url: str | None = None
    s3: S3Settings | None = None


@dataclass(frozen=True, slots=True)
class WorkflowShare:
    """What one workflow's files take."""

    workflow_id: str
    workflow_name: str
    bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class ObjectUsage:
    """Sums of one organization, or of one user in it; ``workflows`` are the largest first."""

    input_bytes: int
    output_bytes: int
    files: int
    workflows: tuple[WorkflowShare, ...]


@dataclass(frozen=True, slots=True)
class Migrated:
    """One step of a migration: what moved, what could not be read whole, where the next step goes on."""

    moved: int
    bytes: int
    damaged: tuple[str, ...]
    next_id: str | None


def new_key(belonging: Belonging, direction: Direction, filename: str) -> str:
    """A key that nobody can guess, from the system's random source (contract: objects, "Object keys")."""
    return "/".join(
        (
            belonging.org_slug,
            belonging.workflow_id or NO_WORKFLOW,
            belonging.run_id or NO_WORKFLOW,
            direction,
            random_token(KEY_RANDOM_CHARS),
            filename,
        )
    )


def is_key(text: str) -> bool:
    """Whether ``text`` could be a key at all; others need no look-up."""
    parts = text.split("/")
    if len(text) > KEY_CHARS_MAX or len(parts) != _SEGMENTS or not all(parts):
        return False
    return parts[3] in ("input", "output") and _RANDOM.match(parts[4]) is not None


def name_of(text: str) -> str:
    """The file name that an object gets: the last part of a path of whatever system. Raises ``bad_request``."""
    return parse_name(re.split(r"[/\\]", text)[-1] or DEFAULT_NAME, "filename")


def download_url(base_url: str | None, key: str) -> str:
    """Where an object is downloaded for as long as it is there; a path without ``base_url``."""
    return f"{base_url or ''}{DOWNLOAD_PATH}?objectKey={quote(key, safe='')}"


def shows_inline(content_type: str) -> bool:
    """Whether a browser may show it where it is: a type that can't run script."""
    media = content_type.partition(";")[0].strip().lower()
    return media in _INLINE_TYPES or _INLINE_FAMILIES.match(media) is not None


def to_reference(stored: StoredObject, base_url: str | None) -> Mapping[str, Any]:
    """An object as steps pass it on."""
    return {
        "object_key": stored.key,
        "url": download_url(base_url, stored.key),
        "filename": stored.filename,
        "size": stored.size,
        "content_type": stored.content_type,
    }


def no_such_object() -> AlloydError:
    """404 in the same words whether the key is unknown, another's or none at all."""
    return not_found("object")
