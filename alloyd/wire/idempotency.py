"""Reads what makes a request one that takes effect once: `Idempotency-Key`, or the body's `idempotency_key`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import msgspec

from alloyd.domain.idempotency.model import Once, check_key
from alloyd.errors import bad_request
from alloyd.wire.route import Call

HEADER = "Idempotency-Key"
FIELD = "idempotency_key"


def read_once(call: Call, body_key: str | None = None, leave_out: Collection[str] = ()) -> Once | None:
    """The request's idempotency key, None when it has none. Served on every surface; ``body_key`` on control only.

    The digest is over the path's parameters and the JSON body, so spaces and the order of its members don't matter.
    ``leave_out`` names members that must not be in it, not even hashed: a password could be guessed from its hash.
    Raises ``bad_request`` naming the header or the field.
    """
    header_key = _read_header(call)
    if body_key is not None:
        check_key(body_key, FIELD)
        if header_key is not None and header_key != body_key:
            raise bad_request(f"{FIELD}: differs from the header {HEADER}", FIELD)
    key = header_key if body_key is None else body_key
    if key is None:
        return None
    return Once(_route_name(call), key, _digest(call, leave_out))


def read_once_of(call: Call, request_digest: str) -> Once | None:
    """:func:`read_once` for a route whose body is not JSON; ``request_digest`` stands for what it asks."""
    key = _read_header(call)
    return None if key is None else Once(_route_name(call), key, request_digest)


def _read_header(call: Call) -> str | None:
    given = call.request.headers.getall(HEADER, ())
    if len(given) > 1:
        raise bad_request(f"{HEADER}: given more than once", HEADER)
    return check_key(given[0], HEADER) if given else None


def _route_name(call: Call) -> str:
    # The surface too: two of them may have routes of the same path.
    return f"{call.who.surface} {call.route.method} {call.route.path}"


def _digest(call: Call, leave_out: Collection[str]) -> str:
    body = msgspec.json.decode(call.body_bytes or b"{}")
    if leave_out and isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in leave_out}
    asked = [dict(call.request.match_info), body]
    return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()
