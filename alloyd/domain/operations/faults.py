"""Turns what services and checks raise into a step's error, and JSON Schema errors into faults with a place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import jsonschema_rs

from alloyd.domain.operations.model import Fault, OperationError
from alloyd.errors import AlloydError, Code

# What can get better by itself.
_RETRYABLE = frozenset({Code.UNAVAILABLE, Code.RATE_LIMITED})
MASK = "the value"  # stands for values in messages: a config or a context may hold a secret


@contextmanager
def service_faults(path: str) -> Iterator[None]:
    """Inside, an AlloydError of a service becomes an OperationError that names the config field ``path``."""
    try:
        yield
    except AlloydError as error:
        raise OperationError(
            error.code.value,
            error.message,
            path=path,
            retryable=error.code in _RETRYABLE,
            retry_after_ms=None if error.retry_after_s is None else error.retry_after_s * 1000,
            details=error.details,
        ) from error


def dotted(path: Sequence[str | int]) -> str:
    """``["actions", 0, "find"]`` as ``actions[0].find``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def faults_of(errors: Iterable[jsonschema_rs.ValidationError]) -> Iterator[tuple[Sequence[str | int], Fault]]:
    """Each error as a fault beside the path of the value it is about, an ``anyOf`` as its nearest branch's."""
    kinds = jsonschema_rs.ValidationErrorKind
    for error in errors:
        path, kind = error.instance_path, error.kind
        if isinstance(kind, kinds.Required):
            yield path, Fault(dotted([*path, kind.property]), "is required")
        elif isinstance(kind, kinds.AdditionalProperties):
            for name in kind.unexpected:
                yield [*path, name], Fault(dotted([*path, name]), "there is no such field")
        elif isinstance(kind, kinds.AnyOf):
            branch = _nearest_branch(kind.context, path)
            if branch is None:
                yield path, Fault(dotted(path), error.message)
            else:
                yield from faults_of(branch)
        else:
            yield path, Fault(dotted(path), error.message)


def _nearest_branch(
    branches: list[list[jsonschema_rs.ValidationError]], path: Sequence[str | int]
) -> list[jsonschema_rs.ValidationError] | None:
    """The only branch whose type the value has, if there is just one."""
    fitting = [
        branch
        for branch in branches
        if not any(
            list(error.instance_path) == list(path)
            and isinstance(error.kind, (jsonschema_rs.ValidationErrorKind.Type, jsonschema_rs.ValidationErrorKind.Enum))
            for error in branch
        )
    ]
    if not fitting:
        fitting = [
            branch
            for branch in branches
            if not any(isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Type) for error in branch)
        ]
    return fitting[0] if len(fitting) == 1 else None
