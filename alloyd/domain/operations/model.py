"""What an operation is: a config struct, an output, and one function over a step's context."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from alloyd.egress import Outbound
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.principal import Principal


class OperationError(Exception):
    """A step's attempt failed. ``code`` and ``message`` are shown with the step; ``path`` names a config field.

    ``retryable`` is for what can get better: network errors, 408, 425, 429, 5xx, timeouts. ``retry_after_ms`` is
    what the other side asked for.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        path: str | None = None,
        retryable: bool = False,
        retry_after_ms: int | None = None,
        details: Any = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        self.details = details


@dataclass(frozen=True, slots=True)
class Done:
    """The step is completed. ``port`` is the way a branch took; ``context`` is merged into the run's context;
    ``ends_run`` finishes the run with ``output``."""

    output: Any = None
    port: str | None = None
    context: dict[str, Any] | None = None
    ends_run: bool = False


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """The step waits, with no cost, until ``fire_at_ms`` (since the epoch), then is completed with ``output``."""

    fire_at_ms: int
    output: Any = None


Outcome = Done | WaitUntil


class StepFiles(Protocol):
    """The organization's storage tree as an operation may use it (domain/storage has it)."""

    async def read_bytes(self, principal: Principal, path: str, bytes_max: int) -> tuple[Mapping[str, Any], bytes]:
        """A file's meta data and content; ``not_found``, ``bad_request`` for a folder, ``too_large``."""

    async def write_bytes(
        self, principal: Principal, path: str, content: bytes, mime_type: str | None
    ) -> Mapping[str, Any]:
        """Make or overwrite the file at ``path``, with its folders; the new meta data."""

    async def list_items(self, principal: Principal, path: str, limit: int, cursor: str | None) -> Mapping[str, Any]:
        """``{path, items, next_cursor?}`` of a folder, as the private contract lists it."""

    async def delete(self, principal: Principal, path: str) -> str:
        """Delete a file or a whole folder; its canonical path."""


@dataclass(frozen=True, slots=True)
class Services:
    """The outside that operations may touch. Built once by app.py."""

    files: StepFiles
    outbound: Outbound
    emit: Callable[[Event], Awaitable[None]]  # one event, durable when it returns
    clock: Clock
    output_bytes_max: int = 1024 * 1024


@dataclass(slots=True)
class StepContext:
    """One attempt of one step. ``names`` are what expressions see: trigger, context, steps, run, now.

    ``idempotency_key`` is the same at every attempt and after a restart. ``inputs`` are the definition's ``inputs``
    resolved from the run's context.
    """

    services: Services
    principal: Principal
    run_id: str
    workflow_id: str
    step_key: str
    attempt: int
    idempotency_key: str
    names: Mapping[str, Any]
    inputs: Mapping[str, Any]

    @property
    def context(self) -> Mapping[str, Any]:
        """The run's context."""
        found: Mapping[str, Any] = self.names["context"]
        return found


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every operation's config: its JSON Schema is the documentation and the validation."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the catalogue.

    Exactly one of ``compute`` (pure: no effect outside and the same result if done again, at most a few
    milliseconds) and ``execute`` is given. ``expressions`` names config fields that may be written as a bare
    expression, without braces.
    """

    name: str
    config: type[Config]
    summary: str
    compute: Callable[[StepContext, Any], Outcome] | None = None
    execute: Callable[[StepContext, Any], Awaitable[Outcome]] | None = None
    expressions: frozenset[str] = frozenset()
    ports: tuple[str, ...] = ()

    @property
    def pure(self) -> bool:
        """Whether its result may be recorded together with its neighbours'."""
        return self.compute is not None
