"""All SQL of jobs: they are rows of ``runs``, found by indexes that hold nothing else."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from alloyd.domain.jobs.model import Asked, Job, JobFilter, Notes, status_of
from alloyd.domain.runs.model import RunState, StepError

_NOTES = msgspec.json.Decoder(Notes)
_ASKED = msgspec.json.Decoder(Asked)
_ERROR = msgspec.json.Decoder(StepError)
_TIME_MAX = 2**63 - 1

FIND = (
    "SELECT id, org_id, state, metadata, started_by, created_at, started_at, ended_at, error, payload, output "
    "FROM runs WHERE org_id = :org_id AND id = :id AND trigger_kind = 'job'"
)
_COLUMNS = (
    "SELECT id, org_id, state, metadata, started_by, created_at, started_at, ended_at, error, NULL, NULL FROM runs "
)
_PAGE = (
    "WHERE org_id = :org_id AND trigger_kind = 'job' AND id < :before "
    "AND created_at >= :created_from AND created_at < :created_to "
)
_OF_MODALITY = "AND json_extract(metadata, '$.modality') = :modality "
_OF_STATUS = (
    "AND CASE state WHEN 'completed' THEN 'completed' WHEN 'failed' THEN 'failed' WHEN 'cancelled' THEN 'failed' "
    "WHEN 'running' THEN 'started' WHEN 'waiting' THEN 'started' ELSE 'pending' END = :status "
)
_NEWEST = "ORDER BY id DESC LIMIT :limit"
# By whether a status and a modality are asked for. The planner would not choose the narrower index by itself.
# Retention bounds how many rows a rare modality is looked for in.
LISTS = {
    (False, False): _COLUMNS + "INDEXED BY runs_jobs " + _PAGE + _NEWEST,
    (False, True): _COLUMNS + "INDEXED BY runs_jobs " + _PAGE + _OF_MODALITY + _NEWEST,
    (True, False): _COLUMNS + "INDEXED BY runs_jobs_by_status " + _PAGE + _OF_STATUS + _NEWEST,
    (True, True): _COLUMNS + "INDEXED BY runs_jobs_by_status " + _PAGE + _OF_STATUS + _OF_MODALITY + _NEWEST,
}


def find_job(conn: sqlite3.Connection, org_id: str, job_id: str) -> Job | None:
    """The organization's job of that id, whole."""
    row = conn.execute(FIND, {"org_id": org_id, "id": job_id}).fetchone()
    return None if row is None else _job(row)


def list_page(conn: sqlite3.Connection, org_id: str, wanted: JobFilter, before_id: str | None, limit: int) -> list[Job]:
    """Newest first, those with ids below ``before_id``; without what they ask for and gave."""
    params = {
        "org_id": org_id,
        "before": before_id or "g",  # sorts after every UUID
        "created_from": wanted.created_from or 0,
        "created_to": _TIME_MAX if wanted.created_to is None else wanted.created_to,
        "limit": limit,
        "status": wanted.status and wanted.status.value,
        "modality": wanted.modality,
    }
    sql = LISTS[wanted.status is not None, wanted.modality is not None]
    return [_job(row) for row in conn.execute(sql, params)]


FIND_ORGANIZATION = "SELECT org_id FROM runs WHERE id = ? AND trigger_kind = 'job'"


def find_organization(conn: sqlite3.Connection, job_id: str) -> str | None:
    """Whose job it is."""
    row = conn.execute(FIND_ORGANIZATION, (job_id,)).fetchone()
    return None if row is None else row[0]


def _job(row: tuple[Any, ...]) -> Job:
    result = None if row[10] is None else msgspec.json.decode(row[10])
    return Job(
        id=row[0],
        org_id=row[1],
        status=status_of(RunState(row[2])),
        notes=_NOTES.decode(row[3]),
        started_by=row[4],
        created_at=row[5],
        started_at=row[6],
        ended_at=row[7],
        error=None if row[8] is None else _ERROR.decode(row[8]),
        asked=None if row[9] is None else _ASKED.decode(row[9]),
        result=result if isinstance(result, dict) else {},
    )
