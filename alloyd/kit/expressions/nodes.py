"""The tree of an expression: every shape the language has, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    at: int
    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Slice:
    start: Node | None
    stop: Node | None


@dataclass(frozen=True, slots=True)
class Access:
    """``base.key["key"][0][expression][1:2]``, flat, so that a long chain is not a deep tree."""

    at: int
    base: Node
    keys: tuple[str | int | Slice | Node, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    at: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    at: int
    pairs: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Unary:
    at: int
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``first (operator operand)…`` of one precedence, from left to right."""

    at: int
    first: Node
    rest: tuple[tuple[str, int, Node], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    at: int
    first: Node
    rest: tuple[tuple[str, int, Node], ...]


@dataclass(frozen=True, slots=True)
class Logic:
    at: int
    operator: Literal["and", "or", "??"]
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    at: int
    test: Node
    then: Node
    other: Node


@dataclass(frozen=True, slots=True)
class Call:
    at: int
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Clause:
    """``for targets in source if condition…``"""

    targets: tuple[str, ...]
    source: Node
    conditions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A list comprehension, or an object's when it has a key."""

    at: int
    key: Node | None
    value: Node
    clauses: tuple[Clause, ...]


Node: TypeAlias = (
    Constant
    | Name
    | Access
    | ListOf
    | ObjectOf
    | Unary
    | Arithmetic
    | Comparison
    | Logic
    | Choice
    | Call
    | Comprehension
)
