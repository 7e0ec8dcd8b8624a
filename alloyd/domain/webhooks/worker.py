"""The sender of deliveries: takes what is due, so many at one time, and records what became of each attempt."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from alloyd.db import Database, Tx
from alloyd.domain.webhooks import store
from alloyd.domain.webhooks.ending import CANCELLED_AT_ONCE, disable
from alloyd.domain.webhooks.model import (
    ATTEMPTS_KEPT,
    Attempt,
    Delivery,
    DeliveryState,
    DisabledReason,
    Webhook,
    WebhookSettings,
    host_of,
    retry_delay_ms,
)
from alloyd.domain.webhooks.posting import Posted, post
from alloyd.domain.webhooks.service import WebhookService
from alloyd.egress import Outbound
from alloyd.kit import crash
from alloyd.kit.clock import Clock
from alloyd.kit.crypto import UnsealError
from alloyd.log import get_logger

log = get_logger("alloyd.webhooks")

REST_S_MAX = 60.0
_HOUR_MS = 3_600_000


class WebhookSender:
    """One for the daemon. A delivery is a row that is pending until its end, so a kill loses none: it is sent again."""

    def __init__(
        self,
        database: Database,
        webhooks: WebhookService,
        outbound: Outbound,
        clock: Clock,
        settings: Callable[[], WebhookSettings],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._webhooks = webhooks
        self._outbound = outbound
        self._clock = clock
        self._settings = settings
        self._chance = chance
        self._awake = asyncio.Event()
        self._resting = asyncio.Event()
        self._under_way: dict[str, dict[str, asyncio.Task[None]]] = {}  # by webhook and delivery
        self._count = 0
        self._last_webhook = ""  # the next look begins behind it, so that none is always last

    @property
    def sending_count(self) -> int:
        """Attempts under way."""
        return self._count

    def wake(self) -> None:
        """Look for what is due now."""
        self._awake.set()

    async def run(self) -> None:
        """Send for ever. What is under way when this ends is sent again at the next start."""
        try:
            while True:
                self._awake.clear()
                next_at = await self._begin_due()
                if not self._count and not self._awake.is_set():
                    self._resting.set()
                await self._rest(next_at)
                self._resting.clear()
        finally:
            tasks = [task for some in self._under_way.values() for task in some.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until nothing is due and nothing under way; :meth:`run` has to be under way."""
        self._resting.clear()
        self._awake.set()
        await self._resting.wait()

    # -- choosing --------------------------------------------------------------------------------------------------

    async def _begin_due(self) -> int | None:
        """Begin what is due and has room; when to look again, None when only the end of an attempt makes room."""
        settings, now = self._settings(), self._clock.now_ms()
        busy = {webhook_id: frozenset(some) for webhook_id, some in self._under_way.items()}
        room, after = settings.sending_max - self._count, self._last_webhook
        due, next_at = await self._database.read(
            lambda conn: _find_due(conn, busy, room, settings.sending_per_webhook_max, after, now)
        )
        for delivery in due:
            task = asyncio.create_task(self._attempt(delivery), name="webhook delivery")
            self._under_way.setdefault(delivery.webhook_id, {})[delivery.id] = task
            self._count += 1
            self._last_webhook = delivery.webhook_id
            task.add_done_callback(partial(self._ended, delivery))
        return next_at

    async def _rest(self, next_at: int | None) -> None:
        wait_s = REST_S_MAX
        if next_at is not None:
            wait_s = min(max(next_at - self._clock.now_ms(), 1) / 1000, REST_S_MAX)
        try:
            async with asyncio.timeout(wait_s):
                await self._awake.wait()
        except TimeoutError:
            return

    def _ended(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        some = self._under_way[delivery.webhook_id]
        del some[delivery.id]
        if not some:
            del self._under_way[delivery.webhook_id]
        self._count -= 1
        if not task.cancelled() and task.exception() is not None:
            # The row is as it was: it is due again when the loop looks next, which is not at once.
            log.error("a delivery's attempt was not recorded", delivery_id=delivery.id, exc_info=task.exception())
            return
        self._awake.set()

    # -- one attempt -----------------------------------------------------------------------------------------------

    async def _attempt(self, delivery: Delivery) -> None:
        webhook = await self._database.read(lambda conn: store.find(conn, delivery.org_id, delivery.webhook_id))
        if webhook is None or not webhook.enabled:
            await self._database.write(
                lambda tx: store.cancel_pending(tx, delivery.org_id, delivery.webhook_id, CANCELLED_AT_ONCE)
            )
            return
        at, began = self._clock.now_ms(), time.monotonic()
        posted = await self._post(webhook, delivery, at)
        duration_ms = int((time.monotonic() - began) * 1000)
        crash.reach("webhook.sent")
        await self._database.write(lambda tx: self._record(tx, delivery, posted, at, duration_ms))

    async def _post(self, webhook: Webhook, delivery: Delivery, at: int) -> Posted:
        try:
            destination = self._webhooks.open_destination(webhook)
        except UnsealError:
            return Posted(error="the secret can't be opened; rotate it", final=True)
        crash.reach("webhook.before_send")
        return await post(self._outbound, destination, delivery, at, self._settings().timeout_s)

    def _record(self, tx: Tx, taken: Delivery, posted: Posted, at: int, duration_ms: int) -> None:
        now = store.find_delivery(tx.conn, taken.org_id, taken.id)
        if now is None:
            return
        attempt = Attempt(now.attempt_count + 1, at, duration_ms, posted.status, posted.error, posted.response or None)
        now = replace(now, attempts=(*now.attempts, attempt)[-ATTEMPTS_KEPT:], round_attempts=now.round_attempts + 1)
        webhook = store.find(tx.conn, taken.org_id, taken.webhook_id)
        if posted.arrived:
            store.update_delivery(tx, _ended(now, DeliveryState.DELIVERED, tx.now))
            if webhook is not None and webhook.failing_since is not None:
                store.set_failing_since(tx, webhook.org_id, webhook.id, None)
            return
        store.update_delivery(tx, self._after_failure(now, posted, tx.now))
        if webhook is not None and webhook.enabled:
            self._note_failure(tx, webhook, posted)

    def _after_failure(self, now: Delivery, posted: Posted, at: int) -> Delivery:
        if now.state is not DeliveryState.PENDING:
            return now  # it was cancelled meanwhile
        settings = self._settings()
        if posted.final or now.round_attempts >= settings.attempts_max:
            return _ended(now, DeliveryState.FAILED, at)
        delay_ms = retry_delay_ms(settings, now.round_attempts, self._chance(), posted.retry_after_ms)
        return replace(now, next_attempt_at=at + delay_ms)

    def _note_failure(self, tx: Tx, webhook: Webhook, posted: Posted) -> None:
        reason = None
        if posted.gone:
            reason = DisabledReason.GONE
        elif webhook.failing_since is None:
            store.set_failing_since(tx, webhook.org_id, webhook.id, tx.now)
        elif tx.now - webhook.failing_since >= self._settings().disable_after_hours * _HOUR_MS:
            reason = DisabledReason.FAILING
        if reason is not None:
            disable(tx, webhook, reason)
            tx.after_commit(partial(self._webhooks.forget, webhook.org_id, webhook.id))
            log.warning("disabled a webhook", webhook_id=webhook.id, host=host_of(webhook.url), reason=reason.value)


def _find_due(
    conn: sqlite3.Connection, busy: Mapping[str, frozenset[str]], room: int, each_max: int, after: str, now: int
) -> tuple[list[Delivery], int | None]:
    """What is due and has room, webhook by webhook from ``after`` on; and when the next one will be due."""
    found: list[Delivery] = []
    first: str | None = None
    while room > len(found):
        webhook_id = store.find_next_pending_webhook(conn, after) or store.find_next_pending_webhook(conn, "")
        if webhook_id is None or webhook_id == first:
            return found, store.find_next_attempt_at(conn, now)
        first, after = first or webhook_id, webhook_id
        taken = busy.get(webhook_id, frozenset())
        free = min(each_max - len(taken), room - len(found))
        if free > 0:
            listed = store.list_due(conn, webhook_id, now, free + len(taken))
            found.extend([one for one in listed if one.id not in taken][:free])
    return found, None


def _ended(delivery: Delivery, state: DeliveryState, at: int) -> Delivery:
    return replace(delivery, state=state, next_attempt_at=None, ended_at=at)
