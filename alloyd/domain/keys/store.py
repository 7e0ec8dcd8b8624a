"""All SQL of API keys. Secrets go in as hashes and come out only to be compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.keys.model import ApiKey
from alloyd.principal import Role

_SCOPES = msgspec.json.Decoder(tuple[str, ...])


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """What a raw key is checked against."""

    key: ApiKey
    secret_hash: bytes
    org_archived: bool


def insert(tx: Tx, key: ApiKey, secret_hash: bytes) -> None:
    """Write a new key."""
    tx.execute(
        "INSERT INTO api_keys (id, org_id, name, description, key_id, secret_hash, scopes, role, created_by, "
        "created_at, expires_at, team_id, teammate_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key.id,
            key.org_id,
            key.name,
            key.description,
            key.key_id,
            secret_hash,
            msgspec.json.encode(key.scopes).decode(),
            key.role.value,
            key.created_by,
            key.created_at,
            key.expires_at,
            key.team_id,
            key.teammate_id,
        ),
    )


def exists_key_id(tx: Tx, key_id: str) -> bool:
    """Whether any organization has a key of that visible id."""
    return tx.execute("SELECT 1 FROM api_keys WHERE key_id = ?", (key_id,)).fetchone() is not None


def find_secret(conn: sqlite3.Connection, key_id: str) -> Secret | None:
    """The key of that visible id with its hash: here the credential tells the organization, not the other way round."""
    row = conn.execute(
        "SELECT k.id, k.org_id, k.name, k.description, k.key_id, k.scopes, k.role, k.created_by, k.created_at, "
        "k.expires_at, k.disabled_at, k.revoked_at, k.last_used_at, k.team_id, k.teammate_id, k.secret_hash, "
        "o.archived_at FROM api_keys k JOIN organizations o ON o.id = k.org_id WHERE k.key_id = ?",
        (key_id,),
    ).fetchone()
    return None if row is None else Secret(_key(row), row[15], row[16] is not None)


def find(conn: sqlite3.Connection, org_id: str, id_: str) -> ApiKey | None:
    """One of an organization's keys, ended ones too."""
    row = conn.execute(
        "SELECT id, org_id, name, description, key_id, scopes, role, created_by, created_at, expires_at, "
        "disabled_at, revoked_at, last_used_at, team_id, teammate_id FROM api_keys WHERE org_id = ? AND id = ?",
        (org_id, id_),
    ).fetchone()
    return None if row is None else _key(row)


def find_org_id(conn: sqlite3.Connection, id_: str) -> str | None:
    """The organization that a key belongs to."""
    row = conn.execute("SELECT org_id FROM api_keys WHERE id = ?", (id_,)).fetchone()
    return None if row is None else row[0]


def exists_live_of_team(tx: Tx, org_id: str, team_id: str) -> bool:
    """Whether a key that works now is bound to a team."""
    row = tx.execute(
        "SELECT 1 FROM api_keys WHERE org_id = ? AND team_id = ? AND revoked_at IS NULL AND disabled_at IS NULL "
        "AND (expires_at IS NULL OR expires_at > ?) LIMIT 1",
        (org_id, team_id, tx.now),
    ).fetchone()
    return row is not None


def list_unrevoked_of_teammate(tx: Tx, org_id: str, teammate_id: str) -> list[tuple[str, str, str]]:
    """Row id, visible id and name of the keys bound to a teammate that are not revoked yet."""
    rows = tx.execute(
        "SELECT id, key_id, name FROM api_keys WHERE org_id = ? AND teammate_id = ? AND revoked_at IS NULL ORDER BY id",
        (org_id, teammate_id),
    )
    return rows.fetchall()


def list_before(conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int) -> list[ApiKey]:
    """An organization's keys with ids below ``before_id`` (None: from the newest), newest first, ended ones too."""
    rows = conn.execute(
        "SELECT id, org_id, name, description, key_id, scopes, role, created_by, created_at, expires_at, "
        "disabled_at, revoked_at, last_used_at, team_id, teammate_id FROM api_keys "
        "WHERE org_id = ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
        (org_id, before_id, limit),
    )
    return [_key(row) for row in rows]


