"""Makes alloyd/docs/operations-catalogue.md from the config structs: ``python -m alloyd.domain.operations.manual``."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, Final

from alloyd.domain.operations.catalogue import OPERATIONS
from alloyd.domain.operations.model import Operation
from alloyd.domain.operations.schema import schema_of

DOCS_FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "operations-catalogue.md"

_INTRODUCTION: Final = """\
# Operations

<!-- Made by `python -m alloyd.domain.operations.manual`; a test compares it with the code. -->

What a step of a workflow can do. Each setting may hold `{{ expressions }}`. Publishing checks every config against
these tables; a value that is an expression is checked once it is known, and a fault then fails the step with
`bad_config`. A *pure* operation touches nothing outside, so several in a row may be recorded together.
"""


def render_catalogue() -> str:
    """The text of alloyd/docs/operations-catalogue.md: what each operation does, and a table of its settings."""
    return _INTRODUCTION + "".join(_section(operation) for operation in OPERATIONS)


def write_file() -> None:
    """Write the document anew."""
    DOCS_FILE.parent.mkdir(parents=True, exist_ok=True)
    DOCS_FILE.write_text(render_catalogue(), encoding="utf-8")


def _section(operation: Operation) -> str:
    lines = ["", f"## `{operation.name}`", "", operation.summary, ""]
    traits = ["Pure." if operation.pure else "Not pure."]
    if operation.ports:
        traits.append(f"Ways out: {', '.join(f'`{port}`' for port in operation.ports)}.")
    if operation.expressions:
        traits.append(f"May be a bare expression: {', '.join(f'`{name}`' for name in sorted(operation.expressions))}.")
    lines.append(" ".join(traits))
    work = operation.compute or operation.execute
    lines += ["", _prose(inspect.getdoc(work) or "")]
    schema = schema_of(operation.config)
    rows = _rows(schema, "")
    if rows:
        lines += ["", "| Setting | Type | Default | Meaning |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    return text.replace("``", "`")


def _rows(schema: dict[str, Any], prefix: str) -> list[str]:
    rows: list[str] = []
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else _default(field)
        meaning = str(field.get("description", "")).replace("|", "\\|")
        rows.append(f"| `{prefix}{name}` | {_type(field)} | {default} | {meaning} |")
        for below, mark in _objects_in(field):
            rows += _rows(below, f"{prefix}{name}{mark}.")
    return rows


def _default(field: dict[str, Any]) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field else ""


def _objects_in(field: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    found = [(field, "")] if "properties" in field else []
    for branch in field.get("anyOf", []):
        found += _objects_in(branch)
    if isinstance(field.get("items"), dict):
        found += [(below, f"[]{mark}") for below, mark in _objects_in(field["items"])]
    return found


_TYPES: Final = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
    "array": "list",
    "object": "object",
}


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        words = ", ".join(f"`{word}`" for word in field["enum"])
        return f"one of {words}" if len(field["enum"]) > 1 else words
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(branch) for branch in field["anyOf"]))
    kind = field.get("type")
    if kind is None:
        return "any"
    if kind == "array" and field.get("items"):
        return f"list of {_type(field['items'])}"
    if kind == "object" and isinstance(field.get("additionalProperties"), dict) and field["additionalProperties"]:
        return f"object of {_type(field['additionalProperties'])}"
    bounds = [f"{word} {field[key]}" for key, word in _BOUNDS if key in field]
    return f"{_TYPES[kind]} ({', '.join(bounds)})" if bounds else _TYPES[kind]


_BOUNDS: Final = (("minimum", "at least"), ("maximum", "at most"), ("maxLength", "at most"))


if __name__ == "__main__":
    write_file()
