"""All SQL of usage and budgets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from alloyd.db import Tx
from alloyd.domain.usage.model import Budget, NewUsage, Period, Share, Totals, UsageRecord, day_of, hour_of

PURGED_BEFORE = "usage_purged_before"

# -- writing --------------------------------------------------------------------------------------------------------

_INSERT = (
    "INSERT INTO usage_records (id, org_id, provider, model, modality, status, input_tokens, output_tokens, "
    "cost_micro_usd, over_micro_usd, duration_ms, principal_id, principal_kind, workflow_id, run_id, node_key, job_id, "
    "request_id, created_at) VALUES"
)
_ADD_HOURS = (
    "INSERT INTO usage_hours (org_id, hour, provider, model, workflow_id, principal_kind, principal_id, calls, failed, "
    "input_tokens, output_tokens, cost_micro_usd, over_micro_usd, duration_ms) VALUES"
)
_SUM_HOURS = (
    "ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, failed = failed + excluded.failed, "
    "input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens, "
    "cost_micro_usd = cost_micro_usd + excluded.cost_micro_usd, "
    "over_micro_usd = over_micro_usd + excluded.over_micro_usd, duration_ms = duration_ms + excluded.duration_ms"
)
_ADD_DAYS = "INSERT INTO usage_days (day, org_id, cost_micro_usd) VALUES"
_SUM_DAYS = "ON CONFLICT DO UPDATE SET cost_micro_usd = cost_micro_usd + excluded.cost_micro_usd"


def insert_records(tx: Tx, records: Sequence[UsageRecord]) -> None:
    """Write records of this moment with the sums that they belong to."""
    hours: dict[tuple[Any, ...], list[int]] = {}
    days: dict[str, int] = {}
    rows = []
    for record in records:
        used = record.used
        rows.append(_row(record))
        failed = int(used.status != "ok")
        key = (
            record.org_id,
            hour_of(tx.now),
            used.provider,
            used.model,
            used.workflow_id or "",
            record.principal_kind,
            record.principal_id,
        )
        added = (
            1,
            failed,
            used.input_tokens,
            used.output_tokens,
            used.cost_micro_usd,
            record.over_micro_usd,
            used.duration_ms,
        )
        sums = hours.setdefault(key, [0] * len(added))
        for place, value in enumerate(added):
            sums[place] += value
        days[record.org_id] = days.get(record.org_id, 0) + used.cost_micro_usd
    tx.execute_rows(_INSERT, "", rows)
    tx.execute_rows(_ADD_HOURS, _SUM_HOURS, [(*key, *sums) for key, sums in hours.items()])
    today = day_of(tx.now)
    tx.execute_rows(_ADD_DAYS, _SUM_DAYS, [(today, org_id, cost) for org_id, cost in days.items()])


def _row(record: UsageRecord) -> tuple[Any, ...]:
    used = record.used
    return (
        record.id,
        record.org_id,
        used.provider,
        used.model,
        used.modality,
        used.status,
        used.input_tokens,
        used.output_tokens,
        used.cost_micro_usd,
        record.over_micro_usd,
        used.duration_ms,
        record.principal_id,
        record.principal_kind,
        used.workflow_id,
        used.run_id,
        used.node_key,
        used.job_id,
        used.request_id,
        record.created_at,
    )


def find_kind(tx: Tx, org_id: str, principal_id: str) -> str | None:
    """Whether a principal of the organization is an API key or a user; None for anything else."""
    if tx.execute("SELECT 1 FROM api_keys WHERE id = ? AND org_id = ?", (principal_id, org_id)).fetchone():
        return "api_key"
    if tx.execute("SELECT 1 FROM users WHERE id = ?", (principal_id,)).fetchone():
        return "user"
    return None


def set_budget(tx: Tx, org_id: str, budget: Budget, updated_by: str) -> None:
    """Give the organization a budget of its own."""
    tx.execute(
        "INSERT INTO budgets (org_id, limit_micro_usd, period, updated_by, updated_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (org_id) DO UPDATE SET limit_micro_usd = excluded.limit_micro_usd, period = excluded.period, "
        "updated_by = excluded.updated_by, updated_at = excluded.updated_at",
        (org_id, budget.limit_micro_usd, budget.period.value, updated_by, tx.now),
    )


def delete_budget(tx: Tx, org_id: str) -> bool:
    """Take the organization's own budget away; whether it had one."""
    return tx.execute("DELETE FROM budgets WHERE org_id = ?", (org_id,)).rowcount == 1


