"""All SQL of credentials, of organizations' OAuth clients, and of accounts that are being connected."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.credentials.model import Credential, CredentialFilter

_CREDENTIAL = (
    "SELECT id, org_id, end_user_id, connector, kind, label, settings, data, key_id, version, status, fault, "
    "expires_at, refreshable, last_used_at, created_by, created_at, updated_at FROM credentials "
)
_SETTINGS = msgspec.json.Decoder(dict[str, str])
_LAST_ID = "g"  # sorts after every UUID


def insert(tx: Tx, one: Credential) -> None:
    """A new credential."""
    tx.execute(
        "INSERT INTO credentials (id, org_id, end_user_id, connector, kind, label, settings, data, key_id, version, "
        "status, fault, expires_at, refreshable, last_used_at, created_by, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            one.id,
            one.org_id,
            one.end_user_id,
            one.connector,
            one.kind,
            one.label,
            msgspec.json.encode(one.settings),
            one.data,
            one.key_id,
            one.version,
            one.status,
            one.fault,
            one.expires_at,
            one.refreshable,
            one.last_used_at,
            one.created_by,
            one.created_at,
            one.updated_at,
        ),
    )


def update(tx: Tx, one: Credential, former_version: int, *, with_data: bool) -> bool:
    """Write all that may change, unless its content is another than ``former_version`` by now; whether it was.

    Without ``with_data`` the sealed text stays: a change of the key may have written it anew.
    """
    changed = tx.execute(
        "UPDATE credentials SET label = ?, settings = CAST(? AS TEXT), data = coalesce(?, data), "
        "key_id = coalesce(?, key_id), version = ?, status = ?, fault = ?, expires_at = ?, refreshable = ?, "
        "updated_at = ? WHERE id = ? AND org_id = ? AND version = ?",
        (
            one.label,
            msgspec.json.encode(one.settings),
            one.data if with_data else None,
            one.key_id if with_data else None,
            one.version,
            one.status,
            one.fault,
            one.expires_at,
            one.refreshable,
            one.updated_at,
            one.id,
            one.org_id,
            former_version,
        ),
    ).rowcount
    return bool(changed)


def set_used(tx: Tx, org_id: str, credential_id: str) -> None:
    """Note that it was used now."""
    tx.execute("UPDATE credentials SET last_used_at = ? WHERE id = ? AND org_id = ?", (tx.now, credential_id, org_id))


def delete(tx: Tx, org_id: str, credential_id: str) -> None:
    """Forget a credential."""
    tx.execute("DELETE FROM credentials WHERE id = ? AND org_id = ?", (credential_id, org_id))


def find(conn: sqlite3.Connection, org_id: str, credential_id: str) -> Credential | None:
    """The organization's credential of that id."""
    row = conn.execute(_CREDENTIAL + "WHERE id = ? AND org_id = ?", (credential_id, org_id)).fetchone()
    return None if row is None else _credential(row)


def find_by_label(conn: sqlite3.Connection, org_id: str, end_user_id: str | None, label: str) -> Credential | None:
    """The one with that label among an end user's, or among the organization's own."""
    row = conn.execute(
        _CREDENTIAL + "WHERE org_id = ? AND coalesce(end_user_id, '') = ? AND label = ?",
        (org_id, end_user_id or "", label),
    ).fetchone()
    return None if row is None else _credential(row)


def list_for(conn: sqlite3.Connection, org_id: str, connector: str, end_user_id: str | None) -> list[Credential]:
    """Two at most of an end user's, or of the organization's own, for a connector; the newest first."""
    rows = conn.execute(
        _CREDENTIAL + "WHERE org_id = ? AND connector = ? AND end_user_id IS ? ORDER BY id DESC LIMIT 2",
        (org_id, connector, end_user_id),
    )
    return [_credential(row) for row in rows]


def find_organization(conn: sqlite3.Connection, credential_id: str) -> str | None:
    """Whose credential it is."""
    row = conn.execute("SELECT org_id FROM credentials WHERE id = ?", (credential_id,)).fetchone()
    return None if row is None else str(row[0])


def count(conn: sqlite3.Connection, org_id: str) -> int:
    """How many an organization has."""
    found: int = conn.execute("SELECT count(*) FROM credentials WHERE org_id = ?", (org_id,)).fetchone()[0]
    return found


def exists_for(conn: sqlite3.Connection, org_id: str, connector: str) -> bool:
    """Whether the organization has a credential or a client for a connector."""
    row = conn.execute(
        "SELECT EXISTS (SELECT 1 FROM credentials WHERE org_id = ?1 AND connector = ?2) "
        "OR EXISTS (SELECT 1 FROM oauth_clients WHERE org_id = ?1 AND connector = ?2)",
        (org_id, connector),
    ).fetchone()
    return bool(row[0])


def list_before(
    conn: sqlite3.Connection, org_id: str, wanted: CredentialFilter, before_id: str | None, limit: int
) -> list[Credential]:
    """Newest first, those with ids below ``before_id``."""
    rows = conn.execute(
        _CREDENTIAL + "WHERE org_id = ?1 AND id < ?2 AND (?3 IS NULL OR connector = ?3) "
        "AND (?4 IS NULL OR end_user_id = ?4) ORDER BY id DESC LIMIT ?5",
        (org_id, before_id or _LAST_ID, wanted.connector, wanted.end_user_id, limit),
    )
    return [_credential(row) for row in rows]


