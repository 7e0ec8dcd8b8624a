"""Writes turns of the machine: rows and events of one run in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from alloyd.db import Tx
from alloyd.domain.runs import store
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import ENDED, Changes, Ended, RunState
from alloyd.domain.workflows.model import Graph
from alloyd.errors import conflict, not_found
from alloyd.events.model import Event

EndHook = Callable[[Tx, Run, Ended], None]
BeginHook = Callable[[Tx, Run], None]


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


def record(tx: Tx, turns: Sequence[tuple[Run, Changes]], owner: str, hooks: Hooks) -> list[bool]:
    """Write turns, each of another run, with their events.

    False for a run that has ended meanwhile: nothing of its turn is written.
    """
    ended = store.find_ended(tx, [run for run, _changes in turns])
    open_turns = [turn for turn in turns if turn[0].id not in ended] if ended else turns
    if open_turns:
        store.record_runs(tx, open_turns, owner)
    for run, changes in open_turns:
        org_id, run_id, workflow_id = run.org_id, run.id, run.workflow_id
        tx.outbox.extend(
            Event(org_id, told[0], run_id, told[2], run_id=run_id, workflow_id=workflow_id, node_key=told[1])
            if isinstance(told, tuple)
            else told
            for told in changes.events
        )
        hooks.call(tx, run, changes)
    return [run.id not in ended for run, _changes in turns]


def end_from_outside(
    tx: Tx, org_id: str, run_id: str, graph: Graph, end: Callable[[Run, int], None], owner: str, hooks: Hooks
) -> tuple[RunState, Ended]:
    """Read a run, end it with ``end(run, now)``, and write that; the state it had, and how it ended.

    Raises ``not_found``, and ``conflict`` when it has ended already.
    """
    stored = store.load_run(tx.conn, org_id, run_id)
    if stored is None:
        raise not_found("run")
    view = stored.view
    if view.state in ENDED:
        raise conflict(f"the run has ended already: it is {view.state.value}")
    run = restore(stored, graph)
    end(run, tx.now)
    record(tx, [(run, run.take_changes())], owner, hooks)
    return view.state, Ended(run.state, run.output, run.error)


def restore(stored: store.StoredRun, graph: Graph) -> Run:
    """A run in memory as it is recorded."""
    view = stored.view
    return Run(
        view.id,
        view.org_id,
        view.workflow_id,
        view.version,
        graph,
        view.payload,
        view.context,
        started_by=view.started_by,
        trigger_kind=view.trigger_kind,
        started_at=view.started_at,
        deadline_at=view.deadline_at,
        steps=stored.steps,
    )
