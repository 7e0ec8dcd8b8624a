"""`/operator/api-keys`: what the operator does with keys beyond the control contract."""

from __future__ import annotations

from typing import Annotated

import msgspec

from alloyd.domain.keys.model import GRACE_MS_MAX
from alloyd.domain.keys.service import KeyService
from alloyd.kit.clock import Clock
from alloyd.wire.idempotency import read_once
from alloyd.wire.identity import IssuedKeyJson, issued_key_json
from alloyd.wire.route import OPERATOR, Call, Route


class RotateKeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the old key works on, in milliseconds."""

    grace_ms: Annotated[int, msgspec.Meta(ge=0, le=GRACE_MS_MAX)] = 0
    idempotency_key: str | None = None


class ApiKeys:
    """The handlers of `/operator/api-keys`, in the organization that the operator's header names."""

    def __init__(self, keys: KeyService, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def rotate_key(self, call: Call) -> IssuedKeyJson:
        """`alloyd key rotate`: the answer is the new key, told this once."""
        body: RotateKeyBody = call.body
        once = read_once(call, body.idempotency_key)
        issued = await self._keys.rotate(call.who, call.param("id"), body.grace_ms, once)
        return issued_key_json(issued, self._clock.now_ms())


def routes(keys: KeyService, clock: Clock) -> list[Route]:
    """The routes of this file."""
    api = ApiKeys(keys, clock)
    return [
        Route(
            "POST",
            "/api-keys/{id}/rotate",
            api.rotate_key,
            OPERATOR,
            "Replace a key by a new one like it",
            body=RotateKeyBody,
            output=IssuedKeyJson,
            status=201,
            statuses=(404, 409),
        )
    ]
