"""Deletes what is older than the settings say, and gives the space back: in steps that no other write waits for long.

Ended runs go with their steps and events. An unfinished run, and what was told of it, stays however old it is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from alloyd.db import Database, Tx
from alloyd.db.maintenance import count_pages, optimize, release_some_pages
from alloyd.domain.audit.service import AuditService
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.retention.model import DAY_MS, HOUR_MS, RetentionSettings, Swept
from alloyd.domain.runs import retention as runs
from alloyd.domain.runs.model import AgedRun
from alloyd.domain.usage import service as usage
from alloyd.domain.webhooks import service as webhooks
from alloyd.events import retention as events
from alloyd.events.model import AgedEvent
from alloyd.kit.clock import Clock

PAGE_ROWS = 500
# One write's share: whatever is reached first. A row may have pages of content, so rows alone are no bound.
ROWS_PER_WRITE = 1000
WRITE_S_MAX = 0.02
ROWS_PER_STATEMENT = 50
# Space is given back when more pages than this are free, down to this many: new rows take them anyway.
FREE_PAGES_MAX = 2048
FREE_PAGES_KEPT = 512
OPTIMIZE_INTERVAL_MS = DAY_MS
RUNS_DELETED = "run.delete"  # the action of the row that tells of them


RunHook = Callable[[Tx, str, Collection[str], int], int]


@dataclass(slots=True)
class _Share:
    """What is left of one write's share."""

    rows: int
    until: float

    def is_used_up(self) -> bool:
        return self.rows <= 0 or time.perf_counter() >= self.until


