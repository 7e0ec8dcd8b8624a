"""How a step asks the AI gateway: on whose behalf, and what becomes of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alloyd.domain.operations.model import Config, OperationError, StepContext
from alloyd.domain.operations.teammate_model import StepListener
from alloyd.domain.providers.answers import text_output
from alloyd.domain.providers.model import (
    TEXT,
    Execute,
    Finished,
    Origin,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Used,
)
from alloyd.domain.providers.service import Executed, Gateway, Streamed
from alloyd.errors import AlloydError, Code
from alloyd.principal import Principal

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
    listener = None
    if ctx.grown_by is not None and ctx.services.listeners is not None and modality == TEXT:
        listener = ctx.services.listeners.find(ctx.run_id)
    with _gateway_faults():
        if listener is not None:
            return await _ask_aloud(gateway, principal, request, origin, listener)
        return await gateway.execute(principal, request, origin)


async def _ask_aloud(
    gateway: Gateway, principal: Principal, request: Execute, origin: Origin, listener: StepListener
) -> Executed:
    """The same answer; its words are told as they come."""
    streamed, texts, calls = Streamed(), [], list[ToolCall]()
    finished: Finished | None = None
    listener.begin_turn()
    try:
        async with aclosing(gateway.stream(principal, request, streamed, origin)) as pieces:
            async for piece in pieces:
                if isinstance(piece, TextDelta):
                    texts.append(piece.text)
                    listener.say(piece.text)
                elif isinstance(piece, ToolCallDelta):
                    _add_call(calls, piece)
                else:
                    finished = piece
    except BaseException:
        if texts:
            listener.break_off()
        raise
    assert finished is not None and streamed.record_id is not None  # noqa: PT018  # the gateway says so
    output = text_output("".join(texts), calls, finished.finish_reason) if finished.output is None else finished.output
    return Executed(
        streamed.provider_id,
        streamed.model,
        TEXT,
        output,
        finished.used,
        streamed.cost_micro_usd,
        streamed.record_id,
        streamed.upstream_s,
    )


def _add_call(calls: list[ToolCall], piece: ToolCallDelta) -> None:
    while len(calls) <= piece.index:
        calls.append(ToolCall("", "", ""))
    one = calls[piece.index]
    calls[piece.index] = ToolCall(piece.id or one.id, piece.name or one.name, one.arguments + piece.arguments)


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