def delete_of_end_user(tx: Tx, org_id: str, end_user_id: str) -> list[str]:
    """Forget all of an end user's; their ids."""
    rows = tx.conn.execute("SELECT id FROM credentials WHERE org_id = ? AND end_user_id = ?", (org_id, end_user_id))
    found = [str(row[0]) for row in rows]
    tx.execute("DELETE FROM credentials WHERE org_id = ? AND end_user_id = ?", (org_id, end_user_id))
    return found


# -- clients and states --------------------------------------------------------------------------------------------


def put_client(tx: Tx, org_id: str, connector: str, data: str, key_id: str) -> None:
    """Set the organization's client for a connector."""
    tx.execute(
        "INSERT INTO oauth_clients (org_id, connector, data, key_id, updated_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (org_id, connector) DO UPDATE SET data = excluded.data, key_id = excluded.key_id, "
        "updated_at = excluded.updated_at",
        (org_id, connector, data, key_id, tx.now),
    )


def find_client(conn: sqlite3.Connection, org_id: str, connector: str) -> str | None:
    """The organization's client for a connector, sealed."""
    row = conn.execute(
        "SELECT data FROM oauth_clients WHERE org_id = ? AND connector = ?", (org_id, connector)
    ).fetchone()
    return None if row is None else str(row[0])


def set_client_data(tx: Tx, org_id: str, connector: str, data: str, key_id: str) -> None:
    """The same client under another key."""
    tx.execute(
        "UPDATE oauth_clients SET data = ?, key_id = ? WHERE org_id = ? AND connector = ?",
        (data, key_id, org_id, connector),
    )


def list_clients(conn: sqlite3.Connection, org_id: str) -> list[tuple[str, str, int]]:
    """(connector, sealed data, when it was set) of the organization's clients, by connector."""
    return conn.execute(
        "SELECT connector, data, updated_at FROM oauth_clients WHERE org_id = ? ORDER BY connector", (org_id,)
    ).fetchall()


def delete_client(tx: Tx, org_id: str, connector: str) -> bool:
    """Forget the organization's client for a connector; whether there was one."""
    gone = tx.execute("DELETE FROM oauth_clients WHERE org_id = ? AND connector = ?", (org_id, connector))
    return bool(gone.rowcount)


def insert_state(tx: Tx, state_hash: str, org_id: str, data: str, expires_at: int) -> None:
    """An account that is being connected."""
    tx.execute(
        "INSERT INTO oauth_states (state_hash, org_id, data, expires_at) VALUES (?, ?, ?, ?)",
        (state_hash, org_id, data, expires_at),
    )


def count_states(conn: sqlite3.Connection, org_id: str) -> int:
    """How many accounts an organization is connecting."""
    found: int = conn.execute("SELECT count(*) FROM oauth_states WHERE org_id = ?", (org_id,)).fetchone()[0]
    return found


def take_state(tx: Tx, state_hash: str) -> tuple[str, str] | None:
    """(organization, sealed data) of a state whose time is not over; it is gone then."""
    row = tx.execute(
        "DELETE FROM oauth_states WHERE state_hash = ? RETURNING org_id, data, expires_at", (state_hash,)
    ).fetchone()
    return (str(row[0]), str(row[1])) if row is not None and row[2] > tx.now else None


def drop_old_states(tx: Tx) -> None:
    """Forget those whose time is over."""
    tx.execute("DELETE FROM oauth_states WHERE expires_at <= ?", (tx.now,))


# -- keys ----------------------------------------------------------------------------------------------------------


def list_other_keys(conn: sqlite3.Connection, key_id: str, limit: int) -> list[tuple[str, str, str]]:
    """(id, organization, sealed data) of credentials that another key than ``key_id`` seals."""
    rows = conn.execute(
        "SELECT id, org_id, data FROM credentials WHERE key_id <> ? ORDER BY key_id, id LIMIT ?", (key_id, limit)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def set_data(tx: Tx, org_id: str, credential_id: str, data: str, key_id: str) -> None:
    """The same content under another key."""
    tx.execute(
        "UPDATE credentials SET data = ?, key_id = ? WHERE id = ? AND org_id = ?", (data, key_id, credential_id, org_id)
    )


def list_clients_of_other_keys(conn: sqlite3.Connection, key_id: str, limit: int) -> list[tuple[str, str, str]]:
    """(organization, connector, sealed data) of clients that another key seals."""
    rows = conn.execute(
        "SELECT org_id, connector, data FROM oauth_clients WHERE key_id <> ? ORDER BY org_id, connector LIMIT ?",
        (key_id, limit),
    )
    return [(row[0], row[1], row[2]) for row in rows]


def drop_states(tx: Tx) -> None:
    """Forget every account that is being connected: a new key ends them."""
    tx.execute("DELETE FROM oauth_states")


def _credential(row: tuple[Any, ...]) -> Credential:
    values = [*row[:6], _SETTINGS.decode(row[6]), *row[7:13], bool(row[13]), *row[14:]]
    return Credential(*values)
