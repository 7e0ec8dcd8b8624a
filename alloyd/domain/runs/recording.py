"""Writes turns of the machine: rows and events of a run in the caller's transaction, and what its end brings about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.operations.model import Slot
from alloyd.domain.runs import growth, machine, store, store_growth, store_waits
from alloyd.domain.runs.awaited import Awaited
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import ENCODER, ENDED, Changes, Ended, Lineage, RunView
from alloyd.domain.runs.queue import Seed
from alloyd.domain.runs.waits import CHILD, ChildEnd, ForeachWait, WaitChanges, Wakeup
from alloyd.domain.workflows.model import Graph
from alloyd.errors import conflict, not_found
from alloyd.events.model import Event
from alloyd.kit import crash

EndHook = Callable[[Tx, Run, Ended], None]
BeginHook = Callable[[Tx, Run], None]
NOTHING = Graph({}, (), (), ())
REPLACED = "a newer run of its concurrency key took its place"


@dataclass(slots=True)
class Hooks:
    """What other capabilities do in the transaction that records a run's beginning or end."""

    begin: list[BeginHook] = field(default_factory=list)
    end: list[EndHook] = field(default_factory=list)

    def call(self, tx: Tx, run: Run, changes: Changes) -> None:
        """Tell of a turn that has just been written."""
        if changes.began:
            for began in self.begin:
                began(tx, run)
        if run.ended_at is not None:
            for ended in self.end:
                ended(tx, run, Ended(run.state, run.output, run.error))


class Told(Protocol):
    """What the engine is told once a turn is durable; each on the event loop."""

    awaited: Awaited

    def deliver(self, org_id: str, run_id: str, wakeup: Wakeup) -> None:
        """Something happened to a waiting step."""

    def accept_known(self, org_id: str, run_id: str, deadline_at: int, seq: int = 0) -> None:
        """A run is queued, of which the engine did not know; ``seq`` 0: it is not the newest one."""

    def hold_back(self, org_id: str, by: int) -> None:
        """So many more runs, or less, wait for their place."""

    def interrupt(self, org_id: str, run_id: str, before: RunView, ended: Ended) -> None:
        """The run was ended from outside; it stood as ``before`` says."""

    def end_children(self, org_id: str, run_id: str, step_key: str | None) -> None:
        """A step, or the whole run, waits no more for its child runs."""


FindGraph = Callable[[str, str, int, str | None], Graph | None]


