"""What a step may wait for besides a time, and what a turn notes of it for the tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from alloyd.domain.operations.model import Slot, Spread, Target

CHILD, EVENT, CANDIDATE, SIGNAL = "child", "event", "candidate", "signal"


class CallWait(msgspec.Struct, tag="call"):
    """For the end of one child run."""

    child: str


class ForeachWait(msgspec.Struct, tag="foreach"):
    """For the ends of the items' runs; ``next`` is the first item that was not begun yet."""

    workflow_id: str
    version: int
    scope: str | None
    steps_total: int
    deadline_ms: int | None
    total: int
    concurrency: int
    on_error: str
    collect: bool
    next: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def drained(self) -> bool:
        """Whether every item has ended."""
        return self.completed + self.failed >= self.total

    @property
    def target(self) -> Target:
        """What runs for each item."""
        return Target(self.workflow_id, self.version, self.steps_total, self.deadline_ms, self.scope)


class EventWait(msgspec.Struct, tag="event"):
    """For an event or a signal."""

    event: str
    on_timeout: str


class GrowthWait(msgspec.Struct, tag="growth"):
    """For the ends of steps of the same run that the step has grown; ``state`` is its operation's own, JSON."""

    awaits: list[str]
    state: Any


Wait = CallWait | ForeachWait | EventWait | GrowthWait
DECODER: msgspec.json.Decoder[Wait] = msgspec.json.Decoder(Wait)


class ChildEnd(msgspec.Struct, omit_defaults=True):
    """What a wakeup of kind ``child`` says: how a child run ended; ``error`` is one of a step."""

    run_id: str
    state: str
    index: int | None = None
    output: Any = None
    error: Any = None


@dataclass(frozen=True, slots=True)
class Wakeup:
    """Something that happened to a waiting step: a row of ``wakeups``, ids in the order in which they happened."""

    id: int
    step_key: str
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Child:
    """A run to be made with a turn of its parent; one of a foreach has an ``index`` and gets its item's input."""

    id: str
    step_key: str
    target: Target
    awaited: bool
    index: int | None = None
    payload: bytes | None = None
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class EventRegistration:
    """A step begins to wait for an event."""

    step_key: str
    event: str
    matches: bytes | None
    asks: bool


@dataclass(slots=True)
class WaitChanges:
    """What one turn changed of what the run's steps wait for."""

    children: list[Child] = field(default_factory=list)
    items: list[tuple[str, Spread, list[Slot | None]]] = field(default_factory=list)
    registered: list[EventRegistration] = field(default_factory=list)
    settled: list[tuple[str, Wait]] = field(default_factory=list)  # steps that wait no more
    taken: list[int] = field(default_factory=list)  # ids of wakeups