FIND_OLD = "SELECT rowid FROM usage_records WHERE created_at < ? ORDER BY created_at LIMIT ?"
DELETE_ONE = "DELETE FROM usage_records WHERE rowid = ?"


def delete_before(tx: Tx, before_ms: int, limit: int) -> int:
    """Delete at most ``limit`` records from before ``before_ms``, of every organization; how many there were.

    Their sums stay, and it is noted from when on there are still records.
    """
    old = tx.execute(FIND_OLD, (before_ms, limit)).fetchall()
    deleted = tx.executemany(DELETE_ONE, old).rowcount if old else 0
    if deleted:
        tx.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET "
            "value = max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))",
            (PURGED_BEFORE, str(before_ms)),
        )
    return deleted


# -- reading --------------------------------------------------------------------------------------------------------


def list_budgets(conn: sqlite3.Connection) -> dict[str, Budget]:
    """Every organization's own budget."""
    rows = conn.execute("SELECT org_id, limit_micro_usd, period FROM budgets")
    return {row[0]: Budget(row[1], Period(row[2])) for row in rows}


def list_spent(conn: sqlite3.Connection, from_day: int) -> list[tuple[str, int, int]]:
    """``(org_id, day, micro-USD)`` of every organization and day from ``from_day`` on."""
    return conn.execute("SELECT org_id, day, cost_micro_usd FROM usage_days WHERE day >= ?", (from_day,)).fetchall()


def find_purged_before(conn: sqlite3.Connection) -> int:
    """Before this time (ms) there are no records any more, only sums."""
    row = conn.execute("SELECT value FROM meta WHERE key = ?", (PURGED_BEFORE,)).fetchone()
    return 0 if row is None else int(row[0])


# Whole hours from their sums, the pieces of hours at both ends from the records.
_PIECE = (
    "SELECT created_at AS at, provider, model, coalesce(workflow_id, '') AS workflow_id, principal_kind, principal_id, "
    "1 AS calls, status <> 'ok' AS failed, input_tokens, output_tokens, cost_micro_usd, over_micro_usd, duration_ms "
    "FROM usage_records WHERE org_id = :org_id "
)
_HOURS = (
    "WITH span AS (SELECT hour AS at, provider, model, workflow_id, principal_kind, principal_id, calls, failed, "
    "input_tokens, output_tokens, cost_micro_usd, over_micro_usd, duration_ms "
    "FROM usage_hours WHERE org_id = :org_id AND hour >= :first AND hour < :last UNION ALL "
)
_SPAN = (
    _HOURS
    + _PIECE
    + "AND created_at >= :head_from AND created_at < :head_to UNION ALL "
    + _PIECE
    + "AND created_at >= :tail_from AND created_at < :tail_to) SELECT "
)
_SUMS = (
    "sum(calls), sum(failed), sum(input_tokens), sum(output_tokens), sum(cost_micro_usd), sum(over_micro_usd), "
    "sum(duration_ms) FROM span "
)
_LARGEST = " ORDER BY 7 DESC, 3 DESC, 1 LIMIT :limit"
TOTALS = _SPAN + "NULL, NULL, " + _SUMS
SHARES = {
    "provider": _SPAN + "provider, NULL, " + _SUMS + "GROUP BY provider" + _LARGEST,
    "model": _SPAN + "model, NULL, " + _SUMS + "GROUP BY model" + _LARGEST,
    "workflow": _SPAN + "workflow_id, NULL, " + _SUMS + "WHERE workflow_id <> '' GROUP BY workflow_id" + _LARGEST,
    "key": _SPAN + "principal_id, NULL, " + _SUMS + "WHERE principal_kind = 'api_key' GROUP BY principal_id" + _LARGEST,
    "principal": _SPAN + "principal_id, principal_kind, " + _SUMS + "GROUP BY 2, 1" + _LARGEST,
    "day": _SPAN + "at / 86400000 * 86400000, NULL, " + _SUMS + "GROUP BY 1 ORDER BY 1 LIMIT :limit",
}
# Jobs have no sums of their own: the newest records are looked at, and the rest has no job's name.
_OF_JOBS = (
    "SELECT job_id, NULL, count(*), sum(status <> 'ok'), sum(input_tokens), sum(output_tokens), sum(cost_micro_usd), "
    "sum(over_micro_usd), sum(duration_ms) FROM (SELECT job_id, status, input_tokens, output_tokens, cost_micro_usd, "
    "over_micro_usd, duration_ms FROM usage_records WHERE org_id = :org_id AND job_id IS NOT NULL "
    "AND created_at >= :from AND created_at < :to ORDER BY created_at DESC LIMIT :records) "
)
JOB_SHARES = _OF_JOBS + "GROUP BY job_id" + _LARGEST


