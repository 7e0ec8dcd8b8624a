"""`/operator/status`: what runs, and how full it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from alloyd.kit.clock import rfc3339
from alloyd.wire.route import OPERATOR, Call, Route


@dataclass(frozen=True, slots=True)
class Status:
    """What the program knows of itself. Times in ms since the epoch, sizes in bytes."""

    pid: int
    version: str
    sqlite_version: str
    instance_id: str
    started_at: int
    now: int
    urls: list[str]
    data_dir: str
    draining: bool
    runs_queued: int
    runs_running: int
    streams: int
    database_bytes: int
    wal_bytes: int
    free_pages: int
    disk_free_bytes: int
    organizations: int
    last_backup_at: int | None


class RunsJson(msgspec.Struct, frozen=True):
    queued: int
    running: int


class DatabaseJson(msgspec.Struct, frozen=True):
    """``wal_bytes`` is the write-ahead log beside the file; ``free_pages`` hold nothing at present."""

    size_bytes: int
    wal_bytes: int
    free_pages: int


class DiskJson(msgspec.Struct, frozen=True):
    free_bytes: int


class StatusJson(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    version: str
    sqlite_version: str
    instance_id: str
    started_at: str
    uptime_ms: int
    urls: list[str]
    data_dir: str
    draining: bool
    runs: RunsJson
    streams: int
    database: DatabaseJson
    disk: DiskJson
    organizations: int
    last_backup_at: str | None


def status_json(status: Status) -> StatusJson:
    """The status as the wire has it."""
    return StatusJson(
        pid=status.pid,
        version=status.version,
        sqlite_version=status.sqlite_version,
        instance_id=status.instance_id,
        started_at=rfc3339(status.started_at),
        uptime_ms=max(0, status.now - status.started_at),
        urls=status.urls,
        data_dir=status.data_dir,
        draining=status.draining,
        runs=RunsJson(status.runs_queued, status.runs_running),
        streams=status.streams,
        database=DatabaseJson(status.database_bytes, status.wal_bytes, status.free_pages),
        disk=DiskJson(status.disk_free_bytes),
        organizations=status.organizations,
        last_backup_at=None if status.last_backup_at is None else rfc3339(status.last_backup_at),
    )


def routes(read_status: Callable[[], Awaitable[Status]]) -> list[Route]:
    """The route; ``read_status`` is the program's own."""

    async def get_status(_call: Call) -> StatusJson:
        return status_json(await read_status())

    return [
        Route(
            "GET",
            "/status",
            get_status,
            OPERATOR,
            "What runs, and how full it is",
            output=StatusJson,
        )
    ]
