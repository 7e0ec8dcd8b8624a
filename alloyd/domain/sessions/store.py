"""All SQL of tokens that were signed out."""

from __future__ import annotations

import sqlite3

from alloyd.db.tx import Tx


def insert_revoked(tx: Tx, jti: str, user_id: str, expires_at: int) -> None:
    """Remember that a token was signed out, until ``expires_at`` in ms; again it changes nothing."""
    tx.execute(
        "INSERT INTO revoked_tokens (jti, user_id, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (jti, user_id, expires_at),
    )


def list_revoked(conn: sqlite3.Connection, user_id: str, after_ms: int) -> list[str]:
    """A user's tokens that were signed out and would still be valid after ``after_ms``."""
    rows = conn.execute("SELECT jti FROM revoked_tokens WHERE user_id = ? AND expires_at > ?", (user_id, after_ms))
    return [row[0] for row in rows]


def delete_expired(tx: Tx, limit: int) -> None:
    """Forget at most ``limit`` tokens that have ended by themselves."""
    tx.execute(
        "DELETE FROM revoked_tokens WHERE jti IN "
        "(SELECT jti FROM revoked_tokens WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        (tx.now, limit),
    )
