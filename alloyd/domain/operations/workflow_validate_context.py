"""``workflow.validate_context``: lets a run go on only if its context fits a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from alloyd.domain.operations.model import Config, Done, Fault, Operation, OperationError, StepContext
from alloyd.domain.operations.schema_cost import SchemaRefusedError
from alloyd.domain.operations.user_schema import check_schema, faults_in


class ValidateContextConfig(Config, frozen=True):
    """The schema, and what is judged by it."""

    schema: Annotated[
        dict[str, Any] | bool,
        Meta(
            description="A JSON Schema (2020-12 unless `$schema` says otherwise). `$ref` may point only into itself; "
            "patterns have neither look-around nor back references."
        ),
    ]
    value: Annotated[Any, Meta(description="What is judged; the run's context unless given.")] = UNSET


def compute(ctx: StepContext, config: ValidateContextConfig) -> Done:
    """``{valid: true}``; otherwise fails with ``invalid_value`` and every fault in the error's details."""
    value = dict(ctx.context) if config.value is UNSET else config.value
    try:
        faults = faults_in(config.schema, value)
    except SchemaRefusedError as error:
        raise OperationError("bad_schema", str(error), path=_place(error)) from None
    if not faults:
        return Done({"valid": True})
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    told = f"{first.path}: {first.message}{more}" if first.path else f"{first.message}{more}"
    details = [{"path": fault.path, "message": fault.message} for fault in faults]
    raise OperationError("invalid_value", told, details=details)


def check(config: Mapping[str, Any]) -> list[Fault]:
    """The schema must be one, unless a part of it is a template."""
    schema = config.get("schema")
    if not isinstance(schema, (dict, bool)) or b"{{" in msgspec.json.encode(schema):
        return []
    try:
        check_schema(schema)
    except SchemaRefusedError as error:
        return [Fault(_place(error), str(error))]
    return []


def _place(error: SchemaRefusedError) -> str:
    if error.place.startswith("#"):
        return f"schema{error.place}"
    return f"schema.{error.place}" if error.place else "schema"


OPERATION = Operation(
    name="workflow.validate_context",
    config=ValidateContextConfig,
    summary="Fails the step unless the context, or `value`, fits a JSON Schema; lists every fault with its path.",
    compute=compute,
    check=check,
)
