"""Every operation there is: a visible list, for discovery finds nothing in a frozen binary."""

from __future__ import annotations

from typing import Any

import msgspec

from alloyd.domain.operations import (
    ai_embed,
    ai_execute,
    ai_generate,
    connector_action,
    email_send,
    event_emit,
    http_request,
    storage_delete,
    storage_list,
    storage_put_object,
    storage_read,
    storage_write,
    teammate_message,
    text_transform_basic,
    transform,
    webhook_send,
    workflow_branch,
    workflow_call,
    workflow_delay,
    workflow_fan_in,
    workflow_fan_out,
    workflow_finish,
    workflow_foreach,
    workflow_merge_context,
    workflow_noop,
    workflow_validate_context,
    workflow_wait_event,
)
from alloyd.domain.operations.model import Operation
from alloyd.domain.operations.schema import schema_of
from alloyd.errors import not_found

OPERATIONS: tuple[Operation, ...] = (
    workflow_noop.OPERATION,
    workflow_branch.OPERATION,
    workflow_fan_out.OPERATION,
    workflow_fan_in.OPERATION,
    workflow_foreach.OPERATION,
    workflow_call.OPERATION,
    workflow_delay.OPERATION,
    workflow_wait_event.OPERATION,
    workflow_finish.OPERATION,
    workflow_merge_context.OPERATION,
    workflow_validate_context.OPERATION,
    transform.OPERATION,
    text_transform_basic.OPERATION,
    http_request.OPERATION,
    connector_action.OPERATION,
    event_emit.OPERATION,
    webhook_send.OPERATION,
    email_send.OPERATION,
    storage_read.OPERATION,
    storage_write.OPERATION,
    storage_list.OPERATION,
    storage_delete.OPERATION,
    storage_put_object.OPERATION,
    ai_generate.OPERATION,
    ai_embed.OPERATION,
    ai_execute.OPERATION,
    teammate_message.OPERATION,
)

_BY_NAME = {operation.name: operation for operation in OPERATIONS}


class Description(msgspec.Struct, frozen=True):
    """An operation as ``GET /v1/operations`` tells it. ``config`` is the JSON Schema of its config."""

    name: str
    summary: str
    pure: bool
    ports: list[str]
    config: dict[str, Any]


def find_operation(name: str) -> Operation | None:
    """The operation called ``name``, or None."""
    return _BY_NAME.get(name)


def get_operation(name: str) -> Operation:
    """The operation called ``name``. Raises ``not_found``."""
    operation = _BY_NAME.get(name)
    if operation is None:
        raise not_found("operation")
    return operation


def describe() -> list[Description]:
    """The catalogue in its own order (contract: workflows, "Operations")."""
    return list(_DESCRIPTIONS)


_DESCRIPTIONS = tuple(
    Description(
        operation.name, operation.summary, operation.pure, list(operation.ports), dict(schema_of(operation.config))
    )
    for operation in OPERATIONS
)
