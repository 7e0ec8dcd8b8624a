"""Turns tokens into the tree: the grammar of the language, by precedence climbing."""

from __future__ import annotations

import keyword
from typing import Final, cast

from alloyd.kit.expressions.bounds import Bounds
from alloyd.kit.expressions.faults import ExpressionError
from alloyd.kit.expressions.nodes import (
    Access,
    Arithmetic,
    Call,
    Choice,
    Clause,
    Comparison,
    Comprehension,
    Constant,
    ListOf,
    Logic,
    Name,
    Node,
    ObjectOf,
    Slice,
    Unary,
)
from alloyd.kit.expressions.tokens import Token, tokenize

_CONSTANTS: Final = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_RESERVED: Final = frozenset(keyword.kwlist) - frozenset(_CONSTANTS)
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "not in"})

# How tightly an operator binds. `??` stands above the comparisons, so that `a.b ?? 0 > 5` asks what it seems to ask;
# `**` stands above the unary signs and is read apart.
_OR, _AND, _NOT, _COMPARE, _COALESCE, _SUM, _PRODUCT = 1, 2, 3, 4, 5, 6, 7
_BINDING: Final = {
    "??": _COALESCE, "or": _OR, "and": _AND, "+": _SUM, "-": _SUM,
    "*": _PRODUCT, "/": _PRODUCT, "//": _PRODUCT, "%": _PRODUCT,
} | dict.fromkeys(_COMPARISONS, _COMPARE)  # fmt: skip


def parse(text: str, start: int, wrapped: bool, bounds: Bounds) -> tuple[Node, int]:
    """Read the expression at ``start`` of ``text``; returns its tree and the offset after it.

    ``wrapped`` as in :func:`tokenize`. Raises ExpressionError with the column of the fault.
    """
    tokens, end = tokenize(text, start, wrapped, bounds)
    parser = _Parser(tokens, bounds)
    if parser.token.kind == "end":
        raise ExpressionError("the expression is empty", column=start + 1)
    node = parser.expression()
    if parser.token.kind != "end":
        raise parser.unexpected()
    return node, end


