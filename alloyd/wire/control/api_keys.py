"""`/v1/api-keys`: make, list, disable and revoke an organization's keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from alloyd.domain.keys.model import GRACE_MS_MAX, ApiKey, CreateKey
from alloyd.domain.keys.service import KeyService
from alloyd.kit.clock import Clock
from alloyd.principal import Role
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import IdempotencyKey, KeyDescription, Name, Scopes
from alloyd.wire.idempotency import read_once
from alloyd.wire.identity import ApiKeyJson, IssuedKeyJson, api_key_json, issued_key_json
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route

_EPOCH = datetime.fromtimestamp(0, UTC)
_MS = timedelta(milliseconds=1)


class CreateKeyBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new key. Without `scopes` it gets those of the creating key, without `role` it is a member.

    With `teammate_id` it opens nothing but that teammate's channel; `scopes` and `team_id` are left out then.

    The answer to a repeat with the same `idempotency_key` is the same key and status, but `key` is null: the raw key
    is told once, and nobody can look it up again.
    """

    name: Name
    scopes: Scopes | None = None
    role: Role = Role.MEMBER
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    team_id: str | None = None
    teammate_id: str | None = None
    description: KeyDescription | None = None
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class RotateKeyBody(msgspec.Struct, frozen=True, kw_only=True):
    """How long the old key works on, in milliseconds; 0 ends it at once."""

    grace_ms: Annotated[int, msgspec.Meta(ge=0, le=GRACE_MS_MAX)] = 0
    idempotency_key: IdempotencyKey | None = None


class KeyQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list."""

    organization_id: str | None = None


class ApiKeys:
    """The handlers of `/v1/api-keys`."""

    def __init__(self, keys: KeyService, clock: Clock, limits: PageLimits) -> None:
        self._keys = keys
        self._clock = clock
        self._pager = Pager("api_keys", limits, str)

    async def post_key(self, call: Call) -> IssuedKeyJson:
        """Control contract: `POST /v1/api-keys`."""
        body: CreateKeyBody = call.body
        organization_of(call, body.organization_id)
        expires_at = None if body.expires_at is None else (body.expires_at - _EPOCH) // _MS
        new = CreateKey(body.name, body.scopes, body.role, expires_at, body.description, body.team_id, body.teammate_id)
        issued = await self._keys.create(call.who, new, read_once(call, body.idempotency_key))
        return issued_key_json(issued, self._clock.now_ms())

    async def list_keys(self, call: Call) -> Sequence[ApiKeyJson]:
        """Control contract: `GET /v1/api-keys`, newest first, ended ones too."""
        query: KeyQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        found = await self._keys.list_all(call.who, page.fetch, page.after[0] if page.after else None)
        kept = self._pager.cut(call, page, found, lambda key: (key.id,))
        return [self._show(key) for key in kept]

    async def get_key(self, call: Call) -> ApiKeyJson:
        """Control contract: `GET /v1/api-keys/{id}`."""
        return self._show(await self._keys.get(call.who, call.param("id")))

    async def delete_key(self, call: Call) -> ApiKeyJson:
        """Control contract: `DELETE /v1/api-keys/{id}`: revoked at once, and stays in the list as such."""
        return self._show(await self._keys.revoke(call.who, call.param("id")))

    async def disable_key(self, call: Call) -> ApiKeyJson:
        """Control contract: `POST /v1/api-keys/{id}/disable`."""
        return self._show(await self._keys.disable(call.who, call.param("id")))

    async def rotate_key(self, call: Call) -> IssuedKeyJson:
        """`POST /v1/api-keys/{id}/rotate`: the answer is the new key, told this once."""
        body: RotateKeyBody = call.body
        once = read_once(call, body.idempotency_key)
        issued = await self._keys.rotate(call.who, call.param("id"), body.grace_ms, once)
        return issued_key_json(issued, self._clock.now_ms())

    def _show(self, key: ApiKey) -> ApiKeyJson:
        return api_key_json(key, self._clock.now_ms())


def routes(keys: KeyService, clock: Clock, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = ApiKeys(keys, clock, limits)
    return [
        Route(
            "POST",
            "/api-keys",
            api.post_key,
            "api_key.create",
            "Make a key; the answer holds it this once",
            body=CreateKeyBody,
            output=IssuedKeyJson,
            status=201,
            statuses=(404, 409),
        ),
        Route(
            "GET",
            "/api-keys",
            api.list_keys,
            "api_key.read",
            "The organization's keys",
            query=KeyQuery,
            output=list[ApiKeyJson],
            statuses=(404,),
        ),
        Route(
            "GET",
            "/api-keys/{id}",
            api.get_key,
            "api_key.read",
            "One key",
            output=ApiKeyJson,
            statuses=(404,),
            owner=keys.find_organization,
        ),
        Route(
            "DELETE",
            "/api-keys/{id}",
            api.delete_key,
            "api_key.revoke",
            "Revoke a key at once and for good",
            output=ApiKeyJson,
            statuses=(404,),
            owner=keys.find_organization,
        ),
        Route(
            "POST",
            "/api-keys/{id}/disable",
            api.disable_key,
            "api_key.disable",
            "Disable a key at once",
            output=ApiKeyJson,
            statuses=(404, 409),
            owner=keys.find_organization,
        ),
        Route(
            "POST",
            "/api-keys/{id}/rotate",
            api.rotate_key,
            "api_key.rotate",
            "Replace a key by a new one like it; the answer holds it this once",
            body=RotateKeyBody,
            output=IssuedKeyJson,
            status=201,
            statuses=(404, 409),
            owner=keys.find_organization,
        ),
    ]
