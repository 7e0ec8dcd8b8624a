"""Keys that were used lately, checked without the database: on the way of every request."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Collection, Iterable
from hashlib import sha256
from hmac import compare_digest

from alloyd.domain.keys.model import ID_SLICE, RAW_CHARS, ApiKey, scopes_on
from alloyd.kit.clock import Clock
from alloyd.principal import Grant, Kind, Principal

_NEVER = sys.maxsize


class CachedKey:
    """A key that works, with what its raw text is checked against."""

    __slots__ = ("expires_at", "grants", "id", "key", "org_id", "principals", "scopes", "secret_hash", "used_at")

    def __init__(self, key: ApiKey, secret_hash: bytes, grants: tuple[Grant, ...] = ()) -> None:
        self.id = key.id
        self.org_id = key.org_id
        self.key = key
        self.secret_hash = secret_hash
        self.grants = grants
        self.scopes = key.working_scopes
        self.expires_at = _NEVER if key.expires_at is None else key.expires_at
        self.principals: dict[str, Principal] = {}
        self.used_at = 0

    def principal(self, surface: str) -> Principal:
        """The principal that the key is on ``surface``."""
        found = self.principals.get(surface)
        if found is None:
            found = Principal(
                Kind.KEY,
                self.id,
                self.org_id,
                self.key.role,
                scopes_on(surface, self.scopes),
                surface=surface,
                team_id=self.key.team_id,
                grants=self.grants,
                teammate_id=self.key.teammate_id,
            )
            self.principals[surface] = found
        return found


class KeyCache:
    """The ``keys_max`` keys used last, by the id that a raw key shows; times of last use until they are flushed.

    An entry is found by id and proved by the SHA-256 of the whole raw key, so nothing shorter than the whole key
    ever opens it.
    """

    def __init__(self, clock: Clock, keys_max: int) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._entries: OrderedDict[str, CachedKey] = OrderedDict()
        self._used: set[CachedKey] = set()
        self.epoch = 0  # grows with every drop: what was read before one must not be put in after it

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def used_count(self) -> int:
        """Keys whose time of last use waits to be written down."""
        return len(self._used)

    def find(self, raw: str, surface: str, accepts: frozenset[str]) -> Principal | None:
        """The principal of ``raw`` when its key is here, works, and has a scope that ``surface`` accepts."""
        if len(raw) != RAW_CHARS or not raw.isascii():
            return None
        key_id = raw[ID_SLICE]
        entry = self._entries.get(key_id)
        if entry is None or not compare_digest(sha256(raw.encode()).digest(), entry.secret_hash):
            return None
        now = self._clock.now_ms()
        if entry.expires_at <= now or accepts.isdisjoint(entry.scopes):
            return None
        entry.used_at = now
        self._used.add(entry)
        self._entries.move_to_end(key_id)
        return entry.principals.get(surface) or entry.principal(surface)

    def put(self, entry: CachedKey) -> None:
        """Keep a key that was just checked against the database; the one unused longest makes room."""
        entry.used_at = self._clock.now_ms()
        self._used.add(entry)
        self._entries[entry.key.key_id] = entry
        if len(self._entries) > self._keys_max:
            self._entries.popitem(last=False)

    def drop(self, key_ids: Collection[str]) -> None:
        """Forget keys that changed or ended."""
        self.epoch += 1
        for key_id in key_ids:
            self._entries.pop(key_id, None)

    def last_used_at(self, key: ApiKey) -> int | None:
        """When ``key`` was last used, also if that is not written down yet; milliseconds since the epoch."""
        entry = self._entries.get(key.key_id)
        return key.last_used_at if entry is None else max(entry.used_at, key.last_used_at or 0)

    def take_used(self) -> set[CachedKey]:
        """The keys whose last use is not written down; they are taken."""
        taken = self._used
        self._used = set()
        return taken

    def put_back_used(self, entries: Iterable[CachedKey]) -> None:
        """Have uses written down later after all: the disk refused them."""
        self._used.update(entries)