class _Parser:
    def __init__(self, tokens: list[Token], bounds: Bounds) -> None:
        self.tokens = tokens
        self.index = 0
        self.token = tokens[0]
        self.depth = 0
        self.bounds = bounds

    # -- tokens

    def advance(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.index += 1
            self.token = self.tokens[self.index]
        return token

    def sees(self, word: str) -> bool:
        return self.token.value == word and self.token.kind in ("operator", "name")

    def takes(self, word: str) -> bool:
        if self.sees(word):
            self.advance()
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.takes(word):
            raise self.unexpected(f"expected `{word}`")

    def unexpected(self, wanted: str = "") -> ExpressionError:
        token = self.token
        if token.kind == "end":
            found = "the expression ends too early"
        elif token.kind == "string":
            found = "unexpected string"
        elif token.kind == "name" and token.value in _RESERVED - _BINDING.keys() - {"if", "else", "for", "not"}:
            found = f"`{token.value}` is not part of the language"
        else:
            found = f"unexpected `{token.value}`"
        return ExpressionError(f"{found}, {wanted}" if wanted else found, column=token.at + 1)

    def enter(self) -> None:
        self.depth += 1
        if self.depth > self.bounds.expression_depth_max:
            raise ExpressionError(f"nested more than {self.bounds.expression_depth_max} deep", column=self.token.at + 1)

    # -- grammar

    def expression(self) -> Node:
        """``binary [if test else expression]``"""
        self.enter()
        node = self.binary(_OR)
        if self.sees("if"):
            at = self.advance().at
            test = self.binary(_OR)
            self.expect("else")
            node = Choice(at, test, node, self.expression())
        self.depth -= 1
        return node

    def operator(self) -> str:
        """The binary operator at hand, or an empty text; ``not in`` is one."""
        token = self.token
        if token.kind not in ("operator", "name"):
            return ""
        if token.value == "not":
            after = self.tokens[self.index + 1]
            return "not in" if after.kind == "name" and after.value == "in" else ""
        return token.value if token.value in _BINDING else ""

    def binary(self, level: int) -> Node:
        if self.sees("not") and level <= _NOT:
            self.enter()
            at = self.advance().at
            node: Node = Unary(at, "not", self.binary(_NOT))
            self.depth -= 1
        else:
            node = self.unary()
        while True:
            operator = self.operator()
            binding = _BINDING.get(operator, 0)
            if binding < level or not operator:
                return node
            node = self.chain(node, binding)

    def chain(self, first: Node, binding: int) -> Node:
        """All the operators of one binding in a row: one flat node."""
        at = self.token.at
        rest: list[tuple[str, int, Node]] = []
        while True:
            operator = self.operator()
            if not operator or _BINDING[operator] != binding:
                break
            place = self.advance().at
            if operator == "not in":
                self.advance()
            rest.append((operator, place, self.binary(binding + 1)))
        if binding >= _SUM:
            return Arithmetic(at, first, tuple(rest))
        if binding == _COMPARE:
            return Comparison(at, first, tuple(rest))
        items = (first, *(node for _, _, node in rest))
        if binding == _COALESCE:
            return Logic(at, "??", items)
        return Logic(at, "and" if binding == _AND else "or", items)

    def unary(self) -> Node:
        if self.token.kind == "operator" and self.token.value in ("-", "+"):
            self.enter()
            token = self.advance()
            node: Node = Unary(token.at, cast("str", token.value), self.unary())
            self.depth -= 1
            return node
        node = self.postfix()
        if self.sees("**"):
            self.enter()
            at = self.advance().at
            node = Arithmetic(at, node, (("**", at, self.unary()),))
            self.depth -= 1
        return node

    def postfix(self) -> Node:
        node = self.atom()
        keys: list[str | int | Slice | Node] = []
        at = self.token.at
        while True:
            if self.takes("."):
                if self.token.kind != "name":
                    raise self.unexpected('expected a key (or ["…"])')
                keys.append(cast("str", self.advance().value))
            elif self.takes("["):
                keys.append(self.subscript())
                self.expect("]")
            elif self.sees("("):
                raise ExpressionError("only named functions can be called", column=self.token.at + 1)
            else:
                break
        return Access(at, node, tuple(keys)) if keys else node

    def subscript(self) -> str | int | Slice | Node:
        start = None if self.sees(":") else self.expression()
        if self.takes(":"):
            return Slice(start, None if self.sees("]") else self.expression())
        if start is None:
            raise self.unexpected()
        # A fixed key is looked up without evaluating anything.
        if isinstance(start, Constant) and type(start.value) in (str, int):
            return cast("str | int", start.value)
        match start:
            case Unary(operator="-", operand=Constant(value=int(value))) if type(value) is int:
                return -value
        return start

    def atom(self) -> Node:
        token = self.token
        if token.kind in ("number", "string"):
            self.advance()
            return Constant(token.at, token.value)
        if token.kind == "name" and token.value not in _RESERVED:
            self.advance()
            if token.value in _CONSTANTS:
                return Constant(token.at, _CONSTANTS[token.value])
            if self.takes("("):
                return Call(token.at, token.value, self.arguments())
            return Name(token.at, token.value)
        if self.takes("("):
            node = self.expression()
            self.expect(")")
            return node
        if self.takes("["):
            return self.list_of(token.at)
        if self.takes("{"):
            return self.object_of(token.at)
        raise self.unexpected()

    def arguments(self) -> tuple[Node, ...]:
        """The rest of a call; a single argument may be a comprehension without brackets."""
        items: list[Node] = []
        while not self.takes(")"):
            node = self.expression()
            if self.sees("for") and not items:
                node = Comprehension(node.at, None, node, self.clauses())
                self.expect(")")
                return (node,)
            items.append(node)
            if not self.takes(","):
                self.expect(")")
                break
        return tuple(items)

    def list_of(self, at: int) -> Node:
        items: list[Node] = []
        while not self.takes("]"):
            items.append(self.expression())
            if self.sees("for") and len(items) == 1:
                node = Comprehension(at, None, items[0], self.clauses())
                self.expect("]")
                return node
            if not self.takes(","):
                self.expect("]")
                break
        return ListOf(at, tuple(items))

    def object_of(self, at: int) -> Node:
        pairs: list[tuple[Node, Node]] = []
        while not self.takes("}"):
            key = self.expression()
            self.expect(":")
            value = self.expression()
            if self.sees("for") and not pairs:
                node = Comprehension(at, key, value, self.clauses())
                self.expect("}")
                return node
            pairs.append((key, value))
            if not self.takes(","):
                self.expect("}")
                break
        return ObjectOf(at, tuple(pairs))

    def clauses(self) -> tuple[Clause, ...]:
        """``for a[, b] in source [if test]…`` as often as it stands there."""
        clauses: list[Clause] = []
        while self.takes("for"):
            targets = [self.target()]
            while self.takes(","):
                targets.append(self.target())
            self.expect("in")
            # Without a bare `if … else`: an `if` here begins the condition.
            source = self.binary(_OR)
            conditions: list[Node] = []
            while self.takes("if"):
                conditions.append(self.binary(_OR))
            clauses.append(Clause(tuple(targets), source, tuple(conditions)))
        return tuple(clauses)

    def target(self) -> str:
        token = self.token
        if token.kind != "name" or token.value in _RESERVED or token.value in _CONSTANTS:
            raise self.unexpected("expected a name")
        return cast("str", self.advance().value)
