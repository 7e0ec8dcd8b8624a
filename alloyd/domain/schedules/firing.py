"""Fires a schedule inside a transaction: the claim of the time, the run, and what is told of it are one write."""

from __future__ import annotations

import msgspec

from alloyd.db import Tx
from alloyd.domain.runs.model import StartRun
from alloyd.domain.runs.service import RunService
from alloyd.domain.schedules import store
from alloyd.domain.schedules.model import Schedule
from alloyd.domain.schedules.plan import Missed, Plan
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError, Code, conflict
from alloyd.events.model import Event
from alloyd.kit.clock import rfc3339
from alloyd.principal import Principal, system_principal

# Claimed times are kept so that none fires twice, should the clock be put back: a day of minutes at least.
FIRES_KEPT = 1500


def fire(tx: Tx, schedule: Schedule, plan: Plan, workflows: WorkflowService, runs: RunService) -> None:
    """Do what was planned, unless the schedule has changed since or the clock was put back.

    Raises ``unavailable`` when the disk is nearly full; any other refusal is told as missed. Emits ``schedule.fired``
    for each run, ``schedule.missed``.
    """
    if tx.now < plan.now:
        return  # nothing is early
    last = max([when for when in (*plan.fires, schedule.last_fire_at) if when is not None], default=None)
    if not store.move_on(tx, schedule, plan.next_fire_at, last):
        return
    if plan.missed is not None:
        _tell_missed(tx, schedule, plan.missed, f"the misfire policy is {schedule.misfire}")
    for fire_at in plan.fires:
        seq = store.insert_fire(tx, schedule, fire_at)
        if seq is None:
            continue  # fired before the clock was put back
        try:
            run_id = start_run(tx, schedule, fire_at, workflows, runs)
        except AlloydError as error:
            if error.code is Code.UNAVAILABLE:
                raise
            _tell_missed(tx, schedule, Missed(fire_at, fire_at), error.message)
        else:
            store.set_fired_run(tx, schedule.org_id, seq, run_id)
    if plan.fires:
        store.forget_fires(tx, schedule, FIRES_KEPT)


def pass_over(tx: Tx, schedule: Schedule, next_fire_at: int | None, reason: str) -> None:
    """Leave out the time that is due, and wait for the next. Emits ``schedule.missed``."""
    assert schedule.next_fire_at is not None
    if store.move_on(tx, schedule, next_fire_at, schedule.last_fire_at):
        _tell_missed(tx, schedule, Missed(schedule.next_fire_at, schedule.next_fire_at), reason)


def start_run(
    tx: Tx, schedule: Schedule, fire_at: int, workflows: WorkflowService, runs: RunService, by: Principal | None = None
) -> str:
    """The run for one time; its id. ``by`` is who asked for it out of turn.

    The payload is the schedule's, with ``schedule: {id, name, fire_at}`` unless it has a member of that name itself.
    Raises ``conflict`` when the workflow has nothing to run, ``rate_limited``, ``unavailable``. Emits
    ``schedule.fired``.
    """
    org_id = schedule.org_id
    runnable = workflows.find_runnable_in(tx.conn, org_id, schedule.workflow_id)
    if runnable is None:
        raise conflict("the workflow has nothing to run")
    told = {"id": schedule.id, "name": schedule.name, "fire_at": rfc3339(fire_at)}
    payload = msgspec.json.encode({"schedule": told, **schedule.payload})
    command = StartRun(schedule.workflow_id, payload, "schedule")
    run_id = runs.start_within(tx, by or system_principal(org_id), command, runnable).run_id
    fired = {"name": schedule.name, "fire_at": rfc3339(fire_at), "run_id": run_id, "by_hand": by is not None}
    tx.emit(Event(org_id, "schedule.fired", schedule.id, fired, workflow_id=schedule.workflow_id))
    return run_id


def _tell_missed(tx: Tx, schedule: Schedule, missed: Missed, reason: str) -> None:
    payload = {"name": schedule.name, "from": rfc3339(missed.first), "to": rfc3339(missed.last), "reason": reason}
    tx.emit(Event(schedule.org_id, "schedule.missed", schedule.id, payload, workflow_id=schedule.workflow_id))
