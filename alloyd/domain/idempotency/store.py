"""All SQL of idempotency keys."""

from __future__ import annotations

from alloyd.db.tx import Tx


def find(tx: Tx, org_id: str, route: str, key: str) -> tuple[str, bytes] | None:
    """The request's digest and the stored answer under a key."""
    row = tx.execute(
        "SELECT request_digest, answer FROM idempotency_keys WHERE org_id = ? AND route = ? AND key = ?",
        (org_id, route, key),
    ).fetchone()
    return None if row is None else (row[0], row[1].encode())


def insert(tx: Tx, org_id: str, route: str, key: str, digest: str, answer: bytes) -> None:
    """Keep an answer under its key."""
    tx.execute(
        "INSERT INTO idempotency_keys (org_id, route, key, request_digest, answer, created_at) "
        "VALUES (?, ?, ?, ?, CAST(? AS TEXT), ?)",
        (org_id, route, key, digest, answer, tx.now),
    )


def delete_of_route(tx: Tx, org_id: str, route: str, limit: int) -> int:
    """Delete at most ``limit`` keys of a route; how many there were."""
    return tx.execute(
        "DELETE FROM idempotency_keys WHERE (org_id, route, key) IN "
        "(SELECT org_id, route, key FROM idempotency_keys WHERE org_id = ? AND route = ? LIMIT ?)",
        (org_id, route, limit),
    ).rowcount


def delete_before(tx: Tx, before_ms: int, limit: int) -> int:
    """Delete at most ``limit`` keys older than ``before_ms``, of every organization; how many there were."""
    return tx.execute(
        "DELETE FROM idempotency_keys WHERE (org_id, route, key) IN "
        "(SELECT org_id, route, key FROM idempotency_keys WHERE created_at < ? ORDER BY created_at LIMIT ?)",
        (before_ms, limit),
    ).rowcount
