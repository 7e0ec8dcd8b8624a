"""What a definition says, and the graph it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Names
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import msgspec

from alloyd.domain.operations.model import Operation, Slot
from alloyd.errors import bad_request, not_found
from alloyd.kit.expressions import Expression, ExpressionError, Template

SLOT_CHARS_MAX = 256
KEY_PATTERN = r"[A-Za-z0-9_-]{1,64}"
RETRIES_MAX = 100
DELAY_MS_MAX = 24 * 3600 * 1000
TIMEOUT_MS_MAX = 24 * 3600 * 1000

Backoff = Literal["fixed", "exponential", "exponential_jitter"]
OnError = Literal["fail", "continue"]


class PolicyDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a step's attempts are bounded and repeated, as written: what is not there is taken from the defaults."""

    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=TIMEOUT_MS_MAX)] | None = None
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=RETRIES_MAX)] | None = None
    backoff: Backoff | None = None
    initial_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=DELAY_MS_MAX)] | None = None
    max_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=DELAY_MS_MAX)] | None = None
    on_error: OnError | None = None

    def resolve(self, defaults: PolicyDefinition, timeout_ms: int) -> Policy:
        """With each field that is not set here from ``defaults``, then from what holds for every workflow."""
        given = {**_set_fields(defaults), **_set_fields(self)}
        return Policy(**{"timeout_ms": timeout_ms, **given})


def _set_fields(policy: PolicyDefinition) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(policy).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Policy:
    """How a step's attempts are bounded and repeated."""

    timeout_ms: int  # engine.step_timeout_ms unless the workflow says otherwise
    max_retries: int = 3
    backoff: Backoff = "exponential_jitter"
    initial_delay_ms: int = 1000
    max_delay_ms: int = 3_600_000
    on_error: OnError = "fail"


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output in the list form: a name and a path such as ``$context.a.b``."""

    name: str
    path: str


class NodeDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step as written in the nodes form. ``depends_on`` may name a branch's port: ``check.then``."""

    key: str
    operation: str
    depends_on: list[str] = []
    when: str | bool | None = None
    config: dict[str, Any] = {}
    inputs: dict[str, str] | list[Mapping] = {}
    outputs: dict[str, str] | list[Mapping] = {}
    policy: PolicyDefinition | None = None
    name: str | None = None


class Branches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a condition goes on."""

    then: str | list[str] | None = None
    else_: str | list[str] | None = msgspec.field(default=None, name="else")


class FlowStep(msgspec.Struct, frozen=True):
    """A step as written in the flow form; extra fields of an editor (positions, labels) are kept and ignored."""

    type: str
    config: dict[str, Any] = {}
    next: str | list[str] | Branches | None = None


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every step or run that does not say otherwise."""

    policy: PolicyDefinition | None = None
    run_deadline_ms: Annotated[int, msgspec.Meta(ge=1, le=366 * 24 * 3600 * 1000)] | None = None


class DefinitionBody(msgspec.Struct, frozen=True):
    """A definition in either form; which one it is shows in the fields that are there."""

    name: str
    type: Literal["structured", "agent", "employee"] = "structured"
    nodes: list[NodeDefinition] | None = None
    flow: dict[str, FlowStep] | None = None
    starting_step_id: str | None = None
    trigger: dict[str, Any] | None = None  # as domain/workflows/triggers reads it
    mode: str = "parallel"
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    defaults: Defaults | None = None


@dataclass(frozen=True, slots=True)
class Dependency:
    """An edge into a node: done when ``key`` is, by ``port`` if that is named."""

    key: str
    port: str | None = None


@dataclass(frozen=True, slots=True)
class ContextPath:
    """Where an output goes: ``context`` followed by keys."""

    name: str
    keys: tuple[str, ...]


class Rendered(Protocol):
    """What a step's config is made of at each attempt: a template, or a value that is none."""

    def render(self, names: Names[str, Any]) -> Any:
        """The config. Raises ExpressionError."""


@dataclass(frozen=True, slots=True)
class Node:
    """A step, compiled: everything that can be worked out before a run. ``grown_by``: another step asked for it."""

    key: str
    operation: Operation
    depends_on: tuple[Dependency, ...]
    when: Expression | None
    config: Rendered
    inputs: tuple[tuple[str, Expression], ...]
    outputs: tuple[ContextPath, ...]
    policy: Policy
    dependents: tuple[str, ...] = ()
    deferred: tuple[tuple[str, Template], ...] = ()
    inner: Graph | None = None  # of inline nodes
    grown_by: str | None = None


