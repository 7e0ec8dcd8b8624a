"""Documents as people write them: YAML or JSON to values, each with its line, and values to YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import yaml

DEPTH_MAX: Final = 64
# Aliases repeat what they name; this bounds what a small text can grow to.
VALUES_MAX: Final = 500_000

_STANDARD: Final = "tag:yaml.org,2002:"
_TAGS: Final = frozenset(
    _STANDARD + word for word in ("null", "bool", "int", "float", "str", "seq", "map", "timestamp", "merge", "value")
)
# As YAML 1.2 and JSON have it: `on` and `yes` are words, 0755 is a word, a date is a word.
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})\Z")
_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?\Z")


class DocumentError(ValueError):
    """The text is no document. ``line`` counts from 1; None where nobody can tell."""

    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


@dataclass(slots=True)
class Parsed:
    """One document. ``lines`` are those of its values by path (`nodes[0].config`), where the form tells them."""

    value: Any
    lines: dict[str, int] = field(default_factory=dict)

    def line_of(self, path: str) -> int | None:
        """The line of the value at ``path``, or of what it would belong to."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path)


def looks_like_json(text: str) -> bool:
    """Whether ``text`` begins as a JSON object or list does."""
    return text.lstrip()[:1] in ("{", "[")


def read_json(text: str) -> Any:
    """The value that ``text`` is in JSON. Raises msgspec.MsgspecError; DocumentError when it is nested too deep."""
    too_deep = DocumentError(f"nested deeper than {DEPTH_MAX} levels", None)
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise too_deep from None
    level = [value]
    for _depth in range(DEPTH_MAX + 1):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _within(outer)]
    if level:
        raise too_deep
    return value


def _within(outer: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def read_yaml(text: str) -> Iterator[Parsed]:
    """The documents in ``text``, with their lines; JSON is read as well. Raises DocumentError."""
    try:
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            reader = _Reader()
            yield Parsed(reader.read(node, "", 0), reader.lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(f"not YAML: {error.problem}", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        raise DocumentError("not YAML: a control character", text.count("\n", 0, error.position) + 1) from None
    except RecursionError:
        raise DocumentError(f"nested deeper than {DEPTH_MAX} levels", None) from None


def read_one(text: str, *, keep_lines: bool = False) -> Parsed:
    """The one document in ``text``; the lines of JSON only with ``keep_lines``, for its own reader is far faster.

    Raises DocumentError, also for none or several.
    """
    if looks_like_json(text) and not keep_lines:
        try:
            return Parsed(read_json(text))
        except msgspec.MsgspecError:
            pass  # YAML's flow style looks so as well, and its reader knows the line of a fault
    documents = read_yaml(text)
    first = next(documents, None)
    if first is None:
        raise DocumentError("there is nothing in it", None)
    second = next(documents, None)
    if second is not None:
        raise DocumentError("one document is wanted, not several", second.lines.get(""))
    return first


def to_yaml(value: Any) -> str:
    """``value`` as YAML that :func:`read_yaml` gives back the same; nothing in it steers a terminal."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # What does not print is escaped afterwards, which only double quotes allow.
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar(f"{_STANDARD}str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Reader:
    """Turns one document's nodes into values, and notes their lines."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self._values = 0

    def read(self, node: yaml.Node, path: str, depth: int) -> Any:
        line = int(node.start_mark.line) + 1
        self.lines.setdefault(path, line)
        self._values += 1
        if self._values > VALUES_MAX:
            raise DocumentError(f"more than {VALUES_MAX} values", line)
        if depth > DEPTH_MAX:
            raise DocumentError(f"nested deeper than {DEPTH_MAX} levels", line)
        if node.tag not in _TAGS:
            raise DocumentError("tags (!name) are not taken", line)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, f"{path}[{at}]", depth + 1) for at, item in enumerate(node.value)]
        return self._mapping(node, path, depth)

    def _mapping(self, node: yaml.Node, path: str, depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = int(key_node.start_mark.line) + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise DocumentError("a key has to be plain text", line)
            key = str(key_node.value)
            if key in value:
                raise DocumentError(f"{key}: given twice; keep one", line)
            below = f"{path}.{key}" if path else key
            self.lines[below] = line
            value[key] = self.read(value_node, below, depth + 1)
        return value


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None:
        return text
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _WHOLE.match(text):
        return int(text)
    return float(text) if _DECIMAL.match(text) else text
