"""Judges a value by a JSON Schema that a user wrote: nothing is fetched, and nothing runs away."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any

import jsonschema_rs
import msgspec

from alloyd.domain.operations.faults import MASK, dotted, faults_of
from alloyd.domain.operations.model import Fault
from alloyd.domain.operations.schema_cost import (
    COPY_WORK_MAX,
    FAULT_WORK_MAX,
    SCHEMA_BYTES_MAX,
    WORK_MAX,
    SchemaCost,
    SchemaRefusedError,
    measure,
)

FAULTS_MAX = 100
_REGEX_BYTES_MAX = 256 * 1024  # a compiled pattern; matching takes time in proportion to pattern and text
_SCHEMAS_KEPT_MAX = 64

# Linear-time patterns only: no look-around, no back references, so none that can backtrack for ever.
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=_REGEX_BYTES_MAX, dfa_size_limit=_REGEX_BYTES_MAX)


def check_schema(schema: Any) -> None:
    """Raises SchemaRefusedError, with the place of the fault, for what is not a JSON Schema that can be used here."""
    _compile(_encoded(schema))


def faults_in(schema: Any, value: Any) -> list[Fault]:
    """Every fault of ``value``, at most ``FAULTS_MAX``; empty when it fits.

    Where a list of them would be too much work, one fault says so. Raises SchemaRefusedError for a schema that can't be
    used, or that is too much work on this value.
    """
    validator, cost = _compile(_encoded(schema))
    size = measure(value)
    levels = cost.levels(len(size.counts) - 1)
    work = size.work(levels)
    if work > WORK_MAX:
        raise SchemaRefusedError("judging this value by this schema is too much work")
    try:
        if validator.is_valid(value):
            return []
        if work > FAULT_WORK_MAX or size.copy_work(levels) > COPY_WORK_MAX:
            return [Fault("", "does not fit the schema; schema or value are too large for a list of the faults")]
        return [fault for _, fault in islice(faults_of(validator.iter_errors(value)), FAULTS_MAX)]
    except ValueError as error:
        raise SchemaRefusedError(str(error).partition("\n")[0]) from None


def _encoded(schema: Any) -> bytes:
    if not isinstance(schema, (dict, bool)):
        raise SchemaRefusedError("a JSON Schema is an object or a boolean")
    encoded = msgspec.json.encode(schema)
    if len(encoded) > SCHEMA_BYTES_MAX:
        raise SchemaRefusedError(f"the schema is larger than {SCHEMA_BYTES_MAX} bytes")
    return encoded


@lru_cache(maxsize=_SCHEMAS_KEPT_MAX)
def _compile(encoded: bytes) -> tuple[jsonschema_rs.Validator, SchemaCost]:
    schema = msgspec.json.decode(encoded)
    cost = SchemaCost(schema)
    try:
        validator = jsonschema_rs.validator_for(schema, offline=True, mask=MASK, pattern_options=_PATTERNS)
    except jsonschema_rs.ValidationError as error:
        raise SchemaRefusedError(error.message.partition("\n")[0], dotted(error.instance_path)) from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaRefusedError(str(error).partition("\n")[0]) from None
    return validator, cost
