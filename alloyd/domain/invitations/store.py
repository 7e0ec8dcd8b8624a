"""All SQL of invitations. Tokens go in as hashes and come out only to be compared."""

from __future__ import annotations

import sqlite3
from typing import Any

from alloyd.db.tx import Tx
from alloyd.domain.invitations.model import Invitation, InvitationState
from alloyd.principal import Role


def insert(tx: Tx, invitation: Invitation, token_hash: bytes) -> None:
    """Write a new, pending invitation."""
    tx.execute(
        "INSERT INTO invitations (id, org_id, email, role, team_id, token_hash, state, invited_by, created_at, "
        "expires_at) VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?)",
        (
            invitation.id,
            invitation.org_id,
            invitation.email,
            invitation.role.value,
            invitation.team_id,
            token_hash,
            invitation.invited_by,
            invitation.created_at,
            invitation.expires_at,
        ),
    )


def find(conn: sqlite3.Connection, org_id: str, id_: str) -> Invitation | None:
    """One of an organization's invitations."""
    row = conn.execute(
        "SELECT id, org_id, email, role, team_id, state, invited_by, created_at, expires_at, ended_at, accepted_by "
        "FROM invitations WHERE org_id = ? AND id = ?",
        (org_id, id_),
    ).fetchone()
    return None if row is None else _invitation(row)


def find_with_hash(conn: sqlite3.Connection, id_: str) -> tuple[Invitation, bytes] | None:
    """An invitation with its token's hash: who accepts is in no organization yet, the invitation tells which."""
    row = conn.execute(
        "SELECT id, org_id, email, role, team_id, state, invited_by, created_at, expires_at, ended_at, accepted_by, "
        "token_hash FROM invitations WHERE id = ?",
        (id_,),
    ).fetchone()
    return None if row is None else (_invitation(row), row[11])


def find_org_id(conn: sqlite3.Connection, id_: str) -> str | None:
    """The organization that an invitation belongs to."""
    row = conn.execute("SELECT org_id FROM invitations WHERE id = ?", (id_,)).fetchone()
    return None if row is None else row[0]


def list_before(conn: sqlite3.Connection, org_id: str, before_id: str | None, limit: int) -> list[Invitation]:
    """An organization's invitations with ids below ``before_id`` (None: from the newest), newest first."""
    rows = conn.execute(
        "SELECT id, org_id, email, role, team_id, state, invited_by, created_at, expires_at, ended_at, accepted_by "
        "FROM invitations WHERE org_id = ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3",
        (org_id, before_id, limit),
    )
    return [_invitation(row) for row in rows]


def exists_pending(tx: Tx, org_id: str, email: str) -> bool:
    """Whether somebody of that e-mail is invited now."""
    row = tx.execute(
        "SELECT 1 FROM invitations WHERE org_id = ? AND email = ? AND state = 'pending' AND expires_at > ?",
        (org_id, email, tx.now),
    ).fetchone()
    return row is not None


def list_pending_expiries(tx: Tx, org_id: str, limit: int) -> list[int]:
    """When an organization's pending invitations end, the earliest first; at most ``limit``."""
    rows = tx.execute(
        "SELECT expires_at FROM invitations WHERE org_id = ? AND state = 'pending' AND expires_at > ? "
        "ORDER BY expires_at LIMIT ?",
        (org_id, tx.now, limit),
    )
    return [row[0] for row in rows]


def list_made_since(tx: Tx, org_id: str, since_ms: int, limit: int) -> list[int]:
    """When an organization's newest invitations were made, those after ``since_ms``, the newest first."""
    rows = tx.execute(
        "SELECT created_at FROM invitations WHERE org_id = ? AND created_at > ? ORDER BY created_at DESC LIMIT ?",
        (org_id, since_ms, limit),
    )
    return [row[0] for row in rows]


def list_pending_ids(tx: Tx, org_id: str, *, invited_by: str | None = None, team_id: str | None = None) -> list[str]:
    """An organization's pending invitations that one principal made, or that lead into one team."""
    rows = tx.execute(
        "SELECT id FROM invitations WHERE org_id = ?1 AND state = 'pending' AND expires_at > ?2 "
        "AND (invited_by = ?3 OR team_id = ?4)",
        (org_id, tx.now, invited_by, team_id),
    )
    return [row[0] for row in rows]


def end(tx: Tx, org_id: str, id_: str, state: InvitationState, accepted_by: str | None = None) -> None:
    """Let a pending invitation end now."""
    tx.execute(
        "UPDATE invitations SET state = ?, ended_at = ?, accepted_by = ? WHERE org_id = ? AND id = ?",
        (state.value, tx.now, accepted_by, org_id, id_),
    )


def _invitation(row: Any) -> Invitation:
    ended_as = None if row[5] == InvitationState.PENDING else InvitationState(row[5])
    return Invitation(row[0], row[1], row[2], Role(row[3]), row[4], ended_as, *row[6:11])
