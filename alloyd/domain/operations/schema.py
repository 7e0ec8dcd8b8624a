"""The JSON Schema of a config struct, with its definitions put in place: documentation and validation in one."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from alloyd.domain.operations.model import Config

_PREFIX = "#/$defs/"


@cache
def schema_of(config: type[Config]) -> dict[str, Any]:
    """The schema of ``config`` without ``$ref``, so that a reader needs no resolver. Shared: do not change it."""
    whole = msgspec.json.schema(config)
    inlined = _inline(whole, whole.get("$defs", {}))
    assert isinstance(inlined, dict)
    return inlined


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    merged = {key: _inline(value, definitions) for key, value in schema.items() if key not in ("$ref", "$defs")}
    reference = schema.get("$ref")
    if reference is None:
        return merged
    # A field's own description says more than the one of its type.
    target = _inline(definitions[reference.removeprefix(_PREFIX)], definitions)
    return {**{key: value for key, value in target.items() if key != "title"}, **merged}
