"""How a step asks the AI gateway: on whose behalf, and what becomes of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alloyd.domain.operations.model import Config, OperationError, StepContext
from alloyd.domain.providers.model import Execute, Origin, Used
from alloyd.domain.providers.service import Executed
from alloyd.errors import AlloydError, Code

JOB_TRIGGER = "job"
# What can get better by itself, or with another provider.
_RETRYABLE = frozenset({Code.UPSTREAM_FAILED, Code.UNAVAILABLE, Code.RATE_LIMITED})
# A longer wait is a failure: a budget that is used up until the next month must not keep a run waiting.
_WAIT_S_MAX = 3600


class ModelConfig(Config, frozen=True, kw_only=True):
    """Who is asked."""

    model: Annotated[str | None, Meta(description="The model, or `provider/model`; else routed by tier.")] = None
    provider: Annotated[str | None, Meta(description="The provider, by its configured name.")] = None
    tier: Annotated[str | None, Meta(description="`fast`, `standard`, `best`, or a configured one.")] = None
    params: Annotated[
        dict[str, Any], Meta(description="`temperature`, `max_tokens`, `tools` and so on: see providers.md.")
    ] = msgspec.field(default_factory=dict)


async def ask(ctx: StepContext, config: ModelConfig, modality: str, given: Any, params: dict[str, Any]) -> Executed:
    """The gateway's answer. Raises OperationError with the gateway's code and details."""
    gateway = ctx.services.gateway
    if gateway is None:
        raise OperationError("unavailable", "there is no AI gateway here")
    request = Execute(modality, given, config.model, config.provider, config.tier, params)
    job_id = ctx.run_id if ctx.trigger_kind == JOB_TRIGGER else None
    origin = Origin(ctx.run_id, ctx.workflow_id, ctx.step_key, job_id)
    # Charged to whoever started the run; alloyd acts for them.
    principal = replace(ctx.principal, id=ctx.started_by or ctx.principal.id)
    with _gateway_faults():
        return await gateway.execute(principal, request, origin)


@contextmanager
def _gateway_faults() -> Iterator[None]:
    try:
        yield
    except AlloydError as error:
        raise OperationError(
            error.code.value,
            error.message,
            path=error.field,
            retryable=error.code in _RETRYABLE and (error.retry_after_s or 0) <= _WAIT_S_MAX,
            retry_after_ms=None if error.retry_after_s is None else error.retry_after_s * 1000,
            details=error.details,
        ) from error


def told_usage(used: Used, cost_micro_usd: int | None) -> dict[str, Any]:
    """``{input_tokens, output_tokens, cost_usd}``; the cost is null where no price is known."""
    cost = None if cost_micro_usd is None else cost_micro_usd / 1_000_000
    return {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens, "cost_usd": cost}


def told_source(executed: Executed) -> dict[str, Any]:
    """``{model, provider_id, usage}``: what every AI step's output ends with."""
    usage = told_usage(executed.used, executed.cost_micro_usd)
    return {"model": executed.model, "provider_id": executed.provider_id, "usage": usage}
