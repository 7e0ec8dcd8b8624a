"""Starts a run in one transaction with what else belongs to it."""

from __future__ import annotations

from collections.abc import Callable

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.runs.model import Started, StartRun
from alloyd.domain.runs.service import RunService, refuse_denied_run
from alloyd.domain.workflows.model import Runnable
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

WriteAlong = Callable[[Tx], None]


async def start_together(
    database: Database,
    runs: RunService,
    principal: Principal,
    command: StartRun,
    runnable: Runnable,
    along: WriteAlong,
    once: Once | None = None,
    run_id: str | None = None,
) -> Started:
    """Queue a run, and do ``along(tx)`` in the same transaction, before it; both or none.

    ``once`` is an idempotency key: a copy gives the first run, and nothing is done along. Raises as
    :meth:`RunService.start`, and what ``along`` raises. Emits ``workflow.run.queued``.
    """
    refuse_denied_run(principal, command.workflow_id)
    org_id, run_id = principal.org_id, run_id or new_id()
    if once is not None:  # a copy is answered whatever the bounds say by now
        known = await database.write(lambda tx: idempotency.find_made(tx, org_id, once))
        if known is not None:
            return await _first(runs, principal, known)
    new = runs.new_run(principal, command, runnable, run_id, queued=True)
    queued_at = 0

    def write(tx: Tx) -> str:
        nonlocal queued_at
        queued_at = tx.now
        known = idempotency.find_made(tx, org_id, once)
        if known is not None:  # a copy was quicker
            return known
        along(tx)
        runs.write_start(tx, new, runnable)
        idempotency.remember_made(tx, org_id, once, run_id)
        return run_id

    started = await runs.start_again(new, write)
    if started == run_id:
        return Started(run_id, queued_at)
    runs.admission.give_back(org_id)
    return await _first(runs, principal, started)


async def _first(runs: RunService, principal: Principal, run_id: str) -> Started:
    view = (await runs.get(principal, run_id)).run
    return Started(run_id, view.queued_at or view.created_at, created=False)
