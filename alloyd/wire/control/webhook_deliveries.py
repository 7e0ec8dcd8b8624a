"""`/v1/webhooks/{id}/deliveries` and `/v1/webhook-deliveries`: what was sent, how it went, and once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from alloyd.domain.webhooks.deliveries import DeliveryService
from alloyd.domain.webhooks.model import Delivery, DeliveryFilter, DeliveryState
from alloyd.domain.webhooks.service import WebhookService
from alloyd.kit.clock import rfc3339
from alloyd.wire.fields import Filter, IdempotencyKey
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.route import Call, Route


class AttemptJson(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: `status` and the beginning of the `response`, or the `error` why there was none."""

    attempt: int
    at: str
    duration_ms: int
    status: int | None
    error: str | None
    response: str | None


class DeliveryJson(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to a webhook. `attempts` are the newest, oldest first."""

    id: str
    webhook_id: str
    organization_id: str
    event_id: str
    kind: str
    state: str
    attempt_count: int
    attempts: list[AttemptJson]
    next_attempt_at: str | None
    created_at: str
    ended_at: str | None


class DeliveryDetail(DeliveryJson, frozen=True, kw_only=True):
    """A delivery with the event as it is sent."""

    body: dict[str, Any]


class SendBody(msgspec.Struct, frozen=True, kw_only=True):
    """What asks for one more request to a webhook: nothing has to be said."""

    idempotency_key: IdempotencyKey | None = None


class DeliveryQuery(PageQuery, frozen=True, kw_only=True):
    """The query of the list."""

    state: DeliveryState | None = None
    kind: Filter | None = None
    event_id: Filter | None = None


class Deliveries:
    """The handlers."""

    def __init__(self, deliveries: DeliveryService, limits: PageLimits) -> None:
        self._deliveries = deliveries
        self._pager = Pager("webhook_deliveries", limits, str)

    async def list_deliveries(self, call: Call) -> Sequence[DeliveryJson]:
        """Control contract: `GET /v1/webhooks/{id}/deliveries`, newest first."""
        query: DeliveryQuery = call.query
        page = self._pager.read(query)
        wanted = DeliveryFilter(query.state, query.kind, query.event_id)
        before = page.after[0] if page.after else None
        found = await self._deliveries.list_page(call.who, call.param("id"), wanted, before, page.fetch)
        kept = self._pager.cut(call, page, found, lambda delivery: (delivery.id,))
        return [delivery_json(delivery) for delivery in kept]

    async def get_delivery(self, call: Call) -> DeliveryDetail:
        """Control contract: `GET /v1/webhook-deliveries/{id}`."""
        delivery = await self._deliveries.get(call.who, call.param("id"))
        return DeliveryDetail(**_members(delivery), body=msgspec.json.decode(delivery.body))

    async def redeliver(self, call: Call) -> DeliveryJson:
        """Control contract: `POST /v1/webhook-deliveries/{id}/redeliver`."""
        once = read_once(call, call.body.idempotency_key)
        return delivery_json(await self._deliveries.redeliver(call.who, call.param("id"), once))


def delivery_json(delivery: Delivery) -> DeliveryJson:
    """``delivery`` on the wire, without its body."""
    return DeliveryJson(**_members(delivery))


def _members(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "webhook_id": delivery.webhook_id,
        "organization_id": delivery.org_id,
        "event_id": delivery.event_id,
        "kind": delivery.kind,
        "state": delivery.state.value,
        "attempt_count": delivery.attempt_count,
        "attempts": [
            AttemptJson(
                attempt=one.attempt,
                at=rfc3339(one.at),
                duration_ms=one.duration_ms,
                status=one.status,
                error=one.error,
                response=one.response,
            )
            for one in delivery.attempts
        ],
        "next_attempt_at": None if delivery.next_attempt_at is None else rfc3339(delivery.next_attempt_at),
        "created_at": rfc3339(delivery.created_at),
        "ended_at": None if delivery.ended_at is None else rfc3339(delivery.ended_at),
    }


def routes(webhooks: WebhookService, deliveries: DeliveryService, limits: PageLimits) -> list[Route]:
    """The routes of this file."""
    api = Deliveries(deliveries, limits)
    return [
        Route(
            "GET",
            "/webhooks/{id}/deliveries",
            api.list_deliveries,
            "webhook.read",
            "A webhook's deliveries, newest first",
            query=DeliveryQuery,
            output=list[DeliveryJson],
            statuses=(404,),
            owner=webhooks.find_organization,
        ),
        Route(
            "GET",
            "/webhook-deliveries/{id}",
            api.get_delivery,
            "webhook.read",
            "One delivery with what is sent",
            output=DeliveryDetail,
            statuses=(404,),
            owner=deliveries.find_organization,
        ),
        Route(
            "POST",
            "/webhook-deliveries/{id}/redeliver",
            api.redeliver,
            "webhook.write",
            "Send a delivery again, under its own id",
            body=SendBody,
            output=DeliveryJson,
            status=202,
            statuses=(404, 409),
            owner=deliveries.find_organization,
        ),
    ]
