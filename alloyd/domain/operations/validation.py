"""Checks a step's config before it is rendered, and makes the config struct after."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jsonschema_rs
import msgspec

from alloyd.domain.operations.faults import MASK, faults_of
from alloyd.domain.operations.model import Config, Fault, Operation, OperationError
from alloyd.domain.operations.schema import schema_of

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<key>key in )?\$?\.?(?P<path>[^`]*)`)?$", re.DOTALL)


def is_template(value: Any) -> bool:
    """Whether ``value`` is a string whose content is known only once it is rendered."""
    return isinstance(value, str) and "{{" in value


def check_config(operation: Operation, raw_config: Any) -> list[Fault]:
    """All faults of a config as it stands in a definition, templates unresolved.

    What is said about a value that still is a template is left out: its type is not known yet.
    """
    if is_template(raw_config):
        return []
    if not isinstance(raw_config, Mapping):
        return [Fault("", "an object is wanted")]
    errors = _validator(operation.config).iter_errors(raw_config)
    faults = [fault for path, fault in faults_of(errors) if not _unknown_yet(raw_config, path, operation)]
    for check in (operation.check, operation.check_whole):
        if check is not None:
            faults.extend(fault for fault in check(raw_config) if fault not in faults)
    return faults


def build_config(operation: Operation, rendered: Any) -> Config:
    """The config struct of a rendered config.

    Raises OperationError ``bad_config`` with the ``path`` of the first fault; ``details`` lists all that are known.
    """
    try:
        config = msgspec.convert(rendered, type=operation.config)
    except msgspec.ValidationError as error:
        raise _bad_config([_fault_of(str(error))]) from None
    if operation.check is not None:
        faults = operation.check(rendered)
        if faults:
            raise _bad_config(faults)
    return config


def _bad_config(faults: list[Fault]) -> OperationError:
    first = faults[0]
    told = f"{first.path}: {first.message}" if first.path else first.message
    details = [{"path": fault.path, "message": fault.message} for fault in faults]
    return OperationError("bad_config", told, path=first.path or None, details=details)


def _fault_of(message: str) -> Fault:
    match = _PLACE.match(message)
    assert match is not None
    path = match["path"] or ""
    what = match["what"]
    if match["key"]:
        what = f"{what} as a key"
    return Fault(path, what[:1].lower() + what[1:])


def _unknown_yet(config: Mapping[str, Any], path: Sequence[str | int], operation: Operation) -> bool:
    value: Any = config
    for depth, part in enumerate(path):
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False  # a field that is missing is no template
        if is_template(value) or (depth == 0 and part in operation.expressions and isinstance(value, str)):
            return True
    return False


@cache
def _validator(config: type[Config]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schema_of(config), offline=True, mask=MASK)
