"""`/v1/webhooks`: an organization's outgoing webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from alloyd.domain.webhooks.deliveries import DeliveryService
from alloyd.domain.webhooks.model import GRACE_MS_MAX, ChangeWebhook, CreateWebhook, Webhook
from alloyd.domain.webhooks.service import WebhookService
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.control.webhook_deliveries import DeliveryJson, SendBody, delivery_json
from alloyd.wire.fields import EventPatterns, IdempotencyKey, Url, WebhookDescription, WebhookSecret
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, FindOwner, Route

# Not in the memory of a request that may be repeated, not even hashed.
_SECRET_FIELDS = ("secret",)


class CreateWebhookBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new webhook. `events` are kinds, `order.*` for all that begin so, or `*`; without `secret` one is made.

    The answer to a repeat with the same `idempotency_key` is the same webhook and status, but `secret` is null.
    """

    url: Url
    events: EventPatterns
    description: WebhookDescription | None = None
    secret: WebhookSecret | None = None
    enabled: bool = True
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class ChangeWebhookBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; what is not there stays. `description` null takes it away."""

    url: Url | UnsetType = UNSET
    events: EventPatterns | UnsetType = UNSET
    description: WebhookDescription | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class RotateBody(msgspec.Struct, frozen=True, kw_only=True):
    """For `grace_ms` (a day unless given) the former secret signs too."""

    grace_ms: Annotated[int, msgspec.Meta(ge=0, le=GRACE_MS_MAX)] | None = None
    secret: WebhookSecret | None = None


class WebhookQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list."""

    organization_id: str | None = None


class WebhookJson(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook without its secret. `failing_since`: the first of the failures that no success has followed yet."""

    id: str
    organization_id: str
    url: str
    description: str | None
    events: tuple[str, ...]
    enabled: bool
    disabled_reason: str | None
    failing_since: str | None
    former_secret_until: str | None
    created_by: str
    created_at: str
    updated_at: str


class IssuedWebhookJson(WebhookJson, frozen=True, kw_only=True):
    """A webhook with its new secret, told this once: a repeat of the request answers null in its place."""

    secret: str | None


class DeletedWebhook(msgspec.Struct, frozen=True):
    """The id of what is gone."""

    id: str


class Webhooks:
    """The handlers of `/v1/webhooks`."""

    def __init__(self, webhooks: WebhookService, deliveries: DeliveryService, limits: PageLimits) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._pager = Pager("webhooks", limits, str)

    async def post_webhook(self, call: Call) -> IssuedWebhookJson:
        """Control contract: `POST /v1/webhooks`."""
        body: CreateWebhookBody = call.body
        organization_of(call, body.organization_id)
        new = CreateWebhook(body.url, body.events, body.description, body.secret, body.enabled)
        once = read_once(call, body.idempotency_key, leave_out=_SECRET_FIELDS)
        issued = await self._webhooks.create(call.who, new, once)
        return IssuedWebhookJson(**_members(issued.webhook), secret=issued.secret)

    async def list_webhooks(self, call: Call) -> Sequence[WebhookJson]:
        """Control contract: `GET /v1/webhooks`, newest first."""
        query: WebhookQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        found = await self._webhooks.list_page(call.who, page.after[0] if page.after else None, page.fetch)
        kept = self._pager.cut(call, page, found, lambda webhook: (webhook.id,))
        return [webhook_json(webhook) for webhook in kept]

    async def get_webhook(self, call: Call) -> WebhookJson:
        """Control contract: `GET /v1/webhooks/{id}`."""
        return webhook_json(await self._webhooks.get(call.who, call.param("id")))

    async def patch_webhook(self, call: Call) -> WebhookJson:
        """Control contract: `PATCH /v1/webhooks/{id}`."""
        body: ChangeWebhookBody = call.body
        change = ChangeWebhook(body.url, body.events, body.description, body.enabled)
        return webhook_json(await self._webhooks.update(call.who, call.param("id"), change))

    async def delete_webhook(self, call: Call) -> DeletedWebhook:
        """Control contract: `DELETE /v1/webhooks/{id}`."""
        await self._webhooks.delete(call.who, call.param("id"))
        return DeletedWebhook(call.param("id"))

    async def rotate_secret(self, call: Call) -> IssuedWebhookJson:
        """Control contract: `POST /v1/webhooks/{id}/rotate-secret`."""
        body: RotateBody = call.body
        issued = await self._webhooks.rotate_secret(call.who, call.param("id"), body.grace_ms, body.secret)
        return IssuedWebhookJson(**_members(issued.webhook), secret=issued.secret)

    async def test_webhook(self, call: Call) -> DeliveryJson:
        """Control contract: `POST /v1/webhooks/{id}/test`."""
        return delivery_json(
            await self._deliveries.test(call.who, call.param("id"), read_once(call, call.body.idempotency_key))
        )


def webhook_json(webhook: Webhook) -> WebhookJson:
    """``webhook`` on the wire."""
    return WebhookJson(**_members(webhook))


def _members(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "organization_id": webhook.org_id,
        "url": webhook.url,
        "description": webhook.description,
        "events": webhook.events,
        "enabled": webhook.enabled,
        "disabled_reason": webhook.disabled_reason,
        "failing_since": _time(webhook.failing_since),
        "former_secret_until": _time(webhook.former_until),
        "created_by": webhook.created_by,
        "created_at": rfc3339(webhook.created_at),
        "updated_at": rfc3339(webhook.updated_at),
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def routes(webhooks: WebhookService, deliveries: DeliveryService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Webhooks(webhooks, deliveries, limits)
    return [*_routes_of_all(api), *_routes_of_one(api, webhooks.find_organization)]


def _routes_of_all(api: Webhooks) -> list[Route]:
    stem = "/webhooks"
    return [
        Route(
            "POST",
            stem,
            api.post_webhook,
            "webhook.write",
            "Make an outgoing webhook; the answer holds its secret this once",
            body=CreateWebhookBody,
            output=IssuedWebhookJson,
            status=201,
            statuses=(404, 409),
        ),
        Route(
            "GET",
            stem,
            api.list_webhooks,
            "webhook.read",
            "The organization's outgoing webhooks",
            query=WebhookQuery,
            output=list[WebhookJson],
            statuses=(404,),
        ),
    ]


def _routes_of_one(api: Webhooks, owner: FindOwner) -> list[Route]:
    one = "/webhooks/{id}"
    return [
        Route(
            "GET", one, api.get_webhook, "webhook.read", "One webhook", output=WebhookJson, statuses=(404,), owner=owner
        ),
        Route(
            "PATCH",
            one,
            api.patch_webhook,
            "webhook.write",
            "Change a webhook",
            body=ChangeWebhookBody,
            output=WebhookJson,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "DELETE",
            one,
            api.delete_webhook,
            "webhook.write",
            "Delete a webhook; what is pending for it is cancelled",
            output=DeletedWebhook,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "POST",
            f"{one}/rotate-secret",
            api.rotate_secret,
            "webhook.write",
            "Replace the secret; for a while both sign",
            body=RotateBody,
            output=IssuedWebhookJson,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "POST",
            f"{one}/test",
            api.test_webhook,
            "webhook.write",
            "Send a `webhook.test` to it",
            body=SendBody,
            output=DeliveryJson,
            status=202,
            statuses=(404, 409),
            owner=owner,
        ),
    ]
