"""All SQL of webhooks and their deliveries."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.webhooks.model import Attempt, Delivery, DeliveryFilter, DeliveryState, Webhook

_WEBHOOK = (
    "SELECT id, org_id, url, description, events, secret, former_secret, former_until, enabled, disabled_reason, "
    "failing_since, created_by, created_at, updated_at FROM webhooks "
)
_DELIVERY = (
    "SELECT id, org_id, webhook_id, event_id, kind, body, state, round_attempts, attempts, next_attempt_at, "
    "created_at, ended_at FROM webhook_deliveries "
)
_PATTERNS = msgspec.json.Decoder(tuple[str, ...])
_ATTEMPTS = msgspec.json.Decoder(tuple[Attempt, ...])
_LAST_ID = "g"  # sorts after every UUID


# -- webhooks ------------------------------------------------------------------------------------------------------


def insert(tx: Tx, webhook: Webhook) -> None:
    """A new webhook."""
    tx.execute(
        "INSERT INTO webhooks (id, org_id, url, description, events, secret, former_secret, former_until, enabled, "
        "disabled_reason, failing_since, created_by, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            webhook.id,
            webhook.org_id,
            webhook.url,
            webhook.description,
            msgspec.json.encode(webhook.events),
            webhook.secret,
            webhook.former_secret,
            webhook.former_until,
            webhook.enabled,
            webhook.disabled_reason,
            webhook.failing_since,
            webhook.created_by,
            webhook.created_at,
            webhook.updated_at,
        ),
    )


def update(tx: Tx, webhook: Webhook) -> None:
    """Write everything of a webhook that may change."""
    tx.execute(
        "UPDATE webhooks SET url = ?, description = ?, events = CAST(? AS TEXT), secret = ?, former_secret = ?, "
        "former_until = ?, enabled = ?, disabled_reason = ?, failing_since = ?, updated_at = ? "
        "WHERE id = ? AND org_id = ?",
        (
            webhook.url,
            webhook.description,
            msgspec.json.encode(webhook.events),
            webhook.secret,
            webhook.former_secret,
            webhook.former_until,
            webhook.enabled,
            webhook.disabled_reason,
            webhook.failing_since,
            webhook.updated_at,
            webhook.id,
            webhook.org_id,
        ),
    )


def set_failing_since(tx: Tx, org_id: str, webhook_id: str, since: int | None) -> None:
    """Note when failures began, or that they are over."""
    tx.execute("UPDATE webhooks SET failing_since = ? WHERE id = ? AND org_id = ?", (since, webhook_id, org_id))


def delete(tx: Tx, org_id: str, webhook_id: str) -> None:
    """Forget a webhook; its deliveries stay until retention takes them."""
    tx.execute("DELETE FROM webhooks WHERE id = ? AND org_id = ?", (webhook_id, org_id))


def find(conn: sqlite3.Connection, org_id: str, webhook_id: str) -> Webhook | None:
    """The organization's webhook of that id."""
    row = conn.execute(_WEBHOOK + "WHERE id = ? AND org_id = ?", (webhook_id, org_id)).fetchone()
    return None if row is None else _webhook(row)


def find_organization(conn: sqlite3.Connection, webhook_id: str) -> str | None:
    """Whose webhook it is."""
    row = conn.execute("SELECT org_id FROM webhooks WHERE id = ?", (webhook_id,)).fetchone()
    return None if row is None else str(row[0])


def count(conn: sqlite3.Connection, org_id: str) -> int:
    """How many webhooks an organization has."""
    found: int = conn.execute("SELECT count(*) FROM webhooks WHERE org_id = ?", (org_id,)).fetchone()[0]
    return found


def list_before(conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int) -> list[Webhook]:
    """Newest first, those with ids below ``before_id``."""
    rows = conn.execute(
        _WEBHOOK + "WHERE org_id = ? AND id < ? ORDER BY id DESC LIMIT ?", (org_id, before_id or _LAST_ID, limit)
    )
    return [_webhook(row) for row in rows]


def list_subscriptions(conn: sqlite3.Connection) -> list[tuple[str, str, tuple[str, ...], int]]:
    """(organization, id, patterns, time it was made) of every enabled webhook, for the memory of who wants what."""
    rows = conn.execute("SELECT org_id, id, events, created_at FROM webhooks WHERE enabled = 1 ORDER BY id")
    return [(row[0], row[1], _PATTERNS.decode(row[2]), row[3]) for row in rows]


def list_enabled(conn: sqlite3.Connection, org_id: str) -> list[Webhook]:
    """The organization's webhooks that are in use."""
    return [_webhook(row) for row in conn.execute(_WEBHOOK + "WHERE org_id = ? AND enabled = 1", (org_id,))]


