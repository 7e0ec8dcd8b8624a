"""Reads and writes documents that people keep in files: YAML or JSON, several in one file, faults with their lines."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from alloyd.cli.errors import refused
from alloyd.errors import Code

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
DEPTH_MAX: Final = 64
# Aliases repeat what they name; this bounds what a small file can grow to.
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


@dataclass(slots=True)
class Document:
    """One document. ``lines`` are those of its values by path (`nodes[0].config`), where the form tells them."""

    file: str
    value: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the document calls itself, else its file."""
        name = self.value.get("name")
        return name if isinstance(name, str) and name else self.file

    def place(self, path: str = "") -> str:
        """``file:line`` of the value at ``path``, or of what it would belong to."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        line = self.lines.get(path)
        return self.file if line is None else f"{self.file}:{line}"


def read_documents(file: str) -> list[Document]:
    """The documents in ``file``, ``-`` being stdin. Raises Refused with file and line when it is none of them."""
    shown = "stdin" if file == "-" else file
    text = _read(file, shown)
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = msgspec.json.decode(text)
        except msgspec.MsgspecError:
            if file.endswith(".json"):
                raise _faulty(shown, None, "not JSON") from None
        else:
            return [_document(shown, one, {}) for one in (value if isinstance(value, list) else [value])]
    documents = [_document(shown, value, lines) for value, lines in _read_yaml(text, shown)]
    if not documents:
        raise _faulty(shown, None, "holds nothing")
    return documents


def to_yaml(value: Any) -> str:
    """``value`` as YAML that :func:`read_documents` gives back the same; nothing in it steers a terminal."""
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


def _read(file: str, shown: str) -> str:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise refused(Code.NOT_FOUND, f"{shown}: cannot be read: {error.strerror}") from None
    if len(content) > FILE_BYTES_MAX:
        raise _faulty(shown, None, f"larger than {FILE_BYTES_MAX} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _faulty(shown, content.count(b"\n", 0, error.start) + 1, "not UTF-8 text") from None


def _document(file: str, value: Any, lines: dict[str, int]) -> Document:
    if not isinstance(value, dict):
        raise _faulty(file, lines.get(""), "a mapping such as `name: order-sync` is wanted")
    return Document(file, value, lines)


def _read_yaml(text: str, file: str) -> Iterator[tuple[Any, dict[str, int]]]:
    try:
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            reader = _Reader(file)
            yield reader.read(node, "", 0), reader.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _faulty(file, mark.line + 1 if mark else None, f"not YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        raise _faulty(file, text.count("\n", 0, error.position) + 1, "not YAML: a control character") from None
    except RecursionError:
        raise _faulty(file, None, f"nested deeper than {DEPTH_MAX} levels") from None


class _Reader:
    """Turns one document's nodes into values, and notes their lines."""

    def __init__(self, file: str) -> None:
        self.lines: dict[str, int] = {}
        self._file = file
        self._values = 0

    def read(self, node: yaml.Node, path: str, depth: int) -> Any:
        line = int(node.start_mark.line) + 1
        self.lines.setdefault(path, line)
        self._values += 1
        if self._values > VALUES_MAX:
            raise _faulty(self._file, line, f"more than {VALUES_MAX} values")
        if depth > DEPTH_MAX:
            raise _faulty(self._file, line, f"nested deeper than {DEPTH_MAX} levels")
        if node.tag not in _TAGS:
            raise _faulty(self._file, line, "tags (!name) are not taken")
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
                raise _faulty(self._file, line, "a key has to be plain text")
            key = str(key_node.value)
            if key in value:
                raise _faulty(self._file, line, f"{key}: given twice; keep one")
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


def _faulty(file: str, line: int | None, what: str) -> Exception:
    return refused(Code.BAD_REQUEST, f"{file if line is None else f'{file}:{line}'}: {what}")
