"""All SQL of the audit trail."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from alloyd.db import Tx
from alloyd.domain.audit.model import AuditFilter, Ends, Entry, Row

_COLUMNS = (
    "seq, created_at, org_id, actor_kind, actor_id, action, target, outcome, status, changed, count, route, address, "
    "request_id, hash"
)
_INTO = "INSERT INTO audit_log ("
_INSERT = _INTO + _COLUMNS + ") VALUES"
_SELECT = "SELECT "
_LIST = _SELECT + _COLUMNS + " "
_WANTED = (
    "FROM looked_at WHERE (:actor IS NULL OR actor_id = :actor) AND (:action IS NULL OR action = :action) "
    "AND (:stem IS NULL OR substr(action, 1, length(:stem)) = :stem) AND (:target IS NULL OR target = :target) "
    "AND (:outcome IS NULL OR outcome = :outcome) AND created_at >= :from_ms AND created_at < :until_ms "
)
# A page looks at a bounded number of rows, however few of them are wanted: the cursor then goes on behind the last.
_LOOK_IN_ORG = (
    "WITH looked_at AS (SELECT * FROM audit_log WHERE org_id = :org_id AND (created_at, seq) < (:before_ms, :seq) "
    "AND created_at >= :from_ms ORDER BY created_at DESC, seq DESC LIMIT :looks_max) "
)
_LOOK_IN_ALL = "WITH looked_at AS (SELECT * FROM audit_log WHERE seq < :seq ORDER BY seq DESC LIMIT :looks_max) "
_PAGE_OF_ORG = _LOOK_IN_ORG + _LIST + _WANTED + "ORDER BY created_at DESC, seq DESC LIMIT :limit"
_PAGE_OF_ALL = _LOOK_IN_ALL + _LIST + _WANTED + "ORDER BY seq DESC LIMIT :limit"
_REACH = "SELECT created_at, seq FROM looked_at LIMIT 1 OFFSET :looks_max - 1"
_REACH_IN_ORG = _LOOK_IN_ORG + _REACH
_REACH_IN_ALL = _LOOK_IN_ALL + _REACH
_CHAIN = _LIST + "FROM audit_log WHERE seq > ? ORDER BY seq LIMIT ?"
_INT_MAX = 2**63 - 1

Position = tuple[int, int]


def insert_rows(tx: Tx, rows: Sequence[Row]) -> None:
    """Append rows to the chain."""
    tx.execute_rows(_INSERT, "", rows)


def load_ends(conn: sqlite3.Connection) -> Ends | None:
    """Both ends of the chain; None when that row is not there, which is somebody's doing."""
    row = conn.execute("SELECT last_seq, last_hash, pruned_seq, pruned_hash FROM audit_ends").fetchone()
    return None if row is None else Ends(*row)


def find_last_seq(conn: sqlite3.Connection) -> int:
    """The newest row's number, 0 when there is none."""
    row = conn.execute("SELECT max(seq) FROM audit_log").fetchone()
    return row[0] or 0


def save_last(tx: Tx, seq: int, hash_: bytes) -> None:
    """Note the newest row."""
    tx.execute("UPDATE audit_ends SET last_seq = ?, last_hash = ?", (seq, hash_))


def list_chain(conn: sqlite3.Connection, after_seq: int, limit: int) -> list[Row]:
    """Rows of the chain behind ``after_seq``, oldest first, as they are stored."""
    return conn.execute(_CHAIN, (after_seq, limit)).fetchall()


def find_first_seq(conn: sqlite3.Connection) -> int | None:
    """The oldest row's number, None when there is none."""
    first: int | None = conn.execute("SELECT min(seq) FROM audit_log").fetchone()[0]
    return first


def list_page(
    conn: sqlite3.Connection, org_id: str | None, wanted: AuditFilter, before: Position | None, limit: int, looks: int
) -> tuple[list[Entry], Position | None]:
    """Wanted rows before ``before``, newest first, and how far it looked if it stopped before the end.

    At most ``limit`` rows among the next ``looks`` rows; of all organizations when ``org_id`` is None.
    """
    until_ms = _INT_MAX if wanted.until_ms is None else wanted.until_ms
    before_ms, seq = before or (until_ms, -1 if org_id is not None else _INT_MAX)
    stem = wanted.action[:-1] if wanted.action is not None and wanted.action.endswith(".*") else None
    bound = {
        "org_id": org_id,
        "before_ms": before_ms,
        "until_ms": until_ms,
        "seq": seq,
        "from_ms": -_INT_MAX if wanted.from_ms is None else wanted.from_ms,
        "looks_max": looks,
        "actor": wanted.actor,
        "action": wanted.action if stem is None else None,
        "stem": stem,
        "target": wanted.target,
        "outcome": wanted.outcome,
        "limit": limit + 1,
    }
    rows = conn.execute(_PAGE_OF_ALL if org_id is None else _PAGE_OF_ORG, bound).fetchall()
    found = [Entry(*row) for row in rows]
    if len(found) > limit:
        last = found[limit - 1]
        return found[:limit], (last.created_at, last.seq)
    return found, conn.execute(_REACH_IN_ALL if org_id is None else _REACH_IN_ORG, bound).fetchone()


def find_prune_end(conn: sqlite3.Connection, after_seq: int, before_ms: int, keep_from_seq: int, rows: int) -> int:
    """The last of the next ``rows`` rows behind ``after_seq`` up to which all are too old or too many; else 0."""
    last = 0
    for seq, created_at in conn.execute(
        "SELECT seq, created_at FROM audit_log WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, rows)
    ):
        if created_at >= before_ms and seq >= keep_from_seq:
            break
        last = seq
    return last


def find_hash(conn: sqlite3.Connection, seq: int) -> bytes:
    """The hash of a row that is there."""
    found: bytes = conn.execute("SELECT hash FROM audit_log WHERE seq = ?", (seq,)).fetchone()[0]
    return found


def prune(tx: Tx, seq: int, hash_: bytes) -> int:
    """Delete the rows up to ``seq``, whose hash the chain begins with from then on; how many they were."""
    tx.execute("UPDATE audit_ends SET pruned_seq = ?, pruned_hash = ?", (seq, hash_))
    return tx.execute("DELETE FROM audit_log WHERE seq <= ?", (seq,)).rowcount