def sum_up(conn: sqlite3.Connection, span: dict[str, Any]) -> Totals:
    """The totals of ``span``, whose names are the parameters of :data:`TOTALS`."""
    return _totals(conn.execute(TOTALS, span).fetchone())


def list_shares(conn: sqlite3.Connection, by: str, span: dict[str, Any], limit: int) -> list[Share]:
    """The ``limit`` largest lines of one breakdown; by day the first ones."""
    return _shares(conn.execute(SHARES[by], {**span, "limit": limit}))


def list_job_shares(
    conn: sqlite3.Connection, org_id: str, from_ms: int, to_ms: int, limit: int, records_max: int
) -> list[Share]:
    """The ``limit`` most expensive jobs among the newest ``records_max`` records of jobs."""
    span = {"org_id": org_id, "from": from_ms, "to": to_ms, "limit": limit, "records": records_max}
    return _shares(conn.execute(JOB_SHARES, span))


def _shares(rows: Iterable[tuple[Any, ...]]) -> list[Share]:
    return [Share(str(row[0]), _totals(row), row[1]) for row in rows]


def _totals(row: tuple[Any, ...]) -> Totals:
    return Totals(*(value or 0 for value in row[2:]))


_SELECT = (
    "SELECT id, org_id, provider, model, modality, status, input_tokens, output_tokens, cost_micro_usd, "
    "over_micro_usd, duration_ms, principal_id, principal_kind, workflow_id, run_id, node_key, job_id, request_id, "
    "created_at FROM usage_records WHERE org_id = ? "
)
LIST_PAGE = (
    _SELECT + "AND created_at >= ? AND created_at < ? AND (created_at, id) < (?, ?) "
    "ORDER BY created_at DESC, id DESC LIMIT ?"
)
LIST_OF_JOB = _SELECT + "AND job_id = ? ORDER BY created_at DESC, id DESC LIMIT ?"
TOTALS_OF_JOB = (
    "SELECT NULL, NULL, count(*), sum(status <> 'ok'), sum(input_tokens), sum(output_tokens), sum(cost_micro_usd), "
    "sum(over_micro_usd), sum(duration_ms) FROM usage_records WHERE org_id = ? AND job_id = ?"
)


def list_page(
    conn: sqlite3.Connection, org_id: str, from_ms: int, to_ms: int, before: tuple[int, str], limit: int
) -> list[UsageRecord]:
    """A page of records in ``[from_ms, to_ms)``, newest first, those before ``(created_at, id)``."""
    return [_record(row) for row in conn.execute(LIST_PAGE, (org_id, from_ms, to_ms, *before, limit))]


def list_of_job(conn: sqlite3.Connection, org_id: str, job_id: str, limit: int) -> tuple[Totals, list[UsageRecord]]:
    """A job's totals, and its newest ``limit`` records."""
    totals = _totals(conn.execute(TOTALS_OF_JOB, (org_id, job_id)).fetchone())
    return totals, [_record(row) for row in conn.execute(LIST_OF_JOB, (org_id, job_id, limit))]


def _record(row: tuple[Any, ...]) -> UsageRecord:
    used = NewUsage(
        provider=row[2],
        model=row[3],
        modality=row[4],
        status=row[5],
        input_tokens=row[6],
        output_tokens=row[7],
        cost_micro_usd=row[8],
        duration_ms=row[10],
        workflow_id=row[13],
        run_id=row[14],
        node_key=row[15],
        job_id=row[16],
        request_id=row[17],
    )
    return UsageRecord(row[0], row[1], used, row[9], row[11], row[12], row[18])
