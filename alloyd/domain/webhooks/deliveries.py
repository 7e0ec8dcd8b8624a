"""Use cases of deliveries: show them, ask for one again, try a webhook out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.webhooks import store
from alloyd.domain.webhooks.model import TEST_KIND, Delivery, DeliveryFilter, DeliveryState, Webhook
from alloyd.domain.webhooks.service import new_delivery
from alloyd.errors import conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.clock import rfc3339
from alloyd.kit.ids import new_id
from alloyd.principal import Principal


class DeliveryService:
    """The delivery log. ``wake`` is set by the sender."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.wake: Callable[[], None] = lambda: None

    async def get(self, principal: Principal, delivery_id: str) -> Delivery:
        """One delivery. Raises ``not_found``."""
        return await self._database.read(lambda conn: _must_find(conn, principal.org_id, delivery_id))

    async def find_organization(self, delivery_id: str) -> str | None:
        """Whose delivery it is."""
        return await self._database.read(lambda conn: store.find_organization_of_delivery(conn, delivery_id))

    async def list_page(
        self, principal: Principal, webhook_id: str, wanted: DeliveryFilter, before_id: str | None, limit: int
    ) -> list[Delivery]:
        """A page of a webhook's deliveries, newest first. Raises ``not_found`` when there is no such webhook."""

        def read(conn: sqlite3.Connection) -> list[Delivery]:
            _must_find_webhook(conn, principal.org_id, webhook_id)
            return store.list_deliveries(conn, principal.org_id, webhook_id, wanted, before_id, limit)

        return await self._database.read(read)

    async def redeliver(self, principal: Principal, delivery_id: str, once: Once | None = None) -> Delivery:
        """Send a delivery again, under its own id, with all its attempts before it; one that is pending is sent now.

        Raises ``not_found``, ``conflict`` when its webhook is deleted or disabled. Emits
        ``webhook.redelivery_requested``.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> Delivery:
            delivery = _must_find(tx.conn, org_id, delivery_id)
            if idempotency.find_made(tx, org_id, once) is not None:
                return delivery
            webhook = store.find(tx.conn, org_id, delivery.webhook_id)
            _require_enabled(webhook)
            again = replace(
                delivery, state=DeliveryState.PENDING, round_attempts=0, next_attempt_at=tx.now, ended_at=None
            )
            store.update_delivery(tx, again)
            payload = {"webhook_id": delivery.webhook_id, "kind": delivery.kind}
            tx.emit(Event(org_id, "webhook.redelivery_requested", delivery_id, payload))
            idempotency.remember_made(tx, org_id, once, delivery_id)
            tx.after_commit(self.wake)
            return again

        return await self._database.write(write)

    async def test(self, principal: Principal, webhook_id: str, once: Once | None = None) -> Delivery:
        """Send a ``webhook.test`` to a webhook, whatever it asks for; it is no event that anybody else hears of.

        Raises ``not_found``, ``conflict`` when it is disabled. Emits ``webhook.tested``.
        """
        org_id, delivery_id = principal.org_id, new_id()

        def write(tx: Tx) -> Delivery:
            made = idempotency.find_made(tx, org_id, once)
            if made is not None:
                return _must_find(tx.conn, org_id, made)
            webhook = _require_enabled(_must_find_webhook(tx.conn, org_id, webhook_id))
            body = msgspec.json.encode(
                {
                    "id": delivery_id,
                    "kind": TEST_KIND,
                    "organization_id": org_id,
                    "subject": webhook_id,
                    "payload": {"message": "a test of this webhook"},
                    "timestamp": rfc3339(tx.now),
                }
            )
            delivery = new_delivery(tx, webhook, delivery_id, TEST_KIND, body, delivery_id)
            store.insert_deliveries(tx, [delivery])
            tx.emit(Event(org_id, "webhook.tested", webhook_id, {"delivery_id": delivery_id}))
            idempotency.remember_made(tx, org_id, once, delivery_id)
            tx.after_commit(self.wake)
            return delivery

        return await self._database.write(write)


def _require_enabled(webhook: Webhook | None) -> Webhook:
    if webhook is None:
        raise conflict("the webhook is deleted")
    if not webhook.enabled:
        raise conflict("the webhook is disabled; enable it first")
    return webhook


def _must_find(conn: sqlite3.Connection, org_id: str, delivery_id: str) -> Delivery:
    found = store.find_delivery(conn, org_id, delivery_id)
    if found is None:
        raise not_found("webhook delivery")
    return found


def _must_find_webhook(conn: sqlite3.Connection, org_id: str, webhook_id: str) -> Webhook:
    found = store.find(conn, org_id, webhook_id)
    if found is None:
        raise not_found("webhook")
    return found
