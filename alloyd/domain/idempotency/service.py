"""Claims and records idempotency keys within another capability's transaction.

What a request makes and the memory of it are committed together, and all writes pass one writer: of a hundred copies
sent at once, one makes the thing and ninety-nine find it. A failed request leaves no memory, so it may be sent again.
"""

from __future__ import annotations

import msgspec

from alloyd.db import Tx
from alloyd.domain.idempotency import store
from alloyd.domain.idempotency.model import KEEP_HOURS_MIN, Once
from alloyd.errors import conflict

_HOUR_MS = 3_600_000


class _Made(msgspec.Struct, frozen=True):
    id: str


_DECODER = msgspec.json.Decoder(_Made)


def claim(tx: Tx, org_id: str, route: str, key: str, digest: str) -> bytes | None:
    """The answer kept under ``key``, None when the request is new and may go on (then :func:`record` it).

    Raises ``conflict`` when the key was used for a request with another ``digest``.
    """
    found = store.find(tx, org_id, route, key)
    if found is None:
        return None
    if found[0] != digest:
        raise conflict("idempotency_key: already used with a different request", "idempotency_key")
    return found[1]


def record(tx: Tx, org_id: str, route: str, key: str, digest: str, answer: bytes) -> None:
    """Keep ``answer``, JSON that leads back to what was made; never a secret."""
    store.insert(tx, org_id, route, key, digest, answer)


def find_made(tx: Tx, org_id: str, once: Once | None) -> str | None:
    """:func:`claim` for a request that makes one thing: the id of what the first copy made, None when it is new."""
    if once is None:
        return None
    for key in once.keys:
        answer = claim(tx, org_id, once.route, key, once.digest)
        if answer is not None:
            return _DECODER.decode(answer).id
    return None


def remember_made(tx: Tx, org_id: str, once: Once | None, made_id: str) -> None:
    """:func:`record` for a request that made the thing ``made_id``; nothing to do without a key."""
    if once is not None:
        for key in once.keys:
            record(tx, org_id, once.route, key, once.digest, msgspec.json.encode(_Made(made_id)))


def forget_route(tx: Tx, org_id: str, route: str, limit: int) -> int:
    """For a purge: forget at most ``limit`` keys of a route; how many there were."""
    return store.delete_of_route(tx, org_id, route, limit)


def purge(tx: Tx, before_ms: int, limit: int) -> int:
    """Forget at most ``limit`` keys from before ``before_ms``, but none younger than 24 h; how many there were."""
    return store.delete_before(tx, min(before_ms, tx.now - KEEP_HOURS_MIN * _HOUR_MS), limit)
