"""Use cases of runs that ended: run one again from some step, and the list of those that failed for good."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.runs import store, store_waits
from alloyd.domain.runs.model import ENDED, RunDetail, RunFilter, RunPage, RunState, RunView, Step, StepState
from alloyd.domain.runs.service import RunService, refuse_denied_run
from alloyd.domain.runs.store import NewRun, StoredRun
from alloyd.domain.workflows.model import Graph, Runnable
from alloyd.domain.workflows.service import WorkflowService, slot_finder
from alloyd.errors import AlloydError, Code, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

START, FAILED = "start", "failed"
TRIGGER = "retry"
Version = Literal["pinned", "latest"]
_DEAD_LETTER = "dead letter"


class RetryService:
    """Makes new runs of ended ones, each linked both ways."""

    def __init__(self, database: Database, workflows: WorkflowService, runs: RunService) -> None:
        self._database = database
        self._workflows = workflows
        self._runs = runs

    async def retry(
        self, principal: Principal, run_id: str, start: str, version: Version = "pinned", once: Once | None = None
    ) -> RunDetail:
        """Start a new run of an ended one: from its ``start``, from what ``failed``, or from the step of that key.

        Results of steps that do not come after it are taken over, and do not run again; the context is then as the
        ended run left it. ``once`` is an idempotency key: a copy gives the first new run.

        Raises ``not_found`` (also when the workflow was deleted), ``conflict`` when the run goes
        on, nothing of it failed, or it is a part of a foreach, ``unprocessable`` when the version has no such step,
        and what starting raises. Emits ``workflow.run.queued`` and ``workflow.run.retried``. Contract: control.
        """
        return await self._retry(principal, run_id, start, version, once, dead=False)

    async def list_dead(self, principal: Principal, wanted: RunFilter, before_id: str | None, limit: int) -> RunPage:
        """A page of runs that failed for good and that nobody has dealt with, newest first."""
        return await self._runs.list_page(principal, replace(wanted, dead=True), before_id, limit)

    async def requeue(
        self, principal: Principal, run_id: str, version: Version = "pinned", once: Once | None = None
    ) -> RunDetail:
        """:meth:`retry` a dead letter from what failed; it leaves the list. Raises ``not_found`` when it is none."""
        return await self._retry(principal, run_id, FAILED, version, once, dead=True)

    async def discard(self, principal: Principal, run_id: str) -> None:
        """Take a dead letter off the list; the run stays. Raises ``not_found``. Emits ``dead_letter.discarded``."""
        org_id = principal.org_id

        def write(tx: Tx) -> None:
            if not store_waits.mark_dealt_with(tx, org_id, run_id):
                raise not_found(_DEAD_LETTER)
            tx.emit(Event(org_id, "dead_letter.discarded", run_id))

        await self._database.write(write)

    async def _retry(
        self, principal: Principal, run_id: str, start: str, version: Version, once: Once | None, *, dead: bool
    ) -> RunDetail:
        org_id = principal.org_id
        if once is not None:
            known = await self._database.write(lambda tx: idempotency.find_made(tx, org_id, once))
            if known is not None:
                return await self._runs.get(principal, known)
        stored, first_context, is_dead = await self._read(org_id, run_id)
        if stored is None or (dead and not is_dead):
            raise not_found(_DEAD_LETTER if dead else "run")
        view = stored.view
        refuse_denied_run(principal, view.workflow_id)
        if view.state not in ENDED:
            raise conflict(f"the run is {view.state.value}: only an ended one can be run again")
        if view.scope is not None:
            raise conflict("the run is a part of a foreach: run the one above it again")
        runnable = await self._find_runnable(org_id, view, version)
        grown = {row.key for row in stored.grown}  # they come again, or not, with the step that grew them
        steps = {key: step for key, step in stored.steps.items() if key not in grown}
        kept = find_kept(runnable.graph, steps, start, runnable.version)
        if start == FAILED and view.state is RunState.COMPLETED and len(kept) == len(_completed(steps)):
            raise conflict("nothing of the run failed")
        new = self._new_run(principal, view, runnable, first_context if start == START else view.context)

        def write(tx: Tx) -> str:
            known = idempotency.find_made(tx, org_id, once)
            if known is not None:  # a copy was quicker
                return known
            if dead and not store_waits.mark_dealt_with(tx, org_id, run_id):
                raise not_found(_DEAD_LETTER)  # somebody else was quicker
            self._runs.write_start(tx, new, runnable)
            store_waits.link_retry(tx, org_id, run_id, new.id, kept)
            told = {"retried_by": new.id, "from": start, "version": runnable.version}
            tx.emit(Event(org_id, "dead_letter.requeued" if dead else "run.retried", run_id, told))
            idempotency.remember_made(tx, org_id, once, new.id)
            return new.id

        return await self._runs.get(principal, await self._runs.start_again(new, write))

    async def _read(self, org_id: str, run_id: str) -> tuple[StoredRun | None, object, bool]:
        stored = await self._database.read(lambda conn: store.load_run(conn, org_id, run_id))
        found = await self._database.read(lambda conn: store_waits.find_first_context(conn, org_id, run_id))
        context, is_dead = found or (None, False)
        return stored, {} if context is None else msgspec.json.decode(context), is_dead

    async def _find_runnable(self, org_id: str, view: RunView, version: Version) -> Runnable:
        newest = await self._workflows.get_runnable(org_id, view.workflow_id)
        if version == "latest":
            return newest
        graph = await self._workflows.get_graph(org_id, view.workflow_id, view.version)
        return Runnable(org_id, newest.workflow_id, newest.name, view.version, graph)

    def _new_run(self, principal: Principal, view: RunView, runnable: Runnable, context: object) -> NewRun:
        encode, graph = msgspec.json.encode, runnable.graph
        find_slot = slot_finder(runnable.workflow_id, graph)
        slot = None if find_slot is None else find_slot(view.payload)
        return NewRun(
            new_id(),
            principal.org_id,
            runnable.workflow_id,
            runnable.version,
            TRIGGER,
            principal.id,
            len(graph.nodes),
            queued=True,
            deadline_ms=self._runs.deadline_ms(graph),
            payload=encode(view.payload),
            context=encode(context),
            metadata=None if view.metadata is None else encode(view.metadata),
            retry_of=view.id,
            slot=None if slot is None else slot.of(view.end_user_id),
            end_user_id=view.end_user_id,
        )


def _completed(steps: dict[str, Step]) -> set[str]:
    return {key for key, step in steps.items() if step.state is StepState.COMPLETED}


def find_kept(graph: Graph, steps: dict[str, Step], start: str, version: int) -> set[str]:
    """Keys of the steps whose results a new run from ``start`` takes over: completed, and not after it.

    Raises ``unprocessable`` when the graph, of ``version``, lacks a step to start from.
    """
    if start == START:
        return set()
    if start == FAILED:
        again = {key for key, step in steps.items() if step.state in (StepState.FAILED, StepState.CANCELLED)}
    else:
        again = {start}
    for key in sorted(again - graph.nodes.keys()):
        raise AlloydError(Code.UNPROCESSABLE, f"from: version {version} has no step {key!r}", field="from")
    for key in graph.order:  # dependencies come first
        if any(dependency.key in again for dependency in graph.nodes[key].depends_on):
            again.add(key)
    return {key for key in _completed(steps) if key in graph.nodes and key not in again}
