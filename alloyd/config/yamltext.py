"""Reads YAML without its traps: no aliases, no tags, no duplicate keys, bounded depth; every fault has its line."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any, Final

import yaml

from alloyd.config.faults import Fault
from alloyd.config.given import Given

FILE_BYTES_MAX: Final = 1024 * 1024
DEPTH_MAX: Final = 16

_STANDARD_TAG: Final = "tag:yaml.org,2002:"
_BOOLEANS: Final = yaml.SafeLoader.bool_values
# YAML 1.1 reads 0755 as octal and 1:30 as ninety; such a number stays text and is then refused as one.
WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,18}(_[0-9]{3}){0,6})\Z")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}\Z")


class _Refused(Exception):  # noqa: N818 - carries one fault to the caller
    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses what could make a small text grow large, or recurse without end."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node and what is in it; raises _Refused."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _Refused("write the value out; anchors (&name) and aliases (*name) are not taken", line)
        if self.depth >= DEPTH_MAX:
            raise _Refused(f"nested deeper than {DEPTH_MAX} levels", line)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read_settings(
    content: bytes, place: str, known: Container[str], maps: Container[str] = ()
) -> tuple[list[Given], list[Fault]]:
    """The settings in a configuration file's ``content``, and every fault of its form.

    ``place`` is the file's name. A group that is not ``known`` gives one setting without a name. One of ``maps`` holds
    entries by name, each a group of its own: ``providers.openai``.
    """
    faults: list[Fault] = []
    try:
        root = _compose(_decoded(content))
        if root is None or _is_null(root):
            return [], []
        given: list[Given] = []
        for group, (line, node) in _entries(root, "", place, faults, "groups of settings, such as `http:`"):
            if group in maps:
                given += [] if _is_null(node) else _group_of_entries(group, node, place, faults)
            elif group not in known:
                given.append(Given(group, "", None, place, line))
            elif not _is_null(node):
                given += _group(group, node, place, faults)
    except _Refused as refused:
        return [], [*faults, Fault(place, refused.line, "", refused.problem)]
    return given, faults


def _group_of_entries(group: str, node: yaml.Node, place: str, faults: list[Fault]) -> list[Given]:
    """The settings of each entry; one without a name stands for the entry itself."""
    given: list[Given] = []
    for entry, (line, inner) in _entries(node, group, place, faults, "names with settings below"):
        given.append(Given(f"{group}.{entry}", "", None, place, line))
        given += [] if _is_null(inner) else _group(f"{group}.{entry}", inner, place, faults)
    return given


def _group(group: str, node: yaml.Node, place: str, faults: list[Fault]) -> list[Given]:
    given: list[Given] = []
    for name, (line, value) in _entries(node, group, place, faults, "`key: value` lines"):
        try:
            given.append(Given(group, name, _plain(value), place, line))
        except _Refused as refused:
            faults.append(Fault(place, refused.line, f"{group}.{name}", refused.problem))
    return given


def read_value(text: str) -> Any:
    """The value that ``text`` is in YAML, such as ``[a, b]``. Raises ValueError with what is wrong."""
    try:
        root = _compose(text)
        return None if root is None else _plain(root)
    except _Refused as refused:
        raise ValueError(refused.problem) from None


def _decoded(content: bytes) -> str:
    if len(content) > FILE_BYTES_MAX:
        raise _Refused(f"larger than {FILE_BYTES_MAX} bytes", None)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Refused("not UTF-8 text", content.count(b"\n", 0, error.start) + 1) from None


def _compose(text: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # Only the problem: PyYAML's own text would quote the line, and the line may hold a secret.
        raise _Refused(f"not YAML: {error.problem}", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Refused("not YAML: a control character", line) from None


def _entries(
    node: yaml.Node, group: str, place: str, faults: list[Fault], wanted: str
) -> list[tuple[str, tuple[int, yaml.Node]]]:
    """The pairs of a mapping with the lines of their keys; a key that comes twice is a fault, and the first counts."""
    if not isinstance(node, yaml.MappingNode):
        faults.append(Fault(place, _line(node), group, f"wanted {wanted}"))
        return []
    seen: dict[str, tuple[int, yaml.Node]] = {}
    for key_node, value_node in node.value:
        line = _line(key_node)
        name = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if name is None:
            faults.append(Fault(place, line, group, "a key has to be plain text"))
        elif name in seen:
            key = f"{group}.{name}" if group else name
            faults.append(Fault(place, line, key, f"given twice, first in line {seen[name][0]}; keep one"))
        else:
            seen[name] = (line, value_node)
    return list(seen.items())


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if not node.tag.startswith(_STANDARD_TAG):
        raise _Refused("tags (!name) are not taken", _line(node))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    pairs: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _Refused("a key has to be plain text", _line(key_node))
        if key_node.value in pairs:
            raise _Refused("a key is given twice; keep one", _line(key_node))
        pairs[key_node.value] = _plain(value_node)
    return pairs


def _scalar(node: yaml.ScalarNode) -> Any:
    tag = node.tag.removeprefix(_STANDARD_TAG)
    if tag == node.tag:
        raise _Refused("tags (!name) are not taken", _line(node))
    value = str(node.value)
    if tag == "null":
        return None
    if tag == "bool":
        return _BOOLEANS.get(value.lower(), value)
    if tag == "int" and WHOLE.match(value):
        return int(value)
    if tag == "float" and _DECIMAL.match(value):
        return float(value)
    return value


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"{_STANDARD_TAG}null"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
