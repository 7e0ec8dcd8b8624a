"""Use cases of outgoing webhooks: make, show, change, rotate, delete; and what events mean for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from msgspec import UnsetType

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.orgs import service as orgs
from alloyd.domain.webhooks import store
from alloyd.domain.webhooks.ending import disable, disable_all, seal_about
from alloyd.domain.webhooks.model import (
    GRACE_MS,
    GRACE_MS_MAX,
    ChangeWebhook,
    CreateWebhook,
    Delivery,
    DeliveryState,
    Destination,
    DisabledReason,
    IssuedWebhook,
    Webhook,
    WebhookSettings,
    check_description,
    check_patterns,
    check_secret,
    check_url,
    host_of,
    new_secret,
    wants,
)
from alloyd.errors import bad_request, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.kit.crypto import Sealer
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

_WHAT = "webhook"
CANCELLED_PER_WRITE = 500


class WebhookService:
    """The only door to webhooks. ``settings()`` gives what is in force; ``wake`` is set by the sender."""

    def __init__(
        self, database: Database, sealer: Sealer, clock: Clock, settings: Callable[[], WebhookSettings]
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._settings = settings
        # Who wants what, by organization: asked for every event there is.
        self._wanted: dict[str, dict[str, tuple[tuple[str, ...], int]]] = {}
        self.wake: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Read who wants what; before the consumer of events begins."""
        self._wanted.clear()
        for org_id, webhook_id, patterns, created_at in await self._database.read(store.list_subscriptions):
            self._wanted.setdefault(org_id, {})[webhook_id] = (patterns, created_at)

    # -- making and changing ---------------------------------------------------------------------------------------

    async def create(self, principal: Principal, new: CreateWebhook, once: Once | None = None) -> IssuedWebhook:
        """Make a webhook. A repeat of ``once`` answers with the first one, without its secret.

        Raises ``bad_request`` (url, events, description, secret), ``conflict`` when the organization is archived or has
        ``webhooks.per_org_max`` already. Emits ``webhook.created``.
        """
        url, patterns = check_url(new.url), check_patterns(new.events)
        description = check_description(new.description)
        secret = new_secret() if new.secret is None else check_secret(new.secret)
        org_id, webhook_id = principal.org_id, new_id()
        sealed = self._sealer.seal(secret.encode(), seal_about(org_id, webhook_id))

        def write(tx: Tx) -> IssuedWebhook:
            made = idempotency.find_made(tx, org_id, once)
            if made is not None:
                return IssuedWebhook(_must_find(tx.conn, org_id, made), None)
            orgs.require_active(tx, org_id)
            most = self._settings().per_org_max
            if store.count(tx.conn, org_id) >= most:
                raise conflict(f"the organization has {most} webhooks, the most it may have")
            webhook = Webhook(
                id=webhook_id,
                org_id=org_id,
                url=url,
                description=description,
                events=patterns,
                secret=sealed,
                former_secret=None,
                former_until=None,
                enabled=new.enabled,
                disabled_reason=None if new.enabled else DisabledReason.BY_REQUEST.value,
                failing_since=None,
                created_by=principal.id,
                created_at=tx.now,
                updated_at=tx.now,
            )
            store.insert(tx, webhook)
            _tell(tx, webhook, "webhook.created", host=host_of(url), events=list(patterns), enabled=new.enabled)
            idempotency.remember_made(tx, org_id, once, webhook_id)
            tx.after_commit(lambda: self._remember(webhook))
            return IssuedWebhook(webhook, secret)

        return await self._database.write(write)

    async def update(self, principal: Principal, webhook_id: str, change: ChangeWebhook) -> Webhook:
        """Change what ``change`` names. Disabling ends what is pending; enabling begins with events from then on.

        Raises ``not_found``, ``bad_request``. Emits ``webhook.updated``, and ``webhook.disabled`` for the one thing.
        """
        _check_change(change)
        org_id = principal.org_id

        def write(tx: Tx) -> Webhook:
            before = _must_find(tx.conn, org_id, webhook_id)
            after = _changed(before, change, tx.now)
            if after == replace(before, updated_at=after.updated_at):
                return before
            if after.enabled and not before.enabled:
                orgs.require_active(tx, org_id)
            store.update(tx, after)
            fields = [name for name in ("url", "events", "description", "enabled") if _differ(before, after, name)]
            _tell(tx, after, "webhook.updated", host=host_of(after.url), changed=fields, enabled=after.enabled)
            if before.enabled and not after.enabled:
                after = disable(tx, after, DisabledReason.BY_REQUEST)
            tx.after_commit(lambda: self._remember(after))
            return after

        updated = await self._database.write(write)
        if not updated.enabled:
            await self._cancel_rest(updated.org_id, updated.id)
        return updated

    async def rotate_secret(
        self, principal: Principal, webhook_id: str, grace_ms: int | None = None, secret: str | None = None
    ) -> IssuedWebhook:
        """Replace the secret. For ``grace_ms`` (a day unless given) both sign; 0 ends the former one at once.

        Raises ``not_found``, ``bad_request``. Emits ``webhook.secret_rotated``.
        """
        grace = GRACE_MS if grace_ms is None else grace_ms
        if not 0 <= grace <= GRACE_MS_MAX:
            raise bad_request(f"grace_ms: 0 to {GRACE_MS_MAX}", "grace_ms")
        secret = new_secret() if secret is None else check_secret(secret)
        org_id = principal.org_id
        sealed = self._sealer.seal(secret.encode(), seal_about(org_id, webhook_id))

        def write(tx: Tx) -> Webhook:
            before = _must_find(tx.conn, org_id, webhook_id)
            after = replace(
                before,
                secret=sealed,
                former_secret=before.secret if grace else None,
                former_until=tx.now + grace if grace else None,
                updated_at=tx.now,
            )
            store.update(tx, after)
            _tell(tx, after, "webhook.secret_rotated", grace_ms=grace)
            return after

        return IssuedWebhook(await self._database.write(write), secret)

    async def delete(self, principal: Principal, webhook_id: str) -> None:
        """Forget a webhook and end what is pending for it. Raises ``not_found``. Emits ``webhook.deleted``."""
        org_id = principal.org_id

        def write(tx: Tx) -> None:
            webhook = _must_find(tx.conn, org_id, webhook_id)
            store.delete(tx, org_id, webhook_id)
            store.cancel_pending(tx, org_id, webhook_id, CANCELLED_PER_WRITE)
            _tell(tx, webhook, "webhook.deleted", host=host_of(webhook.url))
            tx.after_commit(lambda: self.forget(org_id, webhook_id))

        await self._database.write(write)
        await self._cancel_rest(org_id, webhook_id)

    async def _cancel_rest(self, org_id: str, webhook_id: str) -> None:
        """End the rest of what is pending, so many in a write that no other one waits for long."""
        while await self._database.write(lambda tx: store.cancel_pending(tx, org_id, webhook_id, CANCELLED_PER_WRITE)):
            continue

    def reseal_some(self, tx: Tx, after_id: str, limit: int) -> str | None:
        """For a change of the key: seal the secrets of some webhooks anew; the id to go on after, None at the end."""
        found = store.list_after(tx.conn, after_id, limit)
        for webhook in found:
            about = seal_about(webhook.org_id, webhook.id)
            secret = self._sealer.reseal(webhook.secret, about)
            former = None if webhook.former_secret is None else self._sealer.reseal(webhook.former_secret, about)
            if secret is not None or former is not None:
                fresh = replace(webhook, secret=secret or webhook.secret, former_secret=former or webhook.former_secret)
                store.update(tx, fresh)
        return found[-1].id if found else None

    # -- showing ---------------------------------------------------------------------------------------------------

    async def get(self, principal: Principal, webhook_id: str) -> Webhook:
        """One webhook. Raises ``not_found``."""
        return await self._database.read(lambda conn: _must_find(conn, principal.org_id, webhook_id))

    async def list_page(self, principal: Principal, before_id: str | None, limit: int) -> list[Webhook]:
        """A page of the organization's webhooks, newest first."""
        return await self._database.read(lambda conn: store.list_before(conn, principal.org_id, before_id, limit))

    async def find_organization(self, webhook_id: str) -> str | None:
        """Whose webhook it is."""
        return await self._database.read(lambda conn: store.find_organization(conn, webhook_id))

    async def get_destination(self, principal: Principal, webhook_id: str) -> Destination:
        """Where a webhook leads and what signs for it: for ``webhook.send``.

        Raises ``not_found``, ``conflict`` when it is disabled.
        """
        webhook = await self.get(principal, webhook_id)
        if not webhook.enabled:
            raise conflict("the webhook is disabled", "webhook")
        return self.open_destination(webhook)

    def open_destination(self, webhook: Webhook) -> Destination:
        """The webhook's URL and its secrets in the clear, the former one while its grace lasts."""
        about = seal_about(webhook.org_id, webhook.id)
        sealed = [webhook.secret]
        if webhook.former_secret is not None and (webhook.former_until or 0) > self._clock.now_ms():
            sealed.append(webhook.former_secret)
        return Destination(webhook.url, tuple(self._sealer.unseal(text, about).decode() for text in sealed))

    # -- events ----------------------------------------------------------------------------------------------------

    def wants(self, event: Event) -> bool:
        """Whether any webhook of the event's organization asks for it; looks into memory only."""
        subscribed = self._wanted.get(event.org_id)
        return subscribed is not None and any(wants(patterns, event.kind) for patterns, _since in subscribed.values())

    def make_deliveries(self, tx: Tx, events: list[Event]) -> None:
        """A delivery for each event and webhook that asks for it, in the transaction of the consumer of events.

        Emits ``webhook.disabled`` for a webhook that is ``webhooks.pending_max`` deliveries behind.
        """
        made: list[Delivery] = []
        by_org: dict[str, list[Webhook]] = {}
        for event in events:
            if event.org_id not in by_org:
                by_org[event.org_id] = self._list_ready(tx, event.org_id)
            made.extend(
                new_delivery(tx, webhook, str(event.id), event.kind, event.to_json())
                for webhook in by_org[event.org_id]
                if event.created_at >= webhook.created_at and wants(webhook.events, event.kind)
            )
        if made:
            store.insert_deliveries(tx, made)
            tx.after_commit(self.wake)

    def _list_ready(self, tx: Tx, org_id: str) -> list[Webhook]:
        most = self._settings().pending_max
        ready = []
        for webhook in store.list_enabled(tx.conn, org_id):
            if store.count_pending(tx.conn, org_id, webhook.id, most) < most:
                ready.append(webhook)
            else:
                disable(tx, webhook, DisabledReason.BACKLOG)
                tx.after_commit(partial(self.forget, org_id, webhook.id))
        return ready

    def end_of_organization(self, tx: Tx, org_id: str) -> None:
        """In the transaction that archives an organization: its webhooks are disabled."""
        disable_all(tx, org_id)
        tx.after_commit(lambda: self._forget_all(org_id))

    def _remember(self, webhook: Webhook) -> None:
        if webhook.enabled:
            self._wanted.setdefault(webhook.org_id, {})[webhook.id] = (webhook.events, webhook.created_at)
        else:
            self.forget(webhook.org_id, webhook.id)

    def forget(self, org_id: str, webhook_id: str) -> None:
        """The webhook wants nothing any more."""
        subscribed = self._wanted.get(org_id, {})
        subscribed.pop(webhook_id, None)
        if not subscribed:
            self._wanted.pop(org_id, None)

    def _forget_all(self, org_id: str) -> None:
        self._wanted.pop(org_id, None)


