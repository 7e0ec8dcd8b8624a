"""Use cases of runs: start, wait, show, list, cancel. The only door to runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from alloyd.db import Database, GroupedWrite, Tx
from alloyd.domain.authz.model import Resource
from alloyd.domain.authz.service import refuse_denied
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.operations.model import Slot
from alloyd.domain.orgs import service as orgs
from alloyd.domain.runs import machine, store, store_lists, store_waits
from alloyd.domain.runs.admission import Admission, RunSettings
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import (
    ENDED,
    Ended,
    RunDetail,
    RunFilter,
    RunPage,
    RunState,
    RunView,
    Started,
    StartRun,
    StepError,
    view_step,
)
from alloyd.domain.runs.queue import Seed
from alloyd.domain.runs.recording import NOTHING
from alloyd.domain.runs.showing import shown_steps
from alloyd.domain.runs.store import NewRun
from alloyd.domain.runs.worker import Engine
from alloyd.domain.workflows.model import Graph, Runnable
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError, Code, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.kit.ids import new_id
from alloyd.kit.stamp import SYSTEM
from alloyd.principal import Principal

__all__ = ["RunService", "RunSettings"]

_WHAT = "run"
_QUEUED = "workflow.run.queued"


class RunService:
    """Starts runs durably, tells how they are, ends them."""

    def __init__(
        self,
        database: Database,
        workflows: WorkflowService,
        engine: Engine,
        clock: Clock,
        settings: RunSettings,
        disk_guard: Callable[[], None],
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._engine = engine
        self.admission = Admission(clock, settings, disk_guard, engine.queued_of)
        self._archived: set[str] = set()  # organizations; also of an archiving that was rolled back, so ask the table
        self._starts: GroupedWrite[tuple[NewRun, Runnable], Started | AlloydError] = GroupedWrite(
            database, self._write_starts, _find_target
        )
        engine.end_overdue = self._end_overdue
        engine.end_child = self._end_child
        self.set_bounds(settings)

    async def open(self) -> None:
        """Read where the order of starts goes on, and where none may start; before the first start."""
        await self._engine.recorder.open(self._database)
        self._archived = await self._database.read(orgs.list_archived)

    def set_bounds(self, settings: RunSettings) -> None:
        """Change the organizations' bounds."""
        self.admission.settings = settings
        self._engine.queued_per_org_max = settings.queued_per_org_max
        self._engine.recorder.run_deadline_ms = settings.run_deadline_ms

    def close_org(self, tx: Tx, org_id: str) -> None:
        """In the transaction that archives an organization: no run starts there any more."""
        self._archived.add(org_id)

    # -- starting --------------------------------------------------------------------------------------------

    async def start(
        self,
        principal: Principal,
        command: StartRun,
        once: Once | None = None,
        run_id: str | None = None,
        runnable: Runnable | None = None,
    ) -> Started:
        """Queue a run of the workflow's newest published version; durable when this returns.

        ``once`` is an idempotency key: a second start with it gives the first run. ``runnable`` is what is run, where
        it is at hand. Raises ``not_found`` for an
        unknown workflow or one with nothing to run, ``rate_limited`` over the organization's rate or queue limit,
        ``unavailable`` when the disk is nearly full. Emits ``workflow.run.queued``. Contract: private, "Trigger".
        """
        runnable = runnable or self._workflows.find_cached_runnable(principal.org_id, command.workflow_id)
        if runnable is None:
            runnable = await self._workflows.get_runnable(principal.org_id, command.workflow_id)
        refuse_denied_run(principal, command.workflow_id)
        org_id, run_id = principal.org_id, run_id or new_id()
        refusal = self.admission.admit(org_id, run_id)
        try:
            if once is None:
                if refusal is not None:
                    raise refusal
                new = self.new_run(principal, command, runnable, run_id, queued=True)
                if new.slot is None:
                    return _started(await self._starts.submit((new, runnable)))
                await self.warm_slot(org_id, new.slot)
                return await self._database.write(lambda tx: self.write_start(tx, new, runnable))
            if runnable.graph.mode is not None:
                slot = self.new_run(principal, command, runnable, run_id, queued=True).slot
                await self.warm_slot(org_id, slot)
            started = await self._database.write(
                lambda tx: self._start_once(tx, principal, command, runnable, once, run_id, refusal)
            )
        finally:
            self.admission.forget_coming(org_id, run_id)
        if not started.created and refusal is None:
            self.admission.give_back(org_id)
        return started

    def _start_once(
        self,
        tx: Tx,
        principal: Principal,
        command: StartRun,
        runnable: Runnable,
        once: Once,
        run_id: str,
        refusal: AlloydError | None,
    ) -> Started:
        """A copy of a request that has been answered gets that answer, whatever the bounds say by now."""
        known = idempotency.find_made(tx, principal.org_id, once)
        if known is not None:
            view = store.find_run(tx.conn, principal.org_id, known)
            return Started(known, (view and view.queued_at) or tx.now, created=False)
        if refusal is not None:
            raise refusal
        new = self.new_run(principal, command, runnable, run_id, queued=True)
        started = self.write_start(tx, new, runnable)
        idempotency.remember_made(tx, principal.org_id, once, started.run_id)
        return started

    def start_within(
        self, tx: Tx, principal: Principal, command: StartRun, runnable: Runnable, *, trigger_depth: int = 0
    ) -> Started:
        """:meth:`start` inside a caller's transaction, on the writer's thread: what alloyd starts by itself.

        ``runnable`` is :meth:`WorkflowService.find_runnable_in`'s. Held to the organization's queue limit as of the
        last commit, not to its rate. Raises ``rate_limited`` and ``unavailable`` as :meth:`start`.
        """
        self.admission.check_room(principal.org_id)
        new = self.new_run(principal, command, runnable, new_id(), queued=True)
        new.trigger_depth = trigger_depth
        started = self.write_start(tx, new, runnable)
        if not tx.was_asked_for:
            tx.audit(
                f"run:{started.run_id}", action="workflow.run", org_id=new.org_id, actor=(SYSTEM, new.trigger_kind)
            )
        return started

    def write_start(self, tx: Tx, new: NewRun, runnable: Runnable) -> Started:
        """One start in a transaction of its own. Raises ``conflict`` where the organization is archived."""
        (started,) = self._write_starts(tx, [(new, runnable)])
        return _started(started)

    async def start_again(self, new: NewRun, write: Callable[[Tx], str]) -> str:
        """Do ``write``, which starts ``new`` among other things, if the bounds let it; what it returns, which is the
        new run's id. Raises as :meth:`start`."""
        refusal = self.admission.admit(new.org_id, new.id)
        try:
            if refusal is not None:
                raise refusal
            await self.warm_slot(new.org_id, new.slot)
            return await self._database.write(write)
        finally:
            self.admission.forget_coming(new.org_id, new.id)

    async def warm_slot(self, org_id: str, slot: Slot | None) -> None:
        """Have at hand, for the writer, the graphs of the runs that a new one with this place may end."""
        if slot is None or not slot.restarts:
            return
        for _id, workflow_id, version, _scope in await self._database.read(
            lambda conn: store_waits.list_slot(conn, org_id, slot.name)
        ):
            with contextlib.suppress(AlloydError):
                await self._workflows.get_graph(org_id, workflow_id, version)

    def find_trigger_depth(self, tx: Tx, org_id: str, run_id: str) -> int:
        """How many runs, each started by an event of the one before, led to this one; 0 for one that is gone."""
        return store.find_trigger_depth(tx.conn, org_id, run_id)

    async def create(self, principal: Principal, command: StartRun, once: Once | None = None) -> RunDetail:
        """Make a run that does not start yet. Raises as :meth:`start`. Emits ``workflow.run.created``."""
        runnable = await self._workflows.get_runnable(principal.org_id, command.workflow_id)
        refuse_denied_run(principal, command.workflow_id)

        org_id, run_id = principal.org_id, new_id()
        refusal = self.admission.admit(org_id, run_id)
        self.admission.forget_coming(org_id, run_id)  # it does not join the queue yet

        def write(tx: Tx) -> str:
            known = idempotency.find_made(tx, org_id, once)
            if known is not None:
                return known
            if refusal is not None:
                raise refusal
            new = self.new_run(principal, command, runnable, run_id, queued=False)
            self._refuse_archived(tx, org_id)
            store.insert_runs(tx, [new], self._engine.recorder.take_seqs(1))
            tx.emit(_event(org_id, "workflow.run.created", run_id, new.workflow_id))
            idempotency.remember_made(tx, org_id, once, run_id)
            return run_id

        return await self.get(principal, await self._database.write(write))

    async def start_pending(self, principal: Principal, run_id: str) -> RunDetail:
        """Queue a pending run. Raises ``not_found``, ``conflict`` when it is not pending, ``rate_limited``.

        Emits ``workflow.run.queued``.
        """
        org_id = principal.org_id
        run = (await self.get(principal, run_id)).run
        refuse_denied_run(principal, run.workflow_id)
        if run.state is not RunState.PENDING:
            raise _not_pending(run)
        graph = await self._workflows.get_graph(org_id, run.workflow_id, run.version)
        slot = None
        if graph.mode is not None:
            slot = graph.mode.find_slot(run.workflow_id, {"trigger": run.payload, "context": run.context})
            slot = slot.of(run.end_user_id)
            await self.warm_slot(org_id, slot)
        refusal = self.admission.admit(org_id, run_id)
        if refusal is not None:
            raise refusal

        def write(tx: Tx) -> None:
            deadline_at = tx.now + self.deadline_ms(graph)
            self._refuse_archived(tx, org_id)
            if not store.mark_queued(tx, org_id, run_id, deadline_at):
                raise _not_pending(store.find_run(tx.conn, org_id, run_id))
            tx.emit(_event(org_id, _QUEUED, run_id, run.workflow_id))
            recorder = self._engine.recorder
            ready = slot is None or recorder.enter(tx, org_id, run_id, recorder.take_seqs(1), slot, deadline_at)

            def accept() -> None:
                if ready:
                    self._engine.accept_known(org_id, run_id, deadline_at)
                self.admission.forget_coming(org_id, run_id)

            tx.after_commit(accept)

        try:
            await self._database.write(write)
        finally:
            self.admission.forget_coming(org_id, run_id)
        return await self.get(principal, run_id)

    def new_run(
        self, principal: Principal, command: StartRun, runnable: Runnable, run_id: str, *, queued: bool
    ) -> NewRun:
        """The row of a run to be written. Raises ``bad_request`` when its concurrency key can't be told."""
        mode, slot = runnable.graph.mode, None
        if mode is not None and queued:
            decode = msgspec.json.decode
            names = {"trigger": decode(command.payload), "context": decode(command.context)}
            slot = mode.find_slot(runnable.workflow_id, names).of(command.end_user_id)
        return NewRun(
            run_id,
            principal.org_id,
            runnable.workflow_id,
            runnable.version,
            command.trigger_kind,
            principal.id,
            len(runnable.graph.nodes),
            queued,
            self.deadline_ms(runnable.graph),
            command.payload,
            command.context,
            command.metadata,
            slot=slot,
            told=command.told,
            end_user_id=command.end_user_id,
        )

    def deadline_ms(self, graph: Graph) -> int:
        """A run's time from its start."""
        return graph.run_deadline_ms or self.admission.settings.run_deadline_ms

    def _refuse_archived(self, tx: Tx, org_id: str) -> None:
        if org_id in self._archived:
            orgs.require_active(tx, org_id)

    def _write_starts(self, tx: Tx, items: list[tuple[NewRun, Runnable]]) -> list[Started | AlloydError]:
        """On the writer's thread: all starts that waited, in one go; those of archived organizations are refused."""
        if not self._archived:
            return [*self._write_allowed(tx, items)]
        results: list[Started | AlloydError] = []
        for item in items:
            try:
                self._refuse_archived(tx, item[0].org_id)
                results.extend(self._write_allowed(tx, [item]))
            except AlloydError as error:
                results.append(error)
        return results

    def _write_allowed(self, tx: Tx, items: list[tuple[NewRun, Runnable]]) -> list[Started]:
        recorder = self._engine.recorder
        first_seq = recorder.take_seqs(len(items))
        runs = [new for new, _runnable in items]
        store.insert_runs(tx, runs, first_seq)
        tx.outbox.extend(_event(new.org_id, _QUEUED, new.id, new.workflow_id) for new in runs)
        tx.outbox.extend(event for new in runs for event in new.told)
        now = tx.now
        held_back = {
            new.id
            for seq, new in enumerate(runs, start=first_seq)
            if new.slot is not None and not recorder.enter(tx, new.org_id, new.id, seq, new.slot, now + new.deadline_ms)
        }

        def accept() -> None:
            self._engine.note_group(len(items))
            for seq, (new, runnable) in enumerate(items, start=first_seq):
                self.admission.forget_coming(new.org_id, new.id)
                if new.id in held_back:
                    self._engine.scheduler.add_deadline(now + new.deadline_ms)
                    continue
                if new.retry_of is not None:  # it begins with steps that stand in the table
                    self._engine.accept_known(new.org_id, new.id, now + new.deadline_ms, seq)
                    continue
                if self._engine.counts_only(new.org_id, now + new.deadline_ms):
                    continue
                seed = Seed(
                    new.id,
                    new.org_id,
                    seq,
                    new.workflow_id,
                    new.version,
                    runnable.graph,
                    new.payload,
                    new.context,
                    new.started_by,
                    new.trigger_kind,
                    new.end_user_id,
                )
                self._engine.accept(seed, now + new.deadline_ms)

        tx.after_commit(accept)
        return [Started(new.id, now) for new in runs]

    # -- waiting ---------------------------------------------------------------------------------------------

    async def start_and_wait(
        self, principal: Principal, command: StartRun, wait_s: float, once: Once | None = None
    ) -> tuple[Started, Ended | None]:
        """:meth:`start`, then wait at most ``wait_s`` seconds for the end; None when it has not come."""
        run_id = new_id()
        future = self._engine.expect_end(run_id)
        try:
            started = await self.start(principal, command, once, run_id)
            if not started.created:
                self._engine.forget_waiter(run_id, future)
                return started, await self.wait(principal, started.run_id, wait_s)
            try:
                async with asyncio.timeout(wait_s):
                    return started, await future
            except TimeoutError:
                return started, None
        finally:
            self._engine.forget_waiter(run_id, future)

    async def wait(self, principal: Principal, run_id: str, wait_s: float) -> Ended | None:
        """How the run ended, waiting at most ``wait_s`` seconds for it; None when it goes on."""
        future = self._engine.expect_end(run_id)
        try:
            view = (await self.get(principal, run_id)).run  # after expect_end, so an end in between is not missed
            if view.state in ENDED:
                return Ended(view.state, view.output, view.error)
            async with asyncio.timeout(wait_s):
                return await future
        except TimeoutError:
            return None
        finally:
            self._engine.forget_waiter(run_id, future)

    # -- showing ---------------------------------------------------------------------------------------------

    async def get(self, principal: Principal, run_id: str) -> RunDetail:
        """The run with its steps. Raises ``not_found``."""
        stored = await self._database.read(lambda conn: store.load_run(conn, principal.org_id, run_id))
        if stored is None:
            raise not_found(_WHAT)
        view = stored.view
        try:
            graph = await self._workflows.get_graph(principal.org_id, view.workflow_id, view.version, view.scope)
        except AlloydError:  # what can't run any more can still be looked at
            return RunDetail(view, [view_step(step, "") for step in stored.steps.values()])
        return RunDetail(view, shown_steps(stored, graph))

    async def find_organization(self, run_id: str) -> str | None:
        """The organization that a run belongs to, None when there is no such run."""
        return await self._database.read(lambda conn: store.find_org_id(conn, run_id))

    async def find_state(self, principal: Principal, run_id: str) -> RunState:
        """Where the run stands. Raises ``not_found`` when the organization has no such run."""
        view = await self._database.read(lambda conn: store.find_run(conn, principal.org_id, run_id))
        if view is None:
            raise not_found(_WHAT)
        return view.state

    async def list_page(self, principal: Principal, wanted: RunFilter, before_id: str | None, limit: int) -> RunPage:
        """A page of the organization's runs, newest first; fewer than ``limit`` when they hold very much."""
        return await self._database.read(
            lambda conn: store_lists.list_page(conn, principal.org_id, wanted, before_id, limit)
        )

    # -- ending ----------------------------------------------------------------------------------------------

    async def cancel(self, principal: Principal, run_id: str, reason: str = "the run was cancelled") -> RunDetail:
        """End the run now, durably: running steps are interrupted, waiting ones skipped. ``reason`` is its error.

        Raises ``not_found``, and ``conflict`` when it has ended already. Emits ``workflow.run.cancelled`` and what its
        steps become.
        """
        await self._end(principal.org_id, run_id, lambda run, now: machine.cancel_run(run, now, reason))
        return await self.get(principal, run_id)

    async def _end_overdue(self, org_id: str, run_id: str) -> None:
        reason = StepError("deadline_exceeded", "the run was not done by its deadline")
        try:
            await self._end(org_id, run_id, lambda run, now: machine.fail_run(run, now, reason))
        except AlloydError as error:
            if error.code not in (Code.CONFLICT, Code.NOT_FOUND):  # it ended by itself a moment before
                raise

    async def _end_child(self, org_id: str, run_id: str) -> None:
        with contextlib.suppress(AlloydError):
            await self._end(org_id, run_id, lambda run, now: machine.cancel_run(run, now, "the run above it has ended"))

    async def _end(self, org_id: str, run_id: str, end: Callable[[Run, int], None]) -> None:
        view = await self._database.read(lambda conn: store.find_run(conn, org_id, run_id))
        if view is None:
            raise not_found(_WHAT)
        try:
            graph = await self._workflows.get_graph(org_id, view.workflow_id, view.version, view.scope)
        except AlloydError:
            graph = NOTHING  # even what can't run any more can be ended
        recorder = self._engine.recorder
        await self._database.write(lambda tx: recorder.end_from_outside(tx, org_id, run_id, graph, end))


def _started(result: Started | AlloydError) -> Started:
    if isinstance(result, AlloydError):
        raise result
    return result


def _find_target(item: tuple[NewRun, Runnable], result: Started | AlloydError) -> tuple[str, str] | None:
    return None if isinstance(result, AlloydError) else (item[0].org_id, f"run:{item[0].id}")


def refuse_denied_run(principal: Principal, workflow_id: str) -> None:
    """A grant may deny one workflow, whichever way its runs are started. Raises ``forbidden``."""
    if principal.grants:
        refuse_denied(principal, "workflow.run", Resource("workflow", workflow_id, principal.org_id))


def _not_pending(run: RunView | None) -> AlloydError:
    return conflict(f"the run is {run.state.value if run else 'gone'}, not pending")


def _event(org_id: str, kind: str, run_id: str, workflow_id: str) -> Event:
    return Event(org_id, kind, run_id, b"{}", run_id=run_id, workflow_id=workflow_id)
