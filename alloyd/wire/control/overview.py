"""`/v1/overview`: how an organization's runs go, and for platform admins how the machine does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from alloyd.domain.runs.pulse import Minute, Overview, Pulse
from alloyd.kit.clock import rfc3339
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.route import Call, Route


@dataclass(frozen=True, slots=True)
class Platform:
    """The whole installation, now; sizes in bytes, ``started_at`` in milliseconds since the epoch."""

    started_at: int
    runs_queued: int
    runs_running: int
    streams: int
    disk_free_bytes: int
    disk_total_bytes: int
    database_bytes: int
    organizations: int


class OverviewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose overview; without it, that of the credential's organization."""

    organization_id: str | None = None


class MinuteJson(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that ended in one minute, which begins at `at`."""

    at: str
    completed: int
    failed: int
    cancelled: int


class NowJson(msgspec.Struct, frozen=True, kw_only=True):
    """Runs by what they do now; `waiting` and `dead_letters` are counted up to 10,000."""

    queued: int
    running: int
    waiting: int
    dead_letters: int


class LatencyJson(msgspec.Struct, frozen=True, kw_only=True):
    """How long the runs of the hour took, from start to end; null when none ended."""

    p50_ms: int | None
    p95_ms: int | None


class PlatformJson(msgspec.Struct, frozen=True, kw_only=True):
    """The whole installation."""

    started_at: str
    runs_queued: int
    runs_running: int
    streams: int
    disk_free_bytes: int
    disk_total_bytes: int
    database_bytes: int
    organizations: int


class OverviewJson(msgspec.Struct, frozen=True, kw_only=True):
    """The last hour, counted in full from `since` on; `platform` is for platform admins, null for others."""

    at: str
    since: str
    minutes: list[MinuteJson]
    runs: NowJson
    latency: LatencyJson
    platform: PlatformJson | None


ReadPlatform = Callable[[], Awaitable[Platform]]


def overview_json(seen: Overview, platform: Platform | None) -> OverviewJson:
    """The overview on the wire."""
    return OverviewJson(
        at=rfc3339(seen.at),
        since=rfc3339(seen.since),
        minutes=[_minute_json(minute) for minute in seen.minutes],
        runs=NowJson(queued=seen.queued, running=seen.running, waiting=seen.waiting, dead_letters=seen.dead),
        latency=LatencyJson(p50_ms=seen.p50_ms, p95_ms=seen.p95_ms),
        platform=None if platform is None else _platform_json(platform),
    )


def _minute_json(minute: Minute) -> MinuteJson:
    return MinuteJson(
        at=rfc3339(minute.at), completed=minute.completed, failed=minute.failed, cancelled=minute.cancelled
    )


def _platform_json(platform: Platform) -> PlatformJson:
    return PlatformJson(
        started_at=rfc3339(platform.started_at),
        runs_queued=platform.runs_queued,
        runs_running=platform.runs_running,
        streams=platform.streams,
        disk_free_bytes=platform.disk_free_bytes,
        disk_total_bytes=platform.disk_total_bytes,
        database_bytes=platform.database_bytes,
        organizations=platform.organizations,
    )


def routes(pulse: Pulse, read_platform: ReadPlatform) -> list[Route]:
    """The route of this file."""

    async def get_overview(call: Call) -> OverviewJson:
        """`GET /v1/overview`."""
        query: OverviewQuery = call.query
        organization_of(call, query.organization_id)
        seen = await pulse.look(call.who)
        return overview_json(seen, await read_platform() if call.who.platform_admin else None)

    return [
        Route(
            "GET",
            "/overview",
            get_overview,
            "run.read",
            "How runs have gone in the last hour, and stand now",
            query=OverviewQuery,
            output=OverviewJson,
        )
    ]
