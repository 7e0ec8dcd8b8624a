"""What each organization may still spend, in memory: one process, so no reservation can slip past another.

Pure: no database, no await. For each organization: spent (settled, by day) + reserved never passes its limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from alloyd.domain.usage.model import Budget, BudgetState, Period, day_of, period_end, period_start
from alloyd.errors import AlloydError, Code
from alloyd.kit.money import format_usd


class Reservation:
    """Money set aside for one call. It is settled or released, once."""

    __slots__ = ("micro_usd", "open", "org_id")

    def __init__(self, org_id: str, micro_usd: int) -> None:
        self.org_id = org_id
        self.micro_usd = micro_usd
        self.open = True


@dataclass(slots=True)
class _Account:
    """One organization's money in micro-USD; ``spent`` by the day's beginning, of this month."""

    reserved: int = 0
    spent: dict[int, int] = field(default_factory=dict)


class Ledger:
    """The accounts of all organizations."""

    def __init__(self, default: Budget) -> None:
        self.default = default
        self._own: dict[str, Budget] = {}
        self._accounts: dict[str, _Account] = {}

    def budget_of(self, org_id: str) -> Budget:
        """What holds for the organization."""
        return self._own.get(org_id, self.default)

    def set_own(self, org_id: str, budget: Budget | None) -> None:
        """Give the organization a budget of its own, or take it away."""
        if budget is None:
            self._own.pop(org_id, None)
        else:
            self._own[org_id] = budget

    def reserve(self, org_id: str, micro_usd: int, now: int) -> Reservation:
        """Set ``micro_usd`` aside. Raises ``rate_limited`` naming the budget that it does not fit in."""
        if micro_usd < 0:
            raise ValueError("a reservation is not negative")
        account = self._accounts.setdefault(org_id, _Account())
        budget = self.budget_of(org_id)
        if micro_usd and budget.limit_micro_usd is not None:
            left = budget.limit_micro_usd - _spent(account, budget.period, now) - account.reserved
            if micro_usd > left:
                raise _used_up(budget, micro_usd, max(0, left), account.reserved, now)
        account.reserved += micro_usd
        return Reservation(org_id, micro_usd)

    def widen(self, reservation: Reservation, micro_usd: int, now: int) -> int:
        """Let a reservation have ``micro_usd`` in all, or as much as is left; how much it has now."""
        more = micro_usd - reservation.micro_usd
        if more > 0:
            account = self._accounts[reservation.org_id]
            budget = self.budget_of(reservation.org_id)
            if budget.limit_micro_usd is not None:
                left = budget.limit_micro_usd - _spent(account, budget.period, now) - account.reserved
                more = min(more, max(0, left))
            account.reserved += more
            reservation.micro_usd += more
        return reservation.micro_usd

    def release(self, reservation: Reservation) -> None:
        """Give back what was set aside; a second time does nothing."""
        if reservation.open:
            reservation.open = False
            self._accounts[reservation.org_id].reserved -= reservation.micro_usd

    def settle(self, reservation: Reservation, cost_micro_usd: int, now: int) -> None:
        """What was set aside has become ``cost_micro_usd`` spent at ``now``; the rest is free again."""
        self._accounts[reservation.org_id].reserved -= reservation.micro_usd
        self.add_spent(reservation.org_id, day_of(now), cost_micro_usd)

    def add_spent(self, org_id: str, day: int, micro_usd: int) -> None:
        """Count what was spent on a day, and forget what no budget of this month looks at."""
        spent = self._accounts.setdefault(org_id, _Account()).spent
        if day not in spent and spent:
            month = period_start(Period.MONTH, max(day, *spent))
            for old in [known for known in spent if known < month]:
                del spent[old]
        spent[day] = spent.get(day, 0) + micro_usd

    def state_of(self, org_id: str, now: int) -> BudgetState:
        """The organization's budget as it stands."""
        account = self._accounts.get(org_id, _Account())
        budget = self.budget_of(org_id)
        return BudgetState(
            budget,
            org_id in self._own,
            _spent(account, budget.period, now),
            account.reserved,
            period_start(budget.period, now),
            period_end(budget.period, now),
        )


def _spent(account: _Account, period: Period, now: int) -> int:
    start = period_start(period, now)
    return sum(micro_usd for day, micro_usd in account.spent.items() if day >= start)


def _used_up(budget: Budget, wanted: int, left: int, reserved: int, now: int) -> AlloydError:
    limit = budget.limit_micro_usd or 0
    retry_after_s = 1 if wanted <= left + reserved else max(1, (period_end(budget.period, now) - now) // 1000)
    return AlloydError(
        Code.RATE_LIMITED,
        f"the organization's {budget.name} of {format_usd(limit)} USD has {format_usd(left)} USD left, "
        f"and this may cost {format_usd(wanted)} USD",
        details={"budget": budget.name, "period": budget.period.value},
        retry_after_s=retry_after_s,
    )
