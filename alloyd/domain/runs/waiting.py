"""Turns of steps that wait for other runs or for events: pure, like the machine, whose functions do the moving."""

from __future__ import annotations

from typing import Any

import msgspec

from alloyd.domain.operations.model import (
    RECEIVED,
    TIMED_OUT,
    Done,
    OperationError,
    Outcome,
    Slot,
    Spread,
    StartChild,
    WaitForEvent,
)
from alloyd.domain.runs import machine
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import ENCODER, RunState, Step, StepState
from alloyd.domain.runs.waits import (
    CANDIDATE,
    CHILD,
    CallWait,
    Child,
    ChildEnd,
    EventRegistration,
    EventWait,
    ForeachWait,
    WaitChanges,
    Wakeup,
)
from alloyd.kit.expressions import ExpressionError, truthy
from alloyd.kit.ids import new_id

_CHILD_END = msgspec.json.Decoder(ChildEnd)


def noted(run: Run) -> WaitChanges:
    """What this turn changes of the run's waits."""
    if run.changes.waits is None:
        run.changes.waits = WaitChanges()
    return run.changes.waits


# -- beginning to wait ----------------------------------------------------------------------------------------------


def call(run: Run, key: str, outcome: StartChild, now: int) -> Done | None:
    """Start a child with this turn. The step waits for it; or what it is done with at once."""
    target, payload = outcome.target, outcome.payload
    slot = _own_place(run, target.find_slot(payload)) if target.find_slot else None
    child = Child(new_id(), key, target, outcome.waits, None, ENCODER.encode(payload), slot)
    noted(run).children.append(child)
    if not outcome.waits:
        return Done({"run_id": child.id, "workflow_id": target.workflow_id})
    machine.wait_for(run, key, CallWait(child.id), now, {"run_id": child.id})
    return None


def spread(run: Run, key: str, outcome: Spread, now: int) -> None:
    """Write the items down and start the first runs."""
    target, slots = outcome.target, [_own_place(run, slot) for slot in _item_slots(outcome)]
    wait = ForeachWait(
        target.workflow_id,
        target.version,
        target.scope,
        target.steps_total,
        target.deadline_ms,
        len(outcome.items),
        outcome.concurrency,
        outcome.on_error,
        outcome.collect,
    )
    noted(run).items.append((key, outcome, slots))
    _start_items(run, key, wait)
    machine.wait_for(run, key, wait, now, {"items": wait.total})


def wait_event(run: Run, key: str, outcome: WaitForEvent, now: int) -> None:
    """Register with the events that come after this turn."""
    matches = None if outcome.match is None else ENCODER.encode(outcome.match)
    noted(run).registered.append(EventRegistration(key, outcome.event, matches, outcome.asks))
    wait = EventWait(outcome.event, outcome.on_timeout)
    machine.wait_for(run, key, wait, now, {"event": outcome.event}, outcome.fire_at_ms)


def _own_place(run: Run, slot: Slot | None) -> Slot | None:
    return None if slot is None else slot.of(run.end_user_id)


def _item_slots(outcome: Spread) -> list[Slot | None]:
    find = outcome.target.find_slot
    if find is None:
        return [None] * len(outcome.items)
    return [find(payload) for payload in (outcome.items if outcome.inputs is None else outcome.inputs)]


def _start_items(run: Run, key: str, wait: ForeachWait) -> None:
    begun_max = wait.completed + wait.failed + wait.concurrency
    while wait.next < min(wait.total, begun_max):
        noted(run).children.append(Child(new_id(), key, wait.target, awaited=True, index=wait.next))
        wait.next += 1


# -- what happened --------------------------------------------------------------------------------------------------


def is_for(run: Run, wakeup: Wakeup) -> bool:
    """Whether the wakeup moves its step, which may have gone another way meanwhile, or may not want this event."""
    step = run.steps.get(wakeup.step_key)
    if step is None or step.state is not StepState.WAITING or step.wait is None:
        return False
    if wakeup.kind != CANDIDATE:
        return isinstance(step.wait, EventWait) is (wakeup.kind != CHILD)
    asked = dict(run.node(wakeup.step_key).deferred).get("match")
    try:
        names = {"now": None, **run.names, "event": msgspec.json.decode(wakeup.payload)}
        return asked is not None and truthy(asked.render(names))
    except ExpressionError:
        return False


def outcome_of(run: Run, wakeup: Wakeup) -> Outcome | OperationError | None:
    """What a wakeup that :func:`is_for` its step settles the step with; None when the step waits on.

    Of a foreach whose last item has ended that is None as well: see :func:`is_drained`.
    """
    wait = run.steps[wakeup.step_key].wait
    if isinstance(wait, EventWait):
        return Done(msgspec.json.decode(wakeup.payload), port=RECEIVED)
    end = _CHILD_END.decode(wakeup.payload)
    if isinstance(wait, CallWait):
        return Done(end.output) if end.state == RunState.COMPLETED else _child_error(end)
    assert isinstance(wait, ForeachWait)
    if end.state == RunState.COMPLETED:
        wait.completed += 1
    else:
        wait.failed += 1
        if wait.on_error == "fail":
            return _child_error(end)
    if not wait.drained:
        _start_items(run, wakeup.step_key, wait)
        step = run.steps[wakeup.step_key]
        step.encoded = ENCODER.encode(wait)
        run.changes.steps[step.key] = step
    return None


def is_drained(step: Step) -> bool:
    """Whether all items of a foreach have ended, and only its output has to be gathered."""
    return isinstance(step.wait, ForeachWait) and step.wait.drained


def timed_out(step: Step) -> Outcome | OperationError:
    """What a wait for an event becomes when its time is over."""
    wait = step.wait
    if isinstance(wait, EventWait) and wait.on_timeout == "continue":
        return Done({"timed_out": True}, port=TIMED_OUT)
    name = wait.event if isinstance(wait, EventWait) else ""
    return OperationError("timed_out", f"no event {name} came in time")


def _child_error(end: ChildEnd) -> OperationError:
    error: dict[str, Any] = end.error or {}
    details: dict[str, Any] = {"run_id": end.run_id}
    if end.index is not None:
        details["index"] = end.index
    for name in ("step", "path", "details"):
        if error.get(name) is not None:
            details[name] = error[name]
    return OperationError(error.get("code", "failed"), error.get("message", "the run failed"), details=details)
