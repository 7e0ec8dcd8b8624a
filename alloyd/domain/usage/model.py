"""What a billable call used, what a budget is, and how usage is summed up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal

Status = Literal["ok", "failed", "cancelled"]

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS


class Period(StrEnum):
    """How long a budget lasts: a calendar day or month in UTC."""

    DAY = "day"
    MONTH = "month"


_ADJECTIVES = {Period.DAY: "daily", Period.MONTH: "monthly"}


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent in a period, in micro-USD; None is no limit, 0 lets only free calls through."""

    limit_micro_usd: int | None
    period: Period = Period.MONTH

    @property
    def name(self) -> str:
        """As a refusal names it."""
        return f"{_ADJECTIVES[self.period]} budget"


@dataclass(frozen=True, slots=True)
class NewUsage:
    """What one call used. Where it belongs to a run or job, their ids say so."""

    provider: str
    model: str
    modality: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0
    duration_ms: int = 0
    status: Status = "ok"
    run_id: str | None = None
    workflow_id: str | None = None
    node_key: str | None = None
    job_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """A call as it was recorded. ``over_micro_usd`` is what it cost beyond the budget, which no sum contains."""

    id: str
    org_id: str
    used: NewUsage
    over_micro_usd: int
    principal_id: str
    principal_kind: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over calls; ``failed`` counts those that failed or were cancelled."""

    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0
    over_micro_usd: int = 0
    duration_ms: int = 0

    def minus(self, other: Totals) -> Totals:
        """What is left without ``other``."""
        return Totals(
            self.calls - other.calls,
            self.failed - other.failed,
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.cost_micro_usd - other.cost_micro_usd,
            self.over_micro_usd - other.over_micro_usd,
            self.duration_ms - other.duration_ms,
        )


@dataclass(frozen=True, slots=True)
class Share:
    """One line of a breakdown; ``id`` None is everything that no other line has."""

    id: str | None
    totals: Totals
    kind: str | None = None  # of a principal


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Totals from ``from_ms`` to before ``to_ms``, broken down; each breakdown's lines add up to the totals."""

    from_ms: int
    to_ms: int
    totals: Totals
    by_provider: list[Share]
    by_model: list[Share]
    by_workflow: list[Share]
    by_job: list[Share]
    by_key: list[Share]
    by_principal: list[Share]
    by_day: list[Share]


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget as it stands; ``own`` tells whether it is the organization's own, not the configuration's."""

    budget: Budget
    own: bool
    spent_micro_usd: int
    reserved_micro_usd: int
    period_start: int
    period_end: int


@dataclass(frozen=True, slots=True)
class UsageSettings:
    """The configuration's group ``budgets``: what holds for organizations without a budget of their own."""

    default_budget: Budget = Budget(None)


def hour_of(ms: int) -> int:
    """The beginning of the hour that ``ms`` lies in."""
    return ms - ms % HOUR_MS


def day_of(ms: int) -> int:
    """The beginning of the day (UTC) that ``ms`` lies in."""
    return ms - ms % DAY_MS


def period_start(period: Period, ms: int) -> int:
    """The beginning of the period that ``ms`` lies in."""
    if period is Period.DAY:
        return day_of(ms)
    first = datetime.fromtimestamp(ms // 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(first.timestamp()) * 1000


def period_end(period: Period, ms: int) -> int:
    """The beginning of the period after the one that ``ms`` lies in."""
    start = period_start(period, ms)
    if period is Period.DAY:
        return start + DAY_MS
    in_next = datetime.fromtimestamp(start // 1000, UTC) + timedelta(days=32)
    return period_start(period, int(in_next.timestamp()) * 1000)
