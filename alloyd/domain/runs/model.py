"""What a run and its steps are; states and who may move where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import msgspec

from alloyd.db.tx import Tx
from alloyd.domain.runs.waits import Wait, WaitChanges
from alloyd.events.model import Event

ENCODER = msgspec.json.Encoder()


class RunState(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # only a timer or an event can move it
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED})


class StepState(StrEnum):
    """Where a step stands; ``waiting`` for its dependencies, a timer or an event."""

    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


SETTLED = frozenset({StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED})


class TimerKind(StrEnum):
    """Why a step waits for a time."""

    DELAY = "delay"
    RETRY = "retry"
    TIMEOUT = "timeout"


class StepError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt failed, as it is shown. ``step`` is set where a run tells which step brought it down."""

    code: str
    message: str
    path: str | None = None
    details: Any = None
    step: str | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One attempt of a step that was followed by another; times in ms since the epoch."""

    attempt: int
    started_at: int | None
    ended_at: int
    error: StepError


@dataclass(slots=True)
class Step:
    """A step of a run in memory. ``output`` is the JSON value, ``encoded`` its encoding once it is known."""

    key: str
    state: StepState
    attempt: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    port: str | None = None
    output: Any = None
    encoded: bytes | None = None
    error: StepError | None = None
    attempts: tuple[Attempt, ...] = ()
    fire_at: int | None = None
    timer: TimerKind | None = None
    pending: Any = None  # what a delay completes with once its timer fired
    wait: Wait | None = None  # while it waits for other runs or an event


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it is shown: one row. JSON columns are decoded; times are ms since the epoch."""

    id: str
    org_id: str
    workflow_id: str
    version: int
    state: RunState
    trigger_kind: str
    started_by: str
    steps_total: int
    steps_done: int
    created_at: int
    queued_at: int | None
    started_at: int | None
    ended_at: int | None
    deadline_at: int | None
    retry_of: str | None
    metadata: Any
    error: StepError | None
    output: Any
    context: dict[str, Any]
    payload: Any
    parent_run_id: str | None = None
    parent_step: str | None = None
    awaited: bool = False
    depth: int = 0
    scope: str | None = None
    item_index: int | None = None
    held_back: bool = False
    retried_by: str | None = None
    end_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a child run comes from; ``awaited``: the parent's step waits for its end. ``item`` is JSON, inline only."""

    parent_run_id: str
    parent_step: str
    awaited: bool
    depth: int
    scope: str | None = None
    item_index: int | None = None
    item: Any = None


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with all its steps, in the definition's order."""

    run: RunView
    steps: list[StepView]


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as it is shown."""

    key: str
    operation: str
    state: StepState
    attempt: int
    started_at: int | None
    ended_at: int | None
    output: Any
    error: StepError | None
    attempts: list[Attempt]


def view_step(step: Step, operation: str) -> StepView:
    """As it is shown: an output once it is the step's, not what it waits with."""
    output = step.output if step.state is StepState.COMPLETED else None
    return StepView(
        step.key,
        operation,
        step.state,
        step.attempt,
        step.started_at,
        step.ended_at,
        output,
        step.error,
        list(step.attempts),
    )


@dataclass(frozen=True, slots=True)
class StartRun:
    """The wish to start a run. ``payload`` and ``context`` are JSON, already checked and encoded.

    ``told`` are events of the caller's own, written in the transaction that queues the run. ``end_user_id`` is whom the
    run, and each run that it starts, belongs to.
    """

    workflow_id: str
    payload: bytes
    trigger_kind: str
    context: bytes = b"{}"
    metadata: bytes | None = None
    told: tuple[Event, ...] = ()
    end_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A run that is durable. ``queued_at`` in ms since the epoch."""

    run_id: str
    queued_at: int
    created: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    state: RunState
    output: Any
    error: StepError | None


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Narrows a list of runs; times in ms since the epoch. ``top_level``: none that another run started. ``slim``:
    without their context and output."""

    state: RunState | None = None
    workflow_id: str | None = None
    created_from: int | None = None
    created_to: int | None = None
    parent_run_id: str | None = None
    trigger_kind: str | None = None
    dead: bool = False
    top_level: bool = False
    end_user_id: str | None = None
    slim: bool = False


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of a list of runs. ``cut_short``: others follow, but what these hold was enough for one page."""

    runs: list[RunView]
    cut_short: bool = False


Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run as its end user's log has it; times in ms since the epoch."""

    run_id: str
    state: RunState
    began_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class LoggedError:
    """Why a run of an end user failed; the time in ms since the epoch."""

    run_id: str
    message: str
    occurred_at: int


@dataclass(frozen=True, slots=True)
class GrownRow:
    """A step that a run got while it was under way: ``config`` is JSON, taken literally."""

    key: str
    parent: str
    position: int
    operation: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewestRun:
    """The newest run of a workflow; the time in ms since the epoch."""

    workflow_id: str
    run_id: str
    state: RunState
    created_at: int


@dataclass(frozen=True, slots=True)
class StepDetail:
    """A step with what it works on: its config with all expressions worked out, None before it began.

    ``input_fault`` says why that can't be shown. ``grown_by``: the step that asked for it.
    """

    step: StepView
    input: Any
    input_fault: str | None
    grown_by: str | None


@dataclass(slots=True)
class Changes:
    """What one turn of the machine changed, to be recorded in one commit."""

    steps: dict[str, Step] = field(default_factory=dict)
    # In the order in which they are told: the machine's (kind, node key, payload), and events that steps emitted.
    events: list[tuple[str, str | None, bytes] | Event] = field(default_factory=list)
    timers_set: list[Step] = field(default_factory=list)
    timers_cleared: list[str] = field(default_factory=list)
    context: bool = False
    began: bool = False  # the run went to running for the first time
    waits: WaitChanges | None = None
    grown: list[GrownRow] = field(default_factory=list)
    along: list[Callable[[Tx], None]] = field(default_factory=list)  # what steps do in the commit


@dataclass(frozen=True, slots=True)
class AgedRun:
    """A run as retention looks at it; ``ended_at`` is None while it is unfinished."""

    seq: int
    id: str
    org_id: str
    created_at: int
    ended_at: int | None