class RetentionService:
    """One for the daemon. ``settings()`` gives what is in force, each time anew."""

    def __init__(
        self, database: Database, audit: AuditService, clock: Clock, settings: Callable[[], RetentionSettings]
    ) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._optimized_at = clock.now_ms()
        self._run_hooks: list[RunHook] = []

    def on_delete_run(self, hook: RunHook) -> None:
        """Run ``hook(tx, org_id, [run_id], rows_max)`` before a run is deleted: what another capability has of it goes
        with it, at most ``rows_max`` rows at once; it gives how many."""
        self._run_hooks.append(hook)

    async def sweep(self) -> Swept:
        """Delete all that is too old or too much, then give the space back. Raises ``unavailable``."""
        settings, now, swept = self._settings(), self._clock.now_ms(), Swept()
        try:
            swept.runs = await self._delete_old_runs(now - settings.runs_days * DAY_MS)
            swept.runs += await self._delete_surplus_runs(settings.runs_per_org_max)
        finally:
            await self._tell_deleted_runs(swept.runs)
        swept.events = await self._delete_old_events(now - settings.events_days * DAY_MS)
        swept.idempotency_keys = await self._forget_idempotency_keys(now - settings.idempotency_hours * HOUR_MS)
        swept.usage_records = await self._delete_old_usage(now - settings.usage_days * DAY_MS)
        swept.webhook_deliveries = await self._delete_old_deliveries(now - settings.deliveries_days * DAY_MS)
        swept.audit_rows = await self._audit.prune(now - settings.audit_days * DAY_MS, settings.audit_rows_max)
        swept.pages = await self._give_space_back()
        if now - self._optimized_at >= OPTIMIZE_INTERVAL_MS:
            await self._database.run_maintenance(optimize)
            self._optimized_at = now
        return swept

    # -- runs ------------------------------------------------------------------------------------------------

    async def _delete_old_runs(self, before_ms: int) -> int:
        after_seq, deleted = 0, 0
        while page := await self._list_runs(None, after_seq):
            ended = [run for run in page if run.ended_at is not None and run.ended_at < before_ms]
            deleted += await self._delete_runs(ended)
            # Starts are in the order of time, so what follows a page of young ones is younger still.
            if all(run.created_at >= before_ms for run in page):
                break
            after_seq = page[-1].seq
        return deleted

    async def _delete_surplus_runs(self, runs_per_org_max: int) -> int:
        org_id, deleted = "", 0
        while (found := await self._find_next_org(org_id)) is not None:
            org_id = found
            surplus = await self._count_ended(org_id) - runs_per_org_max
            after_seq = 0
            while surplus > 0 and (page := await self._list_runs(org_id, after_seq)):
                ended = [run for run in page if run.ended_at is not None][:surplus]
                deleted += await self._delete_runs(ended)
                surplus -= len(ended)
                after_seq = page[-1].seq
        return deleted

    async def _tell_deleted_runs(self, count: int) -> None:
        """One row of the audit trail for all of a round."""
        if count:
            await self._database.write(lambda tx: tx.audit("run:*", action=RUNS_DELETED, count=count))

    async def _list_runs(self, org_id: str | None, after_seq: int) -> list[AgedRun]:
        return await self._database.read(lambda conn: runs.list_from(conn, org_id, after_seq, PAGE_ROWS))

    async def _find_next_org(self, after: str) -> str | None:
        return await self._database.read(lambda conn: runs.find_next_org(conn, after))

    async def _count_ended(self, org_id: str) -> int:
        return await self._database.read(lambda conn: runs.count_ended(conn, org_id))

    async def _delete_runs(self, ended: list[AgedRun]) -> int:
        left = deque(ended)
        while left:
            for _ in range(await self._database.write(lambda tx: _delete_some_runs(tx, left, self._run_hooks))):
                left.popleft()
        return len(ended)

    # -- events and idempotency keys -------------------------------------------------------------------------

    async def _delete_old_events(self, before_ms: int) -> int:
        after_id, deleted = 0, 0
        while page := await self._list_events(after_id):
            old = [event for event in page if event.created_at < before_ms]
            deleted += await self._delete_events(old)
            if not old:
                break
            after_id = page[-1].id
        return deleted

    async def _list_events(self, after_id: int) -> list[AgedEvent]:
        return await self._database.read(lambda conn: events.list_from(conn, after_id, PAGE_ROWS))

    async def _delete_events(self, old: list[AgedEvent]) -> int:
        told_of = {event.run_id for event in old if event.run_id is not None}
        unfinished = await self._database.read(lambda conn: runs.find_unfinished(conn, told_of)) if told_of else set()
        doomed = [event for event in old if event.run_id not in unfinished]
        return await self._database.write(lambda tx: events.delete_each(tx, doomed)) if doomed else 0

    async def _forget_idempotency_keys(self, before_ms: int) -> int:
        total = 0
        while count := await self._database.write(lambda tx: idempotency.purge(tx, before_ms, ROWS_PER_WRITE)):
            total += count
        return total

    async def _delete_old_deliveries(self, before_ms: int) -> int:
        total = 0
        while count := await self._database.write(lambda tx: webhooks.purge_deliveries(tx, before_ms, ROWS_PER_WRITE)):
            total += count
        return total

    async def _delete_old_usage(self, before_ms: int) -> int:
        total = 0
        while count := await self._database.write(lambda tx: usage.purge(tx, before_ms, ROWS_PER_WRITE)):
            total += count
        return total

    # -- space -----------------------------------------------------------------------------------------------

    async def _give_space_back(self) -> int:
        free = (await self._database.read(count_pages)).free
        if free <= FREE_PAGES_MAX:
            return 0
        before = free
        while free > FREE_PAGES_KEPT:
            await self._database.run_maintenance(release_some_pages)
            now_free = (await self._database.run_maintenance(count_pages)).free
            if now_free >= free:
                break  # an older file that was not made for it
            free = now_free
        await self._database.checkpoint()
        return before - free


def _delete_some_runs(tx: Tx, ended: deque[AgedRun], hooks: Sequence[RunHook]) -> int:
    """Delete from the front as much as one write's share holds; how many runs are gone whole."""
    share = _Share(ROWS_PER_WRITE, time.perf_counter() + WRITE_S_MAX)
    gone = 0
    for run in ended:
        if not _delete_run(tx, run, share, hooks):
            break
        gone += 1
    return gone


def _delete_run(tx: Tx, run: AgedRun, share: _Share, hooks: Sequence[RunHook]) -> bool:
    """Delete a run's events, steps, and the run last; False when the share was used up before."""
    if runs.find_unfinished(tx.conn, [run.id]):
        return True  # it was taken up again since it was looked at
    while not share.is_used_up():
        rows_max = min(share.rows, ROWS_PER_STATEMENT)
        count = sum(hook(tx, run.org_id, [run.id], rows_max) for hook in hooks)
        if count < rows_max:
            count += events.delete_of_run(tx, run.org_id, run.id, rows_max - count)
        if count < rows_max:
            count += runs.delete_ended(tx, run.org_id, run.id, rows_max - count)
        share.rows -= count
        if count < rows_max:
            return True
    return False
