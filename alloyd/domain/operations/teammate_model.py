"""What ``teammate.message`` knows of a teammate, and what it needs of whoever keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from alloyd.db.tx import Tx

ToolKind = Literal["workflow", "connector", "storage_read", "storage_list", "storage_write"]


class PlannedTool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool as a model is offered it. ``target`` is what it leads to: fixed, whatever the model says."""

    name: str
    kind: ToolKind
    description: str
    parameters: dict[str, Any]
    target: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """A teammate as it was when a message came: what changes meanwhile is for the next one.

    ``begins``: the conversation is made with its first turn. ``conversation_id`` is None where none is kept.
    """

    teammate_id: str
    name: str
    message: str
    system: str
    max_turns: int
    calls_max: int
    result_chars_max: int
    turns_bytes_max: int = 16 * 1024 * 1024
    conversation_id: str | None = None
    begins: bool = False
    provider: str | None = None
    model: str | None = None
    tier: str | None = None
    temperature: float | None = None
    tools: tuple[PlannedTool, ...] = ()
    read_folders: tuple[str, ...] = ()
    write_folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AskedTeammate:
    """What a step says to a teammate, by id or name; the rest as ``teammate.message`` takes it."""

    teammate: str
    message: str
    conversation_id: str | None
    context: Any
    history: list[dict[str, Any]] | None


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """What was said and answered, to be kept in a conversation."""

    org_id: str
    teammate_id: str
    conversation_id: str
    begins: bool
    run_id: str
    started_by: str
    message: str
    reply: str


class StepTeammates(Protocol):
    """The organization's teammates as a step may talk to them (domain/teammates has it)."""

    async def plan(self, org_id: str, asked: AskedTeammate) -> tuple[Plan, list[dict[str, Any]]]:
        """The teammate, and the messages that a model is sent first; ``not_found``, ``bad_request``, ``too_large``."""

    def keep(self, tx: Tx, turn: KeptTurn) -> None:
        """Write a turn, in the commit that ends its step. Does nothing when the conversation is gone; never raises."""


class StepListener(Protocol):
    """Somebody who listens to a run's replies as they are written."""

    def begin_turn(self) -> None:
        """A model is asked, maybe after others."""

    def say(self, text: str) -> None:
        """More words."""

    def break_off(self) -> None:
        """What was said of this turn does not count."""


class StepListeners(Protocol):
    """Who listens, by run (domain/teammates has it)."""

    def find(self, run_id: str) -> StepListener | None:
        """None when nobody does."""
