"""Reads documents that people keep in files: YAML or JSON, several in one file, faults with their lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from alloyd.cli.errors import refused
from alloyd.errors import Code
from alloyd.kit.documents import DocumentError, Parsed, looks_like_json, read_json, read_yaml, to_yaml

__all__ = ["FILE_BYTES_MAX", "Document", "read_documents", "to_yaml"]

FILE_BYTES_MAX: Final = 16 * 1024 * 1024


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
        line = Parsed(self.value, self.lines).line_of(path)
        return self.file if line is None else f"{self.file}:{line}"


def read_documents(file: str) -> list[Document]:
    """The documents in ``file``, ``-`` being stdin. Raises Refused with file and line when it is none of them."""
    shown = "stdin" if file == "-" else file
    text = _read(file, shown)
    if looks_like_json(text):
        try:
            value = read_json(text)
        except msgspec.MsgspecError:
            if file.endswith(".json"):
                raise _faulty(shown, None, "not JSON") from None
        except DocumentError as error:
            raise _faulty(shown, error.line, error.problem) from None
        else:
            return [_document(shown, one, {}) for one in (value if isinstance(value, list) else [value])]
    documents = [_document(shown, parsed.value, parsed.lines) for parsed in _parse(text, shown)]
    if not documents:
        raise _faulty(shown, None, "holds nothing")
    return documents


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


def _parse(text: str, file: str) -> Iterator[Parsed]:
    try:
        yield from read_yaml(text)
    except DocumentError as error:
        raise _faulty(file, error.line, error.problem) from None


def _document(file: str, value: Any, lines: dict[str, int]) -> Document:
    if not isinstance(value, dict):
        raise _faulty(file, lines.get(""), "a mapping such as `name: order-sync` is wanted")
    return Document(file, value, lines)


def _faulty(file: str, line: int | None, what: str) -> Exception:
    return refused(Code.BAD_REQUEST, f"{file if line is None else f'{file}:{line}'}: {what}")