def list_after(conn: sqlite3.Connection, after_id: str, limit: int) -> list[Webhook]:
    """Webhooks of everybody with ids above ``after_id``: for a change of the key that seals."""
    return [_webhook(row) for row in conn.execute(_WEBHOOK + "WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit))]


# -- deliveries ----------------------------------------------------------------------------------------------------


def insert_deliveries(tx: Tx, deliveries: list[Delivery]) -> None:
    """New deliveries, to be sent now."""
    tx.execute_rows(
        "INSERT INTO webhook_deliveries (id, org_id, webhook_id, event_id, kind, body, state, next_attempt_at, "
        "created_at) VALUES",
        "",
        [
            (
                one.id,
                one.org_id,
                one.webhook_id,
                one.event_id,
                one.kind,
                one.body.decode(),
                one.state.value,
                one.next_attempt_at,
                one.created_at,
            )
            for one in deliveries
        ],
    )


def update_delivery(tx: Tx, delivery: Delivery) -> None:
    """Write where a delivery stands."""
    tx.execute(
        "UPDATE webhook_deliveries SET state = ?, round_attempts = ?, attempts = CAST(? AS TEXT), next_attempt_at = ?, "
        "ended_at = ? WHERE id = ? AND org_id = ?",
        (
            delivery.state.value,
            delivery.round_attempts,
            msgspec.json.encode(delivery.attempts),
            delivery.next_attempt_at,
            delivery.ended_at,
            delivery.id,
            delivery.org_id,
        ),
    )


def cancel_pending(tx: Tx, org_id: str, webhook_id: str, limit: int) -> int:
    """End at most ``limit`` of a webhook's pending deliveries; how many there were."""
    return tx.execute(
        "UPDATE webhook_deliveries SET state = 'cancelled', next_attempt_at = NULL, ended_at = ? "
        "WHERE org_id = ? AND id IN (SELECT id FROM webhook_deliveries WHERE state = 'pending' AND webhook_id = ? "
        "AND org_id = ? LIMIT ?)",
        (tx.now, org_id, webhook_id, org_id, limit),
    ).rowcount


def count_pending(conn: sqlite3.Connection, org_id: str, webhook_id: str, most: int) -> int:
    """How many deliveries wait for a webhook, counted up to ``most``."""
    found: int = conn.execute(
        "SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries WHERE state = 'pending' AND webhook_id = ? "
        "AND org_id = ? LIMIT ?)",
        (webhook_id, org_id, most),
    ).fetchone()[0]
    return found


def find_delivery(conn: sqlite3.Connection, org_id: str, delivery_id: str) -> Delivery | None:
    """The organization's delivery of that id."""
    row = conn.execute(_DELIVERY + "WHERE id = ? AND org_id = ?", (delivery_id, org_id)).fetchone()
    return None if row is None else _delivery(row)


def find_organization_of_delivery(conn: sqlite3.Connection, delivery_id: str) -> str | None:
    """Whose delivery it is."""
    row = conn.execute("SELECT org_id FROM webhook_deliveries WHERE id = ?", (delivery_id,)).fetchone()
    return None if row is None else str(row[0])


def list_deliveries(
    conn: sqlite3.Connection, org_id: str, webhook_id: str, wanted: DeliveryFilter, before_id: str | None, limit: int
) -> list[Delivery]:
    """A webhook's deliveries, newest first, those with ids below ``before_id``."""
    rows = conn.execute(
        _DELIVERY + "WHERE org_id = ?1 AND webhook_id = ?2 AND id < ?3 AND (?4 IS NULL OR state = ?4) "
        "AND (?5 IS NULL OR kind = ?5) AND (?6 IS NULL OR event_id = ?6) ORDER BY id DESC LIMIT ?7",
        (
            org_id,
            webhook_id,
            before_id or _LAST_ID,
            wanted.state.value if wanted.state else None,
            wanted.kind,
            wanted.event_id,
            limit,
        ),
    )
    return [_delivery(row) for row in rows]


def find_next_pending_webhook(conn: sqlite3.Connection, after_id: str) -> str | None:
    """The first webhook after ``after_id``, in the order of ids, that has something pending."""
    row = conn.execute(
        "SELECT webhook_id FROM webhook_deliveries INDEXED BY webhook_deliveries_due "
        "WHERE state = 'pending' AND webhook_id > ? ORDER BY webhook_id LIMIT 1",
        (after_id,),
    ).fetchone()
    return None if row is None else str(row[0])


def list_due(conn: sqlite3.Connection, webhook_id: str, until: int, limit: int) -> list[Delivery]:
    """A webhook's deliveries whose time has come, the longest overdue first."""
    rows = conn.execute(
        _DELIVERY + "INDEXED BY webhook_deliveries_due WHERE state = 'pending' AND webhook_id = ? "
        "AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ?",
        (webhook_id, until, limit),
    )
    return [_delivery(row) for row in rows]


def find_next_attempt_at(conn: sqlite3.Connection, after: int) -> int | None:
    """When the next delivery that is not due by ``after`` will be."""
    row = conn.execute(
        "SELECT min(next_attempt_at) FROM webhook_deliveries WHERE state = 'pending' AND next_attempt_at > ?", (after,)
    ).fetchone()
    return None if row[0] is None else int(row[0])


def delete_of_events(tx: Tx, org_id: str, event_ids: Sequence[int]) -> None:
    """Delete all deliveries of these events."""
    tx.executemany(
        "DELETE FROM webhook_deliveries WHERE event_id = ? AND org_id = ?", [(str(one), org_id) for one in event_ids]
    )


def delete_ended(tx: Tx, before_ms: int, limit: int) -> int:
    """Delete at most ``limit`` deliveries that ended before ``before_ms``; how many there were."""
    return tx.execute(
        "DELETE FROM webhook_deliveries WHERE id IN "
        "(SELECT id FROM webhook_deliveries WHERE ended_at < ? ORDER BY ended_at LIMIT ?)",
        (before_ms, limit),
    ).rowcount


def _webhook(row: tuple[Any, ...]) -> Webhook:
    values = [*row[:4], _PATTERNS.decode(row[4]), *row[5:8], bool(row[8]), *row[9:]]
    return Webhook(*values)


def _delivery(row: tuple[Any, ...]) -> Delivery:
    values = [*row[:5], row[5].encode(), DeliveryState(row[6]), row[7], _ATTEMPTS.decode(row[8]), *row[9:]]
    return Delivery(*values)