class Recorder:
    """Records turns, on the writer's thread."""

    def __init__(self, told: Told, find_graph: FindGraph, deadline_ms: int) -> None:
        self.hooks = Hooks()
        self.run_deadline_ms = deadline_ms  # for a child run whose definition names none
        self._told = told
        self._find_graph = find_graph
        self._next_seq = 0

    async def open(self, database: Database) -> None:
        """Read where the order of starts goes on; before the first start."""
        self._next_seq = await database.read(store.find_last_seq) + 1

    def take_seqs(self, count: int) -> int:
        """The first of ``count`` places in the order of starts; on the writer's thread only."""
        first = self._next_seq
        self._next_seq += count
        return first

    def record(self, tx: Tx, turns: Sequence[tuple[Run, Changes]], owner: str) -> list[bool]:
        """Write turns, each of another run, with their events.

        False for a run that has ended meanwhile: nothing of its turn is written.
        """
        ended = store.find_ended(tx, [run for run, _changes in turns])
        open_turns = [turn for turn in turns if turn[0].id not in ended] if ended else turns
        if open_turns:
            store.record_runs(tx, open_turns, owner)
        written = {run.id for run, _changes in open_turns}
        having_children: list[tuple[Run, WaitChanges]] = []
        for run, changes in open_turns:
            org_id, run_id, workflow_id = run.org_id, run.id, run.workflow_id
            tx.outbox.extend(
                Event(org_id, told[0], run_id, told[2], run_id=run_id, workflow_id=workflow_id, node_key=told[1])
                if isinstance(told, tuple)
                else told
                for told in changes.events
            )
            if changes.grown:
                store_growth.insert(tx, org_id, run_id, changes.grown)
                tx.after_commit(lambda: crash.reach("engine.grown"))
            for along in changes.along:
                along(tx)
            if changes.waits is not None:
                self._record_waits(tx, run, changes.waits)
                having_children.append((run, changes.waits))
            self.hooks.call(tx, run, changes)
            if run.ended_at is not None:
                self._settle_end(tx, run)
        for run, waits in having_children:  # last, for a new child may end another run, whose turn has to be whole
            self._make_children(tx, run, waits)
        return [run.id in written for run, _changes in turns]

    def end_from_outside(
        self, tx: Tx, org_id: str, run_id: str, graph: Graph, end: Callable[[Run, int], None]
    ) -> Ended:
        """Read a run, end it with ``end(run, now)``, and write that; how it ended.

        The engine is told after the commit, not after somebody's await: whoever asked may have hung up, and the run
        has ended all the same. Raises ``not_found``, and ``conflict`` when it has ended already.
        """
        stored = store.load_run(tx.conn, org_id, run_id)
        if stored is None:
            raise not_found("run")
        view = stored.view
        if view.state in ENDED:
            raise conflict(f"the run has ended already: it is {view.state.value}")
        run = restore(stored, graph)
        end(run, tx.now)
        self.record(tx, [(run, run.take_changes())], "")
        ended = Ended(run.state, run.output, run.error)
        tx.after_commit(lambda: self._told.interrupt(org_id, run_id, view, ended))
        return ended

    # -- children --------------------------------------------------------------------------------------------

    def _record_waits(self, tx: Tx, run: Run, waits: WaitChanges) -> None:
        store_waits.record_waits(tx, run, waits)
        for registration in waits.registered:
            if run.end_user_id is None:  # an end user's run hears only that user's events, which need no consumer
                # Before the commit, so that no event after it is passed over.
                self._told.awaited.add(tx, run.org_id, registration.event)
        for key, wait in waits.settled:
            if isinstance(wait, ForeachWait) and not wait.drained:
                self._end_children(tx, run.org_id, run.id, key)

    def _make_children(self, tx: Tx, run: Run, waits: WaitChanges) -> None:
        org_id, run_id = run.org_id, run.id
        for child in waits.children:
            deadline_ms = child.target.deadline_ms or self.run_deadline_ms
            seq = self.take_seqs(1)
            slot = store_waits.insert_child(tx, run, child, seq, deadline_ms)
            payload = ENCODER.encode({"parent_run_id": run_id, "parent_step": child.step_key})
            tx.emit(
                Event(
                    org_id,
                    "workflow.run.queued",
                    child.id,
                    payload,
                    run_id=child.id,
                    workflow_id=child.target.workflow_id,
                )
            )
            if slot is None or self.enter(tx, org_id, child.id, seq, slot, tx.now + deadline_ms):
                self._accept(tx, org_id, child.id, tx.now + deadline_ms, seq)
        if waits.children:
            tx.after_commit(lambda: crash.reach("engine.children_made"))

    def _end_children(self, tx: Tx, org_id: str, run_id: str, key: str | None) -> None:
        tx.after_commit(lambda: self._told.end_children(org_id, run_id, key))

    def _accept(self, tx: Tx, org_id: str, run_id: str, deadline_at: int, seq: int = 0) -> None:
        tx.after_commit(lambda: self._told.accept_known(org_id, run_id, deadline_at, seq))

    # -- a run's end -----------------------------------------------------------------------------------------

    def _settle_end(self, tx: Tx, run: Run) -> None:
        """What others wait for the run's end, and what the run waited for. Nothing of a plain run."""
        graph, unknown = run.graph, not run.graph.nodes
        if run.lineage is not None and run.lineage.awaited:
            self._tell_parent(tx, run, run.lineage)
        if graph.waits or unknown:
            store_waits.clear_run(tx, run.org_id, run.id)
            self._end_children(tx, run.org_id, run.id, None)
        if graph.mode is not None or unknown:
            self._leave(tx, run.org_id, run.id, graph.mode.limit if graph.mode else 1)

    def _tell_parent(self, tx: Tx, run: Run, lineage: Lineage) -> None:
        end = ChildEnd(run.id, run.state.value, lineage.item_index, error=run.error)
        if lineage.item_index is None:
            end.output = run.output
        else:
            output = None if run.output is None else ENCODER.encode(run.output)
            error = None if run.error is None else ENCODER.encode(run.error)
            store_waits.end_item(tx, run.org_id, lineage, run.state.value, output, error)
        org_id, parent_id = run.org_id, lineage.parent_run_id
        wakeup = store_waits.insert_wakeup(tx, org_id, parent_id, lineage.parent_step, CHILD, ENCODER.encode(end))
        if wakeup is not None:
            told = wakeup

            def tell() -> None:
                crash.reach("engine.child_ended")
                self._told.deliver(org_id, parent_id, told)

            tx.after_commit(tell)

    # -- places by concurrency key ---------------------------------------------------------------------------

    def enter(self, tx: Tx, org_id: str, run_id: str, seq: int, slot: Slot, deadline_at: int) -> bool:
        """The run takes its place; False when it is held back until one is free, and then is taken up by itself.

        Where a new run ends the oldest, that happens here.
        """
        if slot.restarts:
            holders = store_waits.list_slot(tx.conn, org_id, slot.name)
            for other, workflow_id, version, scope in holders[: max(0, len(holders) - slot.limit + 1)]:
                graph = self._find_graph(org_id, workflow_id, version, scope) or NOTHING
                self.end_from_outside(tx, org_id, other, graph, lambda run, now: machine.cancel_run(run, now, REPLACED))
            store_waits.insert_slot(tx, org_id, run_id, seq, slot.name, held=True)
            return True
        store_waits.insert_slot(tx, org_id, run_id, seq, slot.name, held=False)
        tx.after_commit(lambda: self._told.hold_back(org_id, 1))
        return self._fill(tx, org_id, slot.name, slot.limit, run_id)

    def _leave(self, tx: Tx, org_id: str, run_id: str, limit: int) -> None:
        left = store_waits.delete_slot(tx, org_id, run_id)
        if left is not None:
            self._fill(tx, org_id, left, limit, None)

    def _fill(self, tx: Tx, org_id: str, slot: str, limit: int, new_id: str | None) -> bool:
        """Give free places to those that wait; whether ``new_id`` got one."""
        promoted = store_waits.fill_slot(tx, org_id, slot, limit)
        if promoted:
            tx.after_commit(lambda: self._told.hold_back(org_id, -len(promoted)))
            tx.after_commit(lambda: crash.reach("engine.handed_over"))
        for run_id, deadline_at in promoted:
            if run_id != new_id:
                self._accept(tx, org_id, run_id, deadline_at)
        return any(run_id == new_id for run_id, _deadline_at in promoted)


def fresh(seed: Seed, graph: Graph) -> Run:
    """A run in memory that has not begun."""
    return Run(
        seed.run_id,
        seed.org_id,
        seed.workflow_id,
        seed.version,
        graph,
        msgspec.json.decode(seed.payload),
        msgspec.json.decode(seed.context),
        started_by=seed.started_by,
        trigger_kind=seed.trigger_kind,
        end_user_id=seed.end_user_id,
    )


def restore(stored: store.StoredRun, graph: Graph) -> Run:
    """A run in memory as it is recorded. Raises ``unprocessable`` when it has steps that can't run any more."""
    view = stored.view
    run = Run(
        view.id,
        view.org_id,
        view.workflow_id,
        view.version,
        graph,
        view.payload,
        view.context,
        started_by=view.started_by,
        trigger_kind=view.trigger_kind,
        end_user_id=view.end_user_id,
        lineage=stored.lineage,
        started_at=view.started_at,
        deadline_at=view.deadline_at,
        steps=stored.steps,
    )
    if graph.nodes:
        growth.restore(run, stored.grown)
    return run
