"""How runs have gone in the last hour: counted as they end, minute by minute, for each organization."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from alloyd.db import Database, Tx
from alloyd.domain.runs import store_pulse
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import Ended, RunState
from alloyd.kit.clock import Clock
from alloyd.principal import Principal

MINUTE_MS = 60_000
MINUTES = 60
# Organizations that are counted; the one whose runs ended longest ago makes room.
ORGS_MAX = 1000
# Ended runs that are looked at, once, for the part of the hour that another process counted.
SEED_ROWS_MAX = 5000
# What waits or is dead is counted up to this; beyond it there are "many".
COUNT_MAX = 10_000
# Durations are kept in classes, each so much longer than the one before: a percentile is right within a tenth.
_STEP = 1.1


@dataclass(slots=True)
class Minute:
    """One minute's runs; ``at`` is its beginning, in milliseconds since the epoch."""

    at: int
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    durations: Counter[int] = field(default_factory=Counter)  # by class


@dataclass(frozen=True, slots=True)
class Overview:
    """An organization's last hour, and what its runs do now. ``since`` is the first moment that is counted in full; the
    durations are of completed and failed runs, from their start to their end, None when there were none."""

    since: int
    at: int
    minutes: list[Minute]
    p50_ms: int | None
    p95_ms: int | None
    queued: int
    running: int
    waiting: int
    dead: int


class _Hour:
    """One organization's last hour."""

    def __init__(self) -> None:
        self.minutes: deque[Minute] = deque(maxlen=MINUTES)
        self.since: int | None = None  # None: what came before this process is yet to be read

    def add(self, state: RunState, ended_at: int, took_ms: int | None) -> None:
        at = ended_at - ended_at % MINUTE_MS
        for minute in reversed(self.minutes):
            if minute.at == at:
                break
        else:
            minute = Minute(at)
            self.minutes.append(minute)
        if state is RunState.COMPLETED:
            minute.completed += 1
        elif state is RunState.FAILED:
            minute.failed += 1
        else:
            minute.cancelled += 1
            return
        if took_ms is not None:
            minute.durations[_class_of(took_ms)] += 1


class Pulse:
    """Counts what ends. ``load_of(org_id)`` tells how many of its runs are queued and running now."""

    def __init__(self, database: Database, clock: Clock, load_of: Callable[[str], tuple[int, int]]) -> None:
        self._database = database
        self._clock = clock
        self._load_of = load_of
        self._opened_at = clock.now_ms()
        self._hours: OrderedDict[str, _Hour] = OrderedDict()

    def note_end(self, tx: Tx, run: Run, ended: Ended) -> None:
        """A run's end is being written; it counts once that is durable."""
        org_id, state, ended_at, started_at = run.org_id, ended.state, run.ended_at or tx.now, run.started_at
        tx.after_commit(lambda: self._count(org_id, state, ended_at, started_at))

    def _count(self, org_id: str, state: RunState, ended_at: int, started_at: int | None) -> None:
        self._hour(org_id).add(state, ended_at, None if started_at is None else ended_at - started_at)

    def _hour(self, org_id: str) -> _Hour:
        hour = self._hours.get(org_id)
        if hour is None:
            hour = self._hours[org_id] = _Hour()
            if len(self._hours) > ORGS_MAX:
                self._hours.popitem(last=False)
        else:
            self._hours.move_to_end(org_id)
        return hour

    async def look(self, principal: Principal) -> Overview:
        """How the organization's runs have gone, and stand."""
        org_id, now = principal.org_id, self._clock.now_ms()
        hour = self._hour(org_id)
        if hour.since is None:
            await self._read_before(org_id, hour)
        waiting, dead = await self._database.read(lambda conn: store_pulse.count_standing(conn, org_id, COUNT_MAX))
        first = now - now % MINUTE_MS - (MINUTES - 1) * MINUTE_MS
        known = {minute.at: minute for minute in hour.minutes if minute.at >= first}
        durations = sum((minute.durations for minute in known.values()), Counter())
        queued, running = self._load_of(org_id)
        return Overview(
            max(hour.since or first, first),
            now,
            [known.get(at) or Minute(at) for at in range(first, first + MINUTES * MINUTE_MS, MINUTE_MS)],
            percentile(durations, 0.5),
            percentile(durations, 0.95),
            queued,
            running,
            waiting,
            dead,
        )

    async def _read_before(self, org_id: str, hour: _Hour) -> None:
        """Count the runs that ended in the last hour, and before this process began to count."""
        after = self._clock.now_ms() - MINUTES * MINUTE_MS
        rows, oldest = await self._database.read(lambda conn: store_pulse.list_ended(conn, org_id, SEED_ROWS_MAX))
        if hour.since is not None:
            return  # somebody else asked as well
        counted, hour.minutes = hour.minutes, deque(maxlen=MINUTES)
        before = [row for row in rows if after <= row.ended_at < self._opened_at]
        for row in sorted(before, key=lambda row: row.ended_at):
            took_ms = None if row.started_at is None else row.ended_at - row.started_at
            hour.add(RunState(row.state), row.ended_at, took_ms)
        for minute in counted:
            _merge(hour.minutes, minute)
        hour.since = after if oldest is None else max(after, oldest)


def _merge(minutes: deque[Minute], more: Minute) -> None:
    if minutes and minutes[-1].at == more.at:
        last = minutes[-1]
        last.completed += more.completed
        last.failed += more.failed
        last.cancelled += more.cancelled
        last.durations.update(more.durations)
    else:
        minutes.append(more)


def _class_of(took_ms: int) -> int:
    return 0 if took_ms < 1 else 1 + round(math.log(took_ms, _STEP))


def percentile(durations: Counter[int], part: float) -> int | None:
    """The duration in ms that ``part`` of those counted by class did not exceed; None for none."""
    left = math.ceil(durations.total() * part)
    for each in sorted(durations):
        left -= durations[each]
        if left <= 0:
            return 0 if each == 0 else round(_STEP ** (each - 1))
    return None
