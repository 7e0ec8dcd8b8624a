"""``teammate.message``: lets a teammate answer, with as many model turns and tool calls as that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Config, Done, Grow, GrownEnd, Operation, OperationError, Outcome, StepContext
from alloyd.domain.operations.teammate_model import AskedTeammate, KeptTurn, Plan
from alloyd.domain.operations.teammate_turns import first_turn, go_on
from alloyd.events.model import Event

NAME_CHARS_MAX = 200


class MessageConfig(Config, frozen=True):
    """To whom, and what."""

    teammate: Annotated[str, Meta(description="The teammate's id or name.", min_length=1, max_length=NAME_CHARS_MAX)]
    message: Annotated[str, Meta(description="What is said.", min_length=1)]
    conversation_id: Annotated[
        str | None, Meta(description="A conversation that goes on; a new one begins unless given.")
    ] = None
    context: Annotated[Any, Meta(description="JSON that the model is shown beside the message; it is not kept.")] = None
    history: Annotated[
        list[dict[str, Any]] | None,
        Meta(description="Earlier messages, `[{role, text}]`, in place of a conversation; then none is kept."),
    ] = None


async def execute(ctx: StepContext, config: MessageConfig) -> Outcome:
    """``{reply, conversation_id, usage, finish, turns, model, provider_id}``.

    Each turn of the model is a step `ai.generate` of this run, `<key>.1`, `<key>.2` and so on; each tool call of turn 1
    a step `<key>.1.1`, `<key>.1.2` and so on, side by side. All of them are recorded as other steps are: after a
    restart no model is asked again for what it has answered, and no tool is called again that has ended. What a model
    or a user says is taken literally, never as an expression. A tool that fails tells the model so; a model that fails
    after its retries fails this step. In the last of the teammate's `max_turns` turns no tool may be called, and
    `finish` is `max_turns`.
    """
    teammates = ctx.services.teammates
    if teammates is None:
        raise OperationError("unavailable", "there are no teammates here")
    asked = AskedTeammate(config.teammate, config.message, config.conversation_id, config.context, config.history)
    with service_faults("teammate"):
        plan, messages = await teammates.plan(ctx.principal.org_id, asked)
    return Grow((first_turn(plan, messages),), msgspec.to_builtins(plan))


def resume(ctx: StepContext, state: Any, ends: Sequence[GrownEnd]) -> Outcome:
    """The next turn, the tool calls that the model asks for, or the reply."""
    plan = msgspec.convert(state, Plan)
    following = go_on(plan, ends)
    if not isinstance(following, dict):
        return Grow(following, state)
    teammates = ctx.services.teammates
    org_id, reply = ctx.principal.org_id, following["reply"]
    told = {name: following[name] for name in ("conversation_id", "finish", "turns", "usage")}
    event = Event(
        org_id,
        "teammate.replied",
        plan.teammate_id,
        told,
        run_id=ctx.run_id,
        workflow_id=ctx.workflow_id,
        node_key=ctx.step_key,
    )
    if plan.conversation_id is None or teammates is None:
        return Done(following, events=(event,))
    kept = KeptTurn(
        org_id,
        plan.teammate_id,
        plan.conversation_id,
        plan.begins,
        ctx.run_id,
        ctx.started_by,
        plan.message,
        reply,
    )
    return Done(following, events=(event,), along=lambda tx: teammates.keep(tx, kept))


OPERATION = Operation(
    name="teammate.message",
    config=MessageConfig,
    summary="Lets an AI teammate answer. Output: {reply, conversation_id, usage, finish, turns, model, provider_id}.",
    execute=execute,
    resume=resume,
    waits=True,
)
