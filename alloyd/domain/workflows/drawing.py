"""A compiled definition as nodes and edges, for who draws it: the graph as it runs, in whichever form written."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from alloyd.domain.workflows.model import Graph


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
    """``graph`` with the inline nodes of its steps."""
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
