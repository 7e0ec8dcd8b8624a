"""One attempt of one step: its config rendered, its operation run, its failure put into words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alloyd.domain.operations.model import (
    Done,
    OperationError,
    Outcome,
    Services,
    StepContext,
    Target,
    WaitUntil,
)
from alloyd.domain.operations.validation import build_config
from alloyd.domain.runs import growth
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import ENCODER, StepError
from alloyd.domain.runs.waits import GrowthWait
from alloyd.domain.workflows.model import Graph, Node
from alloyd.errors import AlloydError, Code
from alloyd.kit.expressions import ExpressionError, truthy
from alloyd.log import get_logger
from alloyd.principal import Principal, Role, system_principal

log = get_logger("alloyd.runs")

_RETRYABLE = frozenset({Code.UNAVAILABLE, Code.UPSTREAM_FAILED, Code.RATE_LIMITED})


def is_wanted(run: Run, node: Node) -> bool:
    """Whether the step's ``when`` holds. Raises :class:`OperationError` when it can't be evaluated."""
    if node.when is None:
        return True
    try:
        return truthy(node.when.evaluate(run.names))
    except ExpressionError as error:
        raise OperationError("expression", str(error), path="when") from None


def prepare(run: Run, node: Node, attempt: int, services: Services) -> tuple[StepContext, Any]:
    """The context and the rendered config of an attempt. Raises :class:`OperationError` naming the field."""
    names = run.names
    try:
        inputs: dict[str, Any] = {}
        if node.inputs:
            inputs = {name: expression.evaluate(names) for name, expression in node.inputs}
            names = {**names, "inputs": inputs}
        rendered = node.config.render(names)
        if inputs:
            fields = node.operation.config.__struct_encode_fields__
            rendered = {**rendered, **{name: value for name, value in inputs.items() if name in fields}}
    except ExpressionError as error:
        raise OperationError("expression", str(error), path=error.place or "config") from None
    context = build_context(run, node, attempt, services, names, inputs)
    return context, build_config(node.operation, rendered)


def build_context(
    run: Run, node: Node, attempt: int, services: Services, names: Mapping[str, Any], inputs: dict[str, Any]
) -> StepContext:
    """What an attempt knows of its run."""
    return StepContext(
        services=services,
        principal=_principal(run, node),
        run_id=run.id,
        workflow_id=run.workflow_id,
        step_key=node.key,
        attempt=attempt,
        idempotency_key=f"{run.id}:{node.key}",
        names=names,
        inputs=inputs,
        depends_on=tuple(dependency.key for dependency in node.depends_on),
        dependents=node.dependents,
        started_by=run.started_by,
        trigger_kind=run.trigger_kind,
        end_user_id=run.end_user_id,
        depth=0 if run.lineage is None else run.lineage.depth,
        deferred=dict(node.deferred),
        inner=None if node.inner is None else _inner_target(run, node, node.inner),
        grown_by=node.grown_by,
    )


def _principal(run: Run, node: Node) -> Principal:
    """alloyd in the run; for a step that somebody talked a model into, with no more than a member may."""
    principal = system_principal(run.org_id, run.id)
    return principal if node.grown_by is None else replace(principal, role=Role.MEMBER)


def _inner_target(run: Run, node: Node, inner: Graph) -> Target:
    outer = run.lineage.scope if run.lineage is not None else None
    scope = f"{outer}/{node.key}" if outer else node.key
    return Target(run.workflow_id, run.version, len(inner.nodes), None, scope)


def compute(run: Run, node: Node, attempt: int, services: Services) -> Outcome:
    """Run a pure operation. Raises :class:`OperationError`, and nothing else."""
    try:
        context, config = prepare(run, node, attempt, services)
        assert node.operation.compute is not None
        return node.operation.compute(context, config)
    except OperationError:
        raise
    except Exception as error:
        raise put_into_words(error, run, node) from error


def resume(run: Run, key: str, services: Services) -> Outcome:
    """Let a step go on whose grown ones are settled. Raises :class:`OperationError`, and nothing else."""
    node, step = run.node(key), run.steps[key]
    wait = step.wait
    assert isinstance(wait, GrowthWait)
    try:
        context = build_context(run, node, step.attempt, services, run.names, {})
        assert node.operation.resume is not None
        return node.operation.resume(context, wait.state, growth.ends_of(run, key))
    except OperationError:
        raise
    except Exception as error:
        raise put_into_words(error, run, node) from error


async def execute(run: Run, node: Node, attempt: int, services: Services) -> Outcome:
    """Run an operation with effects, under its timeout. Raises :class:`OperationError`; a cancel passes through."""
    timeout_ms = node.policy.timeout_ms
    try:
        context, config = prepare(run, node, attempt, services)
        assert node.operation.execute is not None
        async with asyncio.timeout(timeout_ms / 1000) as limit:
            return await node.operation.execute(context, config)
    except TimeoutError as error:
        if not limit.expired():
            raise put_into_words(error, run, node) from error
        raise OperationError("timeout", f"not done after {timeout_ms} ms", retryable=True) from None
    except OperationError:
        raise
    except Exception as error:
        raise put_into_words(error, run, node) from error


def put_into_words(error: Exception, run: Run, node: Node) -> OperationError:
    """What a step shows of an error that its operation did not foresee."""
    if isinstance(error, ExpressionError):
        return OperationError("expression", str(error), path=error.place)
    if isinstance(error, AlloydError):
        retry_after_ms = error.retry_after_s * 1000 if error.retry_after_s else None
        return OperationError(
            error.code.value,
            error.message,
            path=error.field,
            retryable=error.code in _RETRYABLE,
            retry_after_ms=retry_after_ms,
        )
    log.error(
        "operation failed unforeseen", run_id=run.id, step=node.key, operation=node.operation.name, exc_info=error
    )
    return OperationError("internal", "an internal error; the log has it under this run's id")


class TooLargeError(OperationError):
    """The output does not fit into the step's row; ``encoded`` is all of it, as JSON."""

    def __init__(self, encoded: bytes, output_bytes_max: int) -> None:
        told = f"the output has {len(encoded)} bytes, more than {output_bytes_max}"
        super().__init__("output_too_large", told)
        self.encoded = encoded


def encode_output(outcome: Outcome, output_bytes_max: int) -> bytes:
    """The output as JSON. Raises :class:`TooLargeError`, and :class:`OperationError` when it is no JSON."""
    output = outcome.output if isinstance(outcome, Done | WaitUntil) else None
    try:
        encoded = ENCODER.encode(output)
    except (TypeError, ValueError, RecursionError) as error:
        raise OperationError("bad_output", f"the output can't be written as JSON: {error}") from None
    if len(encoded) > output_bytes_max:
        raise TooLargeError(encoded, output_bytes_max)
    return encoded


def to_step_error(error: OperationError) -> StepError:
    """As it is stored and shown."""
    return StepError(error.code, error.message, error.path, error.details)