@dataclass(frozen=True, slots=True)
class Mode:
    """How many runs of one concurrency key there may be at a time, and what a further one does."""

    restarts: bool
    limit: int
    key: Expression | None

    def find_slot(self, workflow_id: str, names: Names[str, Any]) -> Slot:
        """The place that a run needs; ``names`` has trigger and context. Raises ``bad_request`` naming the key."""
        value = None
        if self.key is not None:
            try:
                value = self.key.evaluate(names)
            except ExpressionError as error:
                raise bad_request(f"concurrency_key: {error}", "concurrency_key") from None
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if len(text) > SLOT_CHARS_MAX:
            raise bad_request(f"concurrency_key: longer than {SLOT_CHARS_MAX} characters", "concurrency_key")
        return Slot(f"{workflow_id}/{text}", self.limit, self.restarts)


@dataclass(frozen=True, slots=True)
class Graph:
    """A published definition, compiled. ``order`` lists the keys so that dependencies come first."""

    nodes: dict[str, Node]
    order: tuple[str, ...]
    roots: tuple[str, ...]
    leaves: tuple[str, ...]
    run_deadline_ms: int | None = None
    mode: Mode | None = None
    waits: bool = False  # a step may wait for other runs or events

    def within(self, scope: str | None) -> Graph:
        """The graph of the inline nodes that stand at ``scope``, the keys of their steps from the outside in.

        Raises ``not_found``.
        """
        graph = self
        for key in scope.split("/") if scope else ():
            node = graph.nodes.get(key)
            if node is None or node.inner is None:
                raise not_found("workflow")
            graph = node.inner
        return graph


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that keeps a definition from being published, and its place."""

    path: str
    message: str

    def to_json(self) -> dict[str, str]:
        """As the control envelope lists it."""
        return {"path": self.path, "message": self.message}


@dataclass(frozen=True, slots=True)
class Workflow:
    """A named definition of an organization; ``version`` is the newest, ``published_version`` the newest that runs."""

    id: str
    org_id: str
    name: str
    version: int
    published_version: int | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class WorkflowVersion:
    """One immutable content of a workflow; a draft while ``published_at`` is None."""

    workflow: Workflow
    version: int
    definition: dict[str, Any]
    digest: str
    created_by: str
    created_at: int
    published_at: int | None


@dataclass(frozen=True, slots=True)
class Runnable:
    """A published version ready to run."""

    org_id: str
    workflow_id: str
    name: str
    version: int
    graph: Graph


@dataclass(frozen=True, slots=True)
class Release:
    """A label that names one version for good; ``created_at`` in ms since the epoch."""

    workflow_id: str
    label: str
    version: int
    created_by: str
    created_at: int


@dataclass(frozen=True, slots=True)
class ListedWorkflow:
    """A workflow in a list, with the type of trigger that starts it."""

    workflow: Workflow
    trigger: str


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """A version without what it holds; times in ms since the epoch, ``published_at`` None for a draft."""

    version: int
    created_by: str
    created_at: int
    published_at: int | None
    releases: tuple[str, ...] = ()


class DrawnNode(msgspec.Struct, frozen=True):
    """A step. ``id`` is its key behind those of the steps that it stands in (`check/price`), ``within`` theirs alone.

    ``ports`` are its ways out, none for a step that has only one; ``conditional``: it has a ``when``.
    """

    id: str
    key: str
    within: str | None
    operation: str
    ports: list[str]
    conditional: bool
    on_error: str


class DrawnEdge(msgspec.Struct, frozen=True):
    """``target`` comes after ``source``, by the way ``port`` if that is named; both are ids of nodes."""

    source: str
    target: str
    port: str | None


class Drawing(msgspec.Struct, frozen=True):
    """All nodes, dependencies first, those within a step behind all of its level; and the edges."""

    nodes: list[DrawnNode]
    edges: list[DrawnEdge]


def draw(graph: Graph) -> Drawing:
    """``graph`` as it runs, in whichever form it was written, with the inline nodes of its steps."""
    drawing = Drawing([], [])
    for part, scope in _parts(graph, None):
        for key in part.order:
            node = part.nodes[key]
            drawing.edges.extend(
                DrawnEdge(_id(scope, edge.key), _id(scope, key), edge.port) for edge in node.depends_on
            )
            drawing.nodes.append(
                DrawnNode(
                    _id(scope, key),
                    key,
                    scope,
                    node.operation.name,
                    list(node.operation.ports),
                    node.when is not None,
                    node.policy.on_error,
                )
            )
    return drawing


def _parts(graph: Graph, scope: str | None) -> Iterator[tuple[Graph, str | None]]:
    yield graph, scope
    for key in graph.order:
        inner = graph.nodes[key].inner
        if inner is not None:
            yield from _parts(inner, _id(scope, key))


def _id(scope: str | None, key: str) -> str:
    return key if scope is None else f"{scope}/{key}"
