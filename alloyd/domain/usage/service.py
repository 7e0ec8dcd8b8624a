"""Use cases of usage: reserve, settle, show; and each organization's budget."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from typing import Any

from alloyd.db import Database, GroupedWrite, Tx
from alloyd.domain.usage import store
from alloyd.domain.usage.budgets import Ledger, Reservation
from alloyd.domain.usage.model import (
    DAY_MS,
    HOUR_MS,
    Budget,
    BudgetState,
    NewUsage,
    Period,
    Share,
    Totals,
    UsageRecord,
    UsageReport,
    UsageSettings,
    hour_of,
    period_start,
)
from alloyd.errors import bad_request
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.kit.ids import new_id
from alloyd.log import get_logger
from alloyd.principal import Kind, Principal

log = get_logger("alloyd.usage")

# Lines of a breakdown; what is beyond is one line together.
SHARES_MAX = 100
# Records that are looked at for the breakdown by job.
JOB_RECORDS_MAX = 100_000
RANGE_DAYS_MAX = 3660
_LAST = (2**63 - 1, "g")  # sorts after every record


class UsageService:
    """The only door to usage and budgets. :meth:`open` it before the first reservation."""

    def __init__(self, database: Database, clock: Clock, settings: UsageSettings) -> None:
        self._database = database
        self._clock = clock
        self._ledger = Ledger(settings.default_budget)
        self._writes: GroupedWrite[tuple[Reservation, UsageRecord], str] = GroupedWrite(database, self._write)

    async def open(self) -> None:
        """Read what was spent so far, and every organization's own budget."""
        month = period_start(Period.MONTH, self._clock.now_ms())

        def read(conn: sqlite3.Connection) -> tuple[dict[str, Budget], list[tuple[str, int, int]]]:
            return store.list_budgets(conn), store.list_spent(conn, month)

        budgets, spent = await self._database.read(read)
        for org_id, budget in budgets.items():
            self._ledger.set_own(org_id, budget)
        for org_id, day, micro_usd in spent:
            self._ledger.add_spent(org_id, day, micro_usd)

    def set_default(self, settings: UsageSettings) -> None:
        """Change the budget of organizations that have none of their own."""
        self._ledger.default = settings.default_budget

    # -- spending --------------------------------------------------------------------------------------------

    def reserve(self, org_id: str, micro_usd: int) -> Reservation:
        """Set aside what a call may cost at most. Settle or release it, whatever becomes of the call.

        Raises ``rate_limited``, naming the budget, when settled + reserved + this would pass it; what costs nothing
        always fits.
        """
        return self._ledger.reserve(org_id, micro_usd, self._clock.now_ms())

    def release(self, reservation: Reservation) -> None:
        """The call did not take place: give back what was set aside. After a settle, and a second time: nothing."""
        self._ledger.release(reservation)

    async def settle(self, reservation: Reservation, principal: Principal, used: NewUsage) -> str:
        """Record what a call used against its reservation; the record's id. Durable when this returns.

        The rest of the reservation is free again then. alloyd acting with the id of a key or user counts as theirs. A
        call that cost more than was set aside takes what the budget has left; what is beyond is recorded as over the
        budget, and counts nowhere. Goes on to its end when the caller is cancelled. When the disk fails, what was set
        aside stays so until the restart.
        """
        if not reservation.open:
            raise ValueError("the reservation was settled or released before")
        allowed = self._ledger.widen(reservation, used.cost_micro_usd, self._clock.now_ms())
        over = used.cost_micro_usd - allowed if used.cost_micro_usd > allowed else 0
        if over:
            log.warning("a call cost more than the budget had left", org=reservation.org_id, over_micro_usd=over)
            used = replace(used, cost_micro_usd=allowed)
        if used.job_id is not None:
            used = replace(used, workflow_id=None)  # it is alloyd's own, and nobody's
        reservation.open = False
        record = UsageRecord(new_id(), reservation.org_id, used, over, principal.id, principal.kind.value, 0)
        return await asyncio.shield(self._writes.submit((reservation, record)))

    def _write(self, tx: Tx, items: list[tuple[Reservation, UsageRecord]]) -> list[str]:
        """On the writer's thread: all calls that ended while it was busy."""
        now = tx.now
        kinds = {
            key: store.find_kind(tx, *key)
            for key in {(one.org_id, one.principal_id) for _held, one in items if one.principal_kind == Kind.SYSTEM}
            if key[1] != Kind.SYSTEM
        }
        store.insert_records(
            tx,
            [
                replace(
                    record,
                    created_at=now,
                    principal_kind=kinds.get((record.org_id, record.principal_id)) or record.principal_kind,
                )
                for _held, record in items
            ],
        )

        def count() -> None:
            for reservation, record in items:
                self._ledger.settle(reservation, record.used.cost_micro_usd, now)

        tx.after_commit(count)
        return [record.id for _reservation, record in items]

    # -- budgets ---------------------------------------------------------------------------------------------

    def get_budget(self, org_id: str) -> BudgetState:
        """The organization's budget and what is left of it."""
        return self._ledger.state_of(org_id, self._clock.now_ms())

    async def set_budget(self, principal: Principal, budget: Budget | None) -> BudgetState:
        """Give the caller's organization a budget of its own; None: the configuration's again.

        Holds from the next reservation on. Emits ``budget.updated``.
        """
        org_id = principal.org_id

        def write(tx: Tx) -> None:
            if budget is None:
                store.delete_budget(tx, org_id)
            else:
                store.set_budget(tx, org_id, budget, principal.id)
            told = None if budget is None else {"limit_micro_usd": budget.limit_micro_usd, "period": budget.period}
            tx.emit(Event(org_id, "budget.updated", org_id, {"budget": told}))
            tx.after_commit(lambda: self._ledger.set_own(org_id, budget))

        await self._database.write(write)
        return self.get_budget(org_id)

    # -- showing ---------------------------------------------------------------------------------------------

    async def report(self, org_id: str, from_ms: int | None, to_ms: int | None) -> UsageReport:
        """Totals and breakdowns from ``from_ms`` to before ``to_ms``; by default this month until now.

        Raises ``bad_request`` naming ``from`` or ``to``.
        """
        from_ms, to_ms = self._range(from_ms, to_ms)
        return await self._database.read(lambda conn: _report(conn, org_id, from_ms, to_ms))

    async def list_records(
        self, org_id: str, from_ms: int | None, to_ms: int | None, before: tuple[int, str] | None, limit: int
    ) -> list[UsageRecord]:
        """A page of records, newest first, those before the position ``(created_at, id)``. Range as :meth:`report`."""
        from_ms, to_ms = self._range(from_ms, to_ms)
        return await self._database.read(
            lambda conn: store.list_page(conn, org_id, from_ms, to_ms, before or _LAST, limit)
        )

    async def list_of_job(self, org_id: str, job_id: str, limit: int) -> tuple[Totals, list[UsageRecord]]:
        """A job's totals, and its newest ``limit`` records."""
        return await self._database.read(lambda conn: store.list_of_job(conn, org_id, job_id, limit))

    def _range(self, from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
        to_ms = self._clock.now_ms() + 1 if to_ms is None else to_ms
        from_ms = min(period_start(Period.MONTH, self._clock.now_ms()), to_ms) if from_ms is None else from_ms
        if from_ms > to_ms:
            raise bad_request("from: later than to", "from")
        if to_ms - from_ms > RANGE_DAYS_MAX * DAY_MS:
            raise bad_request(f"from: more than {RANGE_DAYS_MAX} days before to", "from")
        return from_ms, to_ms


def purge(tx: Tx, before_ms: int, limit: int) -> int:
    """Delete at most ``limit`` records from before the hour of ``before_ms``; how many. The sums stay."""
    return store.delete_before(tx, hour_of(before_ms), limit)


def _report(conn: sqlite3.Connection, org_id: str, from_ms: int, to_ms: int) -> UsageReport:
    span = _span(org_id, from_ms, to_ms, store.find_purged_before(conn))
    totals = store.sum_up(conn, span)

    def shares(by: str, limit: int = SHARES_MAX) -> list[Share]:
        return _whole(store.list_shares(conn, by, span, limit), totals)

    jobs = store.list_job_shares(conn, org_id, from_ms, to_ms, SHARES_MAX, JOB_RECORDS_MAX)
    return UsageReport(
        from_ms=from_ms,
        to_ms=to_ms,
        totals=totals,
        by_provider=shares("provider"),
        by_model=shares("model"),
        by_workflow=shares("workflow"),
        by_job=_whole(jobs, totals),
        by_key=shares("key"),
        by_principal=shares("principal"),
        by_day=shares("day", RANGE_DAYS_MAX + 1),
    )


def _whole(shares: list[Share], totals: Totals) -> list[Share]:
    """With a line for what none of ``shares`` has, so that the lines add up to ``totals``."""
    rest = totals
    for share in shares:
        rest = rest.minus(share.totals)
    return shares if rest == Totals() else [*shares, Share(None, rest)]


def _span(org_id: str, from_ms: int, to_ms: int, purged_before: int) -> dict[str, Any]:
    """Whole hours, and the pieces of hours at both ends; where only sums are left, whole hours alone."""
    if from_ms < purged_before:
        from_ms = hour_of(from_ms)
    if to_ms < purged_before:
        to_ms = hour_of(to_ms + HOUR_MS - 1)
    first, last = hour_of(from_ms + HOUR_MS - 1), hour_of(to_ms)
    head, tail = (from_ms, first), (last, to_ms)
    if first > last:  # all within one hour
        head, tail = (from_ms, to_ms), (to_ms, to_ms)
    return {
        "org_id": org_id,
        "first": first,
        "last": last,
        "head_from": head[0],
        "head_to": head[1],
        "tail_from": tail[0],
        "tail_to": tail[1],
    }