def list_live(tx: Tx, org_id: str) -> list[tuple[str, str]]:
    """Row id and visible id of an organization's keys that work now."""
    rows = tx.execute(
        "SELECT id, key_id FROM api_keys WHERE org_id = ? AND revoked_at IS NULL AND disabled_at IS NULL "
        "AND (expires_at IS NULL OR expires_at > ?)",
        (org_id, tx.now),
    )
    return rows.fetchall()


def list_expired(conn: sqlite3.Connection, after_ms: int, until_ms: int) -> list[tuple[str, str]]:
    """Row id and visible id of the keys of every organization whose time ended in (after_ms, until_ms]."""
    rows = conn.execute(
        "SELECT id, key_id FROM api_keys WHERE expires_at > ? AND expires_at <= ? ORDER BY expires_at",
        (after_ms, until_ms),
    )
    return rows.fetchall()


def find_next_expiry(conn: sqlite3.Connection, after_ms: int) -> int | None:
    """When the next key of any organization ends after ``after_ms``."""
    row = conn.execute("SELECT min(expires_at) FROM api_keys WHERE expires_at > ?", (after_ms,)).fetchone()
    when: int | None = row[0]
    return when


def count_live(tx: Tx, org_id: str, limit: int) -> int:
    """How many of an organization's keys work now; counting stops at ``limit``."""
    row = tx.execute(
        "SELECT count(*) FROM (SELECT 1 FROM api_keys WHERE org_id = ? AND revoked_at IS NULL "
        "AND disabled_at IS NULL AND (expires_at IS NULL OR expires_at > ?) LIMIT ?)",
        (org_id, tx.now, limit),
    ).fetchone()
    count: int = row[0]
    return count


def disable(tx: Tx, org_id: str, id_: str) -> None:
    """Mark as disabled now."""
    tx.execute("UPDATE api_keys SET disabled_at = ? WHERE org_id = ? AND id = ?", (tx.now, org_id, id_))


def revoke(tx: Tx, org_id: str, id_: str) -> None:
    """Mark as revoked now."""
    tx.execute("UPDATE api_keys SET revoked_at = ? WHERE org_id = ? AND id = ?", (tx.now, org_id, id_))


def set_expiry(tx: Tx, org_id: str, id_: str, expires_at: int) -> None:
    """Let the key end at ``expires_at``, milliseconds since the epoch."""
    tx.execute("UPDATE api_keys SET expires_at = ? WHERE org_id = ? AND id = ?", (expires_at, org_id, id_))


def update_last_used(tx: Tx, used: Iterable[tuple[int, str, str]]) -> None:
    """Write down times of last use: (milliseconds since the epoch, org_id, row id) each; an older one changes none."""
    tx.executemany(
        "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE org_id = ? AND id = ?", used
    )


def _key(row: Any) -> ApiKey:
    return ApiKey(row[0], row[1], row[2], row[3], row[4], _SCOPES.decode(row[5]), Role(row[6]), *row[7:15])


# In the table of notes: the organization whose first key was made, and perhaps shown to nobody yet.
_UNTOLD = "first_key_untold"


def find_untold_org(tx: Tx) -> str | None:
    """The id of the organization whose first key may not have been shown."""
    row = tx.execute("SELECT value FROM meta WHERE key = ?", (_UNTOLD,)).fetchone()
    return None if row is None else row[0]


def note_untold_org(tx: Tx, org_id: str) -> None:
    """The organization's first key is made; it still has to be shown."""
    tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_UNTOLD, org_id))


def forget_untold_org(tx: Tx) -> None:
    """The first key was shown."""
    tx.execute("DELETE FROM meta WHERE key = ?", (_UNTOLD,))
