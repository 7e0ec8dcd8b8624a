"""What an operation is: a config struct, an output, and one function over a step's context."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from alloyd.db import Tx
from alloyd.domain.connectors.service import ConnectorService
from alloyd.domain.credentials.keeper import CredentialKeeper
from alloyd.domain.credentials.service import CredentialService
from alloyd.domain.operations.teammate_model import StepListeners, StepTeammates
from alloyd.domain.providers.service import Gateway
from alloyd.domain.webhooks.model import Destination
from alloyd.egress import Outbound
from alloyd.egress.smtp import Mailer
from alloyd.events.model import Event
from alloyd.kit.clock import Clock
from alloyd.kit.expressions import Template
from alloyd.principal import Principal

RECEIVED, TIMED_OUT = "received", "timed_out"  # the ways out of a wait for an event


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
    ``ends_run`` finishes the run with ``output``; ``events`` are told in the very commit that records the step, and
    ``along(tx)`` is done in it, on the writer's thread: it must not raise."""

    output: Any = None
    port: str | None = None
    context: dict[str, Any] | None = None
    ends_run: bool = False
    events: tuple[Event, ...] = ()
    along: Callable[[Tx], None] | None = None


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """The step waits, with no cost, until ``fire_at_ms`` (since the epoch), then is completed with ``output``."""

    fire_at_ms: int
    output: Any = None


@dataclass(frozen=True, slots=True)
class Slot:
    """A run's place by its workflow's concurrency key: ``limit`` runs hold one at a time. ``restarts``: a new run
    ends the oldest instead of waiting for its place."""

    name: str
    limit: int
    restarts: bool

    def of(self, end_user_id: str | None) -> Slot:
        """The same place among the runs of one end user, whom no other one's runs may end or hold up."""
        return self if end_user_id is None else Slot(f"{end_user_id}:{self.name}", self.limit, self.restarts)


@dataclass(frozen=True, slots=True)
class Target:
    """A workflow's version, or inline nodes of the own one (``scope``), that a step starts as child runs.

    ``find_slot(payload)`` tells the place that a run with this payload needs; None when it needs none.
    """

    workflow_id: str
    version: int
    steps_total: int
    deadline_ms: int | None = None
    scope: str | None = None
    find_slot: Callable[[Any], Slot | None] | None = None


@dataclass(frozen=True, slots=True)
class StartChild:
    """The step starts one run of ``target``, in the commit that records it; ``waits``: and waits for its end."""

    target: Target
    payload: Any
    waits: bool


@dataclass(frozen=True, slots=True)
class Spread:
    """The step starts a run of ``target`` for each item, ``concurrency`` at a time, and waits for all of them.

    ``inputs`` are what the runs are started with, the item where it is None. ``collect``: the output is the list of
    theirs.
    """

    target: Target
    items: Sequence[Any]
    inputs: Sequence[Any] | None
    concurrency: int
    on_error: str
    collect: bool


@dataclass(frozen=True, slots=True)
class WaitForEvent:
    """The step waits for an event of the organization, or for a signal.

    ``match`` is what the event's payload has to hold; ``asks``: the config's expression ``match`` decides.
    ``fire_at_ms`` (since the epoch) is when the step gives up, as ``on_timeout`` says (``fail``, ``continue``).
    """

    event: str
    match: Any
    asks: bool
    fire_at_ms: int | None
    on_timeout: str


@dataclass(frozen=True, slots=True)
class GrownStep:
    """A step that another one asks for while the run is under way; its key is that one's, a dot and ``name``.

    ``config`` is taken literally: no expression in it is ever looked at, whoever wrote it. A step with a ``refusal``
    fails with it, without being run.
    """

    name: str
    operation: str
    config: dict[str, Any]
    refusal: OperationError | None = None


@dataclass(frozen=True, slots=True)
class Grow:
    """The step waits for ``steps``, which run side by side; then its operation's ``resume`` gets ``state``, JSON, and
    all that the step has grown so far. One of them failing does not fail the run: ``resume`` decides."""

    steps: tuple[GrownStep, ...]
    state: Any