def purge_deliveries(tx: Tx, before_ms: int, limit: int) -> int:
    """For retention: forget at most ``limit`` deliveries that ended before ``before_ms``; how many there were."""
    return store.delete_ended(tx, before_ms, limit)


def forget_events(tx: Tx, org_id: str, event_ids: Sequence[int]) -> None:
    """For a purge: delete every delivery of these events, also one that has not been sent."""
    store.delete_of_events(tx, org_id, event_ids)


def new_delivery(tx: Tx, webhook: Webhook, event_id: str, kind: str, body: bytes, delivery_id: str = "") -> Delivery:
    """A delivery to be sent at once."""
    return Delivery(
        id=delivery_id or new_id(),
        org_id=webhook.org_id,
        webhook_id=webhook.id,
        event_id=event_id,
        kind=kind,
        body=body,
        state=DeliveryState.PENDING,
        round_attempts=0,
        attempts=(),
        next_attempt_at=tx.now,
        created_at=tx.now,
        ended_at=None,
    )


def _check_change(change: ChangeWebhook) -> None:
    if not isinstance(change.url, UnsetType):
        check_url(change.url)
    if not isinstance(change.events, UnsetType):
        check_patterns(change.events)
    if not isinstance(change.description, UnsetType):
        check_description(change.description)


def _changed(before: Webhook, change: ChangeWebhook, now: int) -> Webhook:
    after = replace(before, updated_at=now)
    if not isinstance(change.url, UnsetType):
        after = replace(after, url=change.url)
    if not isinstance(change.events, UnsetType):
        after = replace(after, events=check_patterns(change.events))
    if not isinstance(change.description, UnsetType):
        after = replace(after, description=change.description)
    if not isinstance(change.enabled, UnsetType) and change.enabled != before.enabled:
        reason = None if change.enabled else DisabledReason.BY_REQUEST.value
        after = replace(after, enabled=change.enabled, disabled_reason=reason, failing_since=None)
    return after


def _differ(before: Webhook, after: Webhook, name: str) -> bool:
    return bool(getattr(before, name) != getattr(after, name))


def _must_find(conn: sqlite3.Connection, org_id: str, webhook_id: str) -> Webhook:
    found = store.find(conn, org_id, webhook_id)
    if found is None:
        raise not_found(_WHAT)
    return found


def _tell(tx: Tx, webhook: Webhook, kind: str, **payload: object) -> None:
    tx.emit(Event(webhook.org_id, kind, webhook.id, payload))
