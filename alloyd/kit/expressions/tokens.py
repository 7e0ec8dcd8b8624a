"""Cuts the text of an expression into tokens, and finds where an expression in ``{{ }}`` ends."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from alloyd.kit.expressions.bounds import INT_MAX, Bounds
from alloyd.kit.expressions.faults import ExpressionError

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>[0-9]+(?P<fraction>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))
      | (?P<name>[^\W\d]\w*)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<operator>\?\?|\*\*|//|==|!=|<=|>=|[-+*/%<>()\[\]{},.:])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SIMPLE_ESCAPES: Final = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "/": "/", "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip
_HINTS: Final = {"=": "; == compares", "|": "; functions are called: upper(x)", "&": "; write `and`"}


class Token(NamedTuple):
    """One token: ``kind`` is number, string, name, operator or end; ``at`` is the offset in the whole text."""

    kind: str
    value: Any
    at: int


def tokenize(text: str, start: int, wrapped: bool, bounds: Bounds) -> tuple[list[Token], int]:
    """The tokens of the expression that begins at ``start``, and the offset after it.

    ``wrapped``: it ends at the ``}}`` that closes it (one inside a string literal or of an object does not), and
    the offset is after that; otherwise it ends with the text. Raises ExpressionError with the column.
    """
    limit = min(len(text), start + bounds.expression_chars_max)
    # Two more for the closing braces, one more to see that the text goes on.
    window = min(len(text), limit + 3)
    tokens: list[Token] = []
    braces = 0
    pos = start
    while pos < len(text):
        match = _TOKEN.match(text, pos, window)
        if pos > limit or (match is None and window < len(text) and _runs_into(text, pos, window)):
            raise _too_long(start, bounds)
        if match is None:
            raise _unreadable(text, pos)
        kind = match.lastgroup or "number"
        word = match.group()
        if kind == "operator":
            if word == "{":
                braces += 1
            elif word == "}":
                if wrapped and braces == 0:
                    return _close(text, pos, tokens)
                braces -= 1
        if kind != "space":
            tokens.append(Token(kind, _value(kind, word, match, pos), pos))
        pos = match.end()
    if wrapped:
        raise ExpressionError("this `{{` has no `}}`", column=max(start - 1, 1))
    if pos > limit:
        raise _too_long(start, bounds)
    tokens.append(Token("end", "", pos))
    return tokens, pos


def _close(text: str, pos: int, tokens: list[Token]) -> tuple[list[Token], int]:
    if not text.startswith("}}", pos):
        raise ExpressionError("unexpected `}`", column=pos + 1)
    tokens.append(Token("end", "", pos))
    return tokens, pos + 2


def _runs_into(text: str, pos: int, window: int) -> bool:
    """Whether what can't be read at ``pos`` is a string literal cut by the window."""
    return text[pos] in "\"'" and window - pos > 1


def _too_long(start: int, bounds: Bounds) -> ExpressionError:
    return ExpressionError(f"the expression has more than {bounds.expression_chars_max:,} characters", column=start + 1)


def _unreadable(text: str, pos: int) -> ExpressionError:
    char = text[pos]
    if char in "\"'":
        return ExpressionError("this string has no end", column=pos + 1)
    shown = f"`{char}`" if char.isprintable() else f"character U+{ord(char):04X}"
    return ExpressionError(f"unexpected {shown}{_HINTS.get(char, '')}", column=pos + 1)


def _value(kind: str, word: str, match: re.Match[str], at: int) -> Any:
    if kind == "string":
        return _string(word[1:-1], at)
    if kind == "number":
        return _number(word, bool(match.group("fraction")), at)
    return word


def _number(word: str, is_float: bool, at: int) -> int | float:
    if is_float:
        number = float(word)
        if number in (float("inf"), float("-inf")):
            raise ExpressionError("this number is too large", column=at + 1)
        return number
    # The length first: turning digits into an integer is quadratic.
    if len(word) > 40 or int(word) > INT_MAX:
        raise ExpressionError("this integer has more than 64 bits", column=at + 1)
    return int(word)


def _string(body: str, at: int) -> str:
    if "\\" in body:
        body = _ESCAPE.sub(lambda match: _escape(match, at), body)
    elif body.isascii():
        return body
    try:
        # Two \u escapes of one character come as a surrogate pair; half a pair could never be written as JSON.
        return body.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise ExpressionError("this string holds half a character", column=at + 1) from None


def _escape(match: re.Match[str], at: int) -> str:
    digits = match.group(1) or match.group(2)
    if digits:
        return chr(int(digits, 16))
    char = match.group(3)
    if char not in _SIMPLE_ESCAPES:
        raise ExpressionError(f"unknown escape `\\{char}` in a string", column=at + 1)
    return _SIMPLE_ESCAPES[char]