@dataclass(frozen=True, slots=True)
class GrownEnd:
    """How a grown step ended: its ``output``, or the ``error`` it failed with."""

    name: str
    operation: str
    config: dict[str, Any]
    output: Any = None
    error: OperationError | None = None


Outcome = Done | WaitUntil | StartChild | Spread | WaitForEvent | Grow


class StepWorkflows(Protocol):
    """The organization's workflows as an operation may start them (domain/workflows has it)."""

    async def get_target(self, org_id: str, id_or_name: str, version: int | None) -> Target:
        """The newest published version, or the named one; ``not_found`` when there is none that runs."""


class StepFamilies(Protocol):
    """The runs around the own one (domain/runs has it)."""

    async def count_asked(self, org_id: str, run_id: str) -> int:
        """How many runs models have asked for, of all that the topmost run above led to."""

    async def holds_place(self, org_id: str, run_id: str, slot: Slot) -> bool:
        """Whether the run and those above it, which wait for it, leave no free place."""


class StepWebhooks(Protocol):
    """The organization's outgoing webhooks as an operation may use them (domain/webhooks has it)."""

    async def get_destination(self, principal: Principal, webhook_id: str) -> Destination:
        """Where one leads and what signs for it; ``not_found``, ``conflict`` when it is disabled."""


@dataclass(frozen=True, slots=True)
class NewStepObject:
    """An output object of a step. ``origin``: a repeat with the same one finds the object made before."""

    filename: str
    content_type: str | None
    workflow_id: str
    run_id: str
    started_by: str
    origin: str


class StepObjects(Protocol):
    """The organization's objects as steps may make them (domain/objects has it)."""

    async def put_output(
        self, principal: Principal, new: NewStepObject, chunks: AsyncIterator[bytes]
    ) -> Mapping[str, Any]:
        """Keep ``chunks``: ``{object_key, url, filename, size, content_type}``; ``too_large``, ``bad_request``."""

    async def read_own(self, principal: Principal, key: str, bytes_max: int) -> tuple[str, bytes]:
        """Content type and content of one of the organization's objects; ``not_found``, ``too_large``."""


class StepFiles(Protocol):
    """The organization's storage tree as an operation may use it (domain/storage has it)."""

    async def read_bytes(self, principal: Principal, path: str, bytes_max: int) -> tuple[Mapping[str, Any], bytes]:
        """A file's meta data and content; ``not_found``, ``bad_request`` for a folder, ``too_large``."""

    def open_stream(
        self, principal: Principal, path: str
    ) -> AbstractAsyncContextManager[tuple[Mapping[str, Any], AsyncIterator[bytes]]]:
        """A file's meta data and its content in chunks, the same version to the end of the block.

        Raises, on entering, ``not_found``, and ``bad_request`` for a folder.
        """

    async def read_meta(self, principal: Principal, path: str) -> Mapping[str, Any]:
        """A file's meta data; ``not_found``, ``bad_request`` for a folder."""

    async def write_bytes(
        self, principal: Principal, path: str, content: bytes, mime_type: str | None
    ) -> Mapping[str, Any]:
        """Make or overwrite the file at ``path``, with its folders; the new meta data."""

    async def write_stream(
        self, principal: Principal, path: str, chunks: AsyncIterator[bytes], mime_type: str | None
    ) -> Mapping[str, Any]:
        """As :meth:`write_bytes`. When ``chunks`` raises, nothing is stored and the fault goes through unchanged."""

    async def list_items(self, principal: Principal, path: str, limit: int, cursor: str | None) -> Mapping[str, Any]:
        """``{path, items, next_cursor?}`` of a folder, as the private contract lists it."""

    async def delete(self, principal: Principal, path: str) -> str:
        """Delete a file or a whole folder; its canonical path."""


