"""How a webhook ends, within a transaction: disabled for a reason, with what was pending for it."""

from __future__ import annotations

from dataclasses import replace

from alloyd.db import Tx
from alloyd.domain.webhooks import store
from alloyd.domain.webhooks.model import DisabledReason, Webhook
from alloyd.events.model import Event

# The sender ends what is left of a longer list, one by one as their times come.
CANCELLED_AT_ONCE = 500


def disable(tx: Tx, webhook: Webhook, reason: DisabledReason) -> Webhook:
    """Stop using the webhook. Emits ``webhook.disabled``."""
    ended = replace(webhook, enabled=False, disabled_reason=reason.value, failing_since=None, updated_at=tx.now)
    store.update(tx, ended)
    store.cancel_pending(tx, webhook.org_id, webhook.id, CANCELLED_AT_ONCE)
    tx.emit(Event(webhook.org_id, "webhook.disabled", webhook.id, {"reason": reason.value}))
    return ended


def disable_all(tx: Tx, org_id: str) -> None:
    """Stop using every webhook of an organization. Emits ``webhook.disabled`` for each."""
    for webhook in store.list_enabled(tx.conn, org_id):
        disable(tx, webhook, DisabledReason.ARCHIVED)


def seal_about(org_id: str, webhook_id: str) -> str:
    """What a webhook's secrets are bound to."""
    return f"webhooks {org_id} {webhook_id}"
