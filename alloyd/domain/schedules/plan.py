"""Which runs a due schedule gets, and when it is due next. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alloyd.domain.schedules.model import ScheduleSettings
from alloyd.domain.workflows.triggers import Misfire
from alloyd.kit.cron import Cron


@dataclass(frozen=True, slots=True)
class Missed:
    """Times for which no run is made up: from the first to the last of them, in ms since the epoch."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do at ``now``: a run for each of ``fires``, oldest first, and then wait for ``next_fire_at``."""

    now: int
    fires: list[int]
    missed: Missed | None
    next_fire_at: int | None


def plan(cron: Cron, misfire: Misfire, due_at: int, now: int, settings: ScheduleSettings) -> Plan:
    """For a schedule that was due at ``due_at``, not after ``now``."""
    next_fire_at = cron.next_after(now)
    late_from = now - settings.misfire_grace_ms  # older ones are missed
    if due_at >= late_from:
        return Plan(now, [due_at, *_until(cron.times_after(due_at), now)], None, next_fire_at)
    in_time = list(_until(cron.times_after(late_from - 1), now))
    count = settings.missed_runs_max if misfire == "all" else 1
    missed = cron.latest(due_at - 1, late_from - 1, count) or [due_at]
    if misfire == "all":
        return Plan(now, missed + in_time, _before(due_at, missed[0], cron), next_fire_at)
    if misfire == "once" and not in_time:
        return Plan(now, missed[-1:], _before(due_at, missed[-1], cron), next_fire_at)
    return Plan(now, in_time, Missed(due_at, missed[-1]), next_fire_at)


def _until(times: Iterator[int], until: int) -> Iterator[int]:
    for when in times:
        if when > until:
            return
        yield when


def _before(due_at: int, first_run: int, cron: Cron) -> Missed | None:
    """What lies between the time that was due and the first that is made up for."""
    if first_run <= due_at:
        return None
    (last,) = cron.latest(due_at - 1, first_run - 1, 1) or [due_at]
    return Missed(due_at, last)