@dataclass(frozen=True, slots=True)
class Services:
    """The outside that operations may touch. Built once by app."""

    files: StepFiles
    outbound: Outbound
    clock: Clock
    output_bytes_max: int = 1024 * 1024
    file_bytes_max: int = 10 * 1024 * 1024  # what storage takes as one file
    workflows: StepWorkflows | None = None
    families: StepFamilies | None = None
    call_depth_max: int = 16
    foreach_items_max: int = 10_000
    webhooks: StepWebhooks | None = None
    mailer: Mailer | None = None
    gateway: Gateway | None = None
    connectors: ConnectorService | None = None
    credentials: CredentialService | None = None
    keeper: CredentialKeeper | None = None
    objects: StepObjects | None = None
    object_bytes_max: int | None = None  # what a step's output may have that becomes an object
    teammates: StepTeammates | None = None
    listeners: StepListeners | None = None

    @property
    def large_output_bytes_max(self) -> int:
        """The largest output at all, of a step that does not know where it is kept."""
        return max(self.output_bytes_max, self.object_bytes_max or 0)


@dataclass(slots=True)
class StepContext:
    """One attempt of one step. ``names`` are what expressions see: trigger, context, steps, run, now.

    ``idempotency_key`` is the same at every attempt and after a restart. ``inputs`` are the definition's ``inputs``
    resolved from the run's context. ``depends_on`` and ``dependents`` are the keys of the steps before and after.
    ``started_by`` is the id of the principal who started the run, ``trigger_kind`` how (``api``, ``control``, ...).
    ``end_user_id`` is the end user whom the run belongs to (contract: embedded); None for the organization's own.
    ``depth`` counts the runs above this one. ``deferred`` are config fields that the operation renders itself,
    ``inner`` what its inline nodes became. ``grown_by`` is the step that asked for this one while the run
    was under way.
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
    depends_on: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    started_by: str = ""
    trigger_kind: str = ""
    depth: int = 0
    deferred: Mapping[str, Template] = field(default_factory=dict)
    inner: Target | None = None
    end_user_id: str | None = None
    grown_by: str | None = None

    @property
    def context(self) -> Mapping[str, Any]:
        """The run's context."""
        found: Mapping[str, Any] = self.names["context"]
        return found


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every operation's config: its JSON Schema is the documentation and the validation."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a config. ``path`` is its place (``actions[0].find``; empty for the whole config)."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the catalogue.

    Exactly one of ``compute`` (pure: no effect outside and the same result if done again, at most a few
    milliseconds) and ``execute`` is given. ``expressions`` names config fields that may be written as a bare
    expression, without braces. ``check`` tells what the schema can't, such as "exactly one of these"; it gets the
    config before or after rendering and must leave alone what still is a template.

    ``deferred`` names config fields that are compiled with these further names, but not rendered with the config: the
    operation gets them in ``StepContext.deferred`` (contract: workflows, "Expressions", `item` and `index`). Those of
    them in ``deferred_texts`` only when they are a text, which is an expression. ``check_whole`` is ``check`` for the
    definition alone, where these fields are there.
    ``inline`` is a config field that holds nodes, whose expressions know ``inline_names`` besides their own.
    ``waits``: the step may wait for other runs or events, so that a run's end has more to clear away.
    ``resume`` is for one that grows steps: pure, as ``compute``, of the state and the steps' ends in their order.
    ``secrets`` are the dotted paths of config fields whose text is stored sealed and never shown.
    """

    name: str
    config: type[Config]
    summary: str
    compute: Callable[[StepContext, Any], Outcome] | None = None
    execute: Callable[[StepContext, Any], Awaitable[Outcome]] | None = None
    expressions: frozenset[str] = frozenset()
    ports: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], list[Fault]] | None = None
    deferred: Mapping[str, frozenset[str]] = field(default_factory=dict)
    deferred_texts: frozenset[str] = frozenset()
    check_whole: Callable[[Mapping[str, Any]], list[Fault]] | None = None
    inline: str | None = None
    inline_names: frozenset[str] = frozenset()
    waits: bool = False
    resume: Callable[[StepContext, Any, Sequence[GrownEnd]], Outcome] | None = None
    secrets: tuple[str, ...] = ()

    @property
    def pure(self) -> bool:
        """Whether its result may be recorded together with its neighbours'."""
        return self.compute is not None
