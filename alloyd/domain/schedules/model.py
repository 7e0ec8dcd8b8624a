"""What a schedule is, and what may be asked of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from alloyd.domain.workflows.triggers import Misfire
from alloyd.errors import AlloydError, Code, bad_request
from alloyd.kit.cron import Cron, CronError, find_zone
from alloyd.kit.text import fault_of_line

NAME_CHARS_MAX = 200
PREVIEW_MAX = 100


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule; times are ms since the epoch. ``managed``: made from its workflow's definition, changed only by it.

    ``revision`` counts changes, so that what was planned before one is not done after it.
    """

    id: str
    org_id: str
    workflow_id: str
    name: str
    cron: str
    timezone: str
    misfire: Misfire
    payload: dict[str, Any]
    managed: bool
    paused_at: int | None
    next_fire_at: int | None
    last_fire_at: int | None
    revision: int
    created_by: str
    created_at: int
    updated_at: int

    @property
    def enabled(self) -> bool:
        """Whether it is not paused."""
        return self.paused_at is None


@dataclass(frozen=True, slots=True)
class CreateSchedule:
    """The wish for a schedule. ``payload`` is what its runs get as their trigger."""

    workflow_id: str
    cron: str
    timezone: str = "UTC"
    name: str = ""
    misfire: Misfire = "once"
    payload: dict[str, Any] | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class UpdateSchedule:
    """The wish for a change: None leaves a field as it is."""

    cron: str | None = None
    timezone: str | None = None
    name: str | None = None
    misfire: Misfire | None = None
    payload: dict[str, Any] | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class ScheduleFilter:
    """Narrows a list of schedules."""

    workflow_id: str | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """Bounds; the configuration's group ``triggers``.

    A time that is less than ``misfire_grace_ms`` past is merely late; an older one is missed, and the misfire policy
    decides. ``all`` makes up for the newest ``missed_runs_max`` of them.
    """

    misfire_grace_ms: int = 60_000
    missed_runs_max: int = 100
    per_org_max: int = 10_000
    payload_bytes_max: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Preview:
    """When a schedule will be due, and the zone to show it in."""

    times: list[int]
    zone: tzinfo


def read_cron(expression: str, timezone: str) -> Cron:
    """The checked pair. Raises ``bad_request`` naming ``cron`` or ``timezone``."""
    try:
        return Cron(expression, timezone)
    except CronError as error:
        raise bad_request(f"{error.field}: {error}", error.field) from None


def zone_of(schedule: Schedule) -> tzinfo:
    """Its time zone. Raises ``unprocessable`` when this machine does not know it any more."""
    try:
        return find_zone(schedule.timezone)
    except CronError as error:
        raise AlloydError(Code.UNPROCESSABLE, f"timezone: {error}", field="timezone") from None


def check_name(name: str) -> str:
    """``name`` without spaces around it. Raises ``bad_request``."""
    name = name.strip()
    fault = fault_of_line(name, NAME_CHARS_MAX)
    if fault is not None:
        raise bad_request(f"name: {fault}", "name")
    return name
