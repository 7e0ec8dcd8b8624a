"""What a row of the audit trail is, and how each is chained to the one before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from alloyd.db.note import FAILED, OK, REFUSED, Note

OUTCOMES = (OK, REFUSED, FAILED)
NO_HASH = bytes(32)  # what stands before the first row

PRUNED = "audit.prune"

_ENCODER = msgspec.json.Encoder()
# The first element of what is hashed: another way of encoding takes another number.
_ENCODING = 1


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Bounds of refusals on record; the configuration's group ``audit``."""

    refusals_per_address_max: int = 30
    refusals_max: int = 600


@dataclass(frozen=True, slots=True)
class Entry:
    """A row. ``changed`` is its JSON; ``seq`` counts the installation's rows without a gap."""

    seq: int
    created_at: int
    org_id: str
    actor_kind: str
    actor_id: str
    action: str
    target: str
    outcome: str
    status: int | None
    changed: str
    count: int
    route: str
    address: str
    request_id: str
    hash: bytes


# A row as SQL takes and gives it, in the order of the columns.
Row = tuple[int, int, str, str, str, str, str, str, int | None, str, int, str, str, str, bytes]


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the chain ends on both sides: the newest row, and the newest that retention has deleted."""

    last_seq: int
    last_hash: bytes
    pruned_seq: int
    pruned_hash: bytes


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows are wanted. ``action`` may end with ``.*``; times in milliseconds, ``until_ms`` not included."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every row is wanted."""
        return self == AuditFilter()


def hash_of(previous: bytes, cells: tuple[object, ...]) -> bytes:
    """The hash of a row whose columns but the last are ``cells``, behind one whose hash is ``previous``."""
    return hashlib.sha256(previous + _ENCODER.encode((_ENCODING, *cells))).digest()


def row_of(note: Note, seq: int, created_at: int, previous: bytes) -> Row:
    """The row of a note."""
    cells = (
        seq,
        created_at,
        note.org_id,
        note.actor_kind,
        note.actor_id,
        note.action,
        note.target,
        note.outcome,
        note.status,
        _ENCODER.encode(note.changed).decode() if note.changed else "[]",
        note.count,
        note.route,
        note.address,
        note.request_id,
    )
    return (*cells, hash_of(previous, cells))
