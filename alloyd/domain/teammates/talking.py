"""Use cases of talking to a teammate: send, await or stream the reply, look at what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.authz.model import Resource
from alloyd.domain.authz.service import refuse_denied
from alloyd.domain.idempotency.model import Once
from alloyd.domain.runs.model import Ended, RunFilter, RunPage, RunState, RunView, StartRun, StepError
from alloyd.domain.runs.service import RunService
from alloyd.domain.runs.together import start_together
from alloyd.domain.teammates import store
from alloyd.domain.teammates.conversations import begin, require
from alloyd.domain.teammates.model import (
    TRIGGER_KIND,
    Message,
    Outcome,
    Reply,
    Sent,
    Teammate,
    TeammateSettings,
    Usage,
    check_message,
)
from alloyd.domain.teammates.streams import ReplyStream, ReplyStreams
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError, Code, not_found
from alloyd.kit.ids import is_uuid, new_id
from alloyd.principal import Principal

_WHAT = "teammate"
# Codes of a step that say the same of the reply; all others are a fault of what the teammate asked.
_TOLD: Final = {
    "rate_limited": Code.RATE_LIMITED,
    "unavailable": Code.UNAVAILABLE,
    "internal": Code.INTERNAL,
    "cancelled": Code.CONFLICT,
    "not_found": Code.UNPROCESSABLE,
    "bad_request": Code.UNPROCESSABLE,
    "unprocessable": Code.UNPROCESSABLE,
}


class Talking:
    """What is said to teammates. Every message is a run of the teammate's workflow."""

    def __init__(
        self,
        database: Database,
        workflows: WorkflowService,
        runs: RunService,
        streams: ReplyStreams,
        settings: TeammateSettings,
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._runs = runs
        self._streams = streams
        self._settings = settings

    async def get(self, principal: Principal, teammate_id: str) -> Teammate:
        """One of the organization's teammates. Raises ``not_found``, also for one that a bound key is not for."""
        found = None
        if is_uuid(teammate_id) and principal.teammate_id in (None, teammate_id):
            found = await self._database.read(lambda conn: store.find(conn, principal.org_id, teammate_id))
        if found is None:
            raise not_found(_WHAT)
        return found

    # -- sending ---------------------------------------------------------------------------------------------

    async def send(
        self,
        principal: Principal,
        teammate_id: str,
        message: Message,
        *,
        once: Once | None = None,
        listen: bool = False,
    ) -> Sent:
        """Say something: a run of the teammate's workflow is queued, durably, and its conversation is there.

        Messages of one conversation are answered one after the other, in the order in which they came. ``once`` is an
        idempotency key: a copy gives the first one's run. With ``listen`` the reply is kept, as it is written, for
        :meth:`stream_reply`, which is then to be called.

        Raises ``not_found`` (the teammate, the conversation), ``bad_request`` naming the field, ``too_large``, and what
        starting a run raises. Emits ``workflow.run.queued``.
        """
        check_message(message)
        teammate = await self.get(principal, teammate_id)
        refuse_denied(principal, "teammate.message", Resource(_WHAT, teammate_id, principal.org_id))
        runnable = await self._workflows.get_runnable(principal.org_id, teammate.workflow_id)
        conversation_id = message.conversation_id
        begins = conversation_id is None and message.history is None
        if begins:
            conversation_id = new_id()
        run_id = new_id()
        command = StartRun(teammate.workflow_id, _payload(message, conversation_id), TRIGGER_KIND)

        def along(tx: Tx) -> None:
            if store.find(tx.conn, principal.org_id, teammate_id) is None:
                raise not_found(_WHAT)
            if begins and conversation_id is not None:
                begin(tx, principal.org_id, principal.id, teammate_id, conversation_id, self._settings)
            elif conversation_id is not None:
                require(tx.conn, principal.org_id, teammate_id, conversation_id)

        stream = self._streams.open(run_id) if listen else None
        try:
            started = await start_together(
                self._database, self._runs, principal, command, runnable, along, once, run_id
            )
        except BaseException:
            if stream is not None:
                self._streams.close(run_id, stream)
            raise
        if not started.created:
            if stream is not None:
                self._streams.close(run_id, stream)
            view = (await self._runs.get(principal, started.run_id)).run
            return Sent(started.run_id, _conversation_of(view.payload))
        return Sent(run_id, conversation_id)

    # -- hearing ---------------------------------------------------------------------------------------------

    async def await_reply(self, principal: Principal, run_id: str, timeout_s: float) -> Reply:
        """The reply, waiting at most ``timeout_s`` seconds for it.

        Raises ``not_found``; ``unavailable`` when it takes longer (the run goes on, :meth:`find_reply` tells of it);
        and when the run did not succeed what stood in its way, with the run's error in ``details``.
        """
        ended = await self._runs.wait(principal, run_id, timeout_s)
        if ended is None:
            raise _too_late(run_id)
        return await self._reply(principal, run_id, ended)

    async def stream_reply(
        self, principal: Principal, run_id: str, timeout_s: float | None = None
    ) -> AsyncGenerator[str | Reply]:
        """The reply as it is written, a few words at a time, then the whole as a :class:`Reply`.

        The pieces make up the reply's text, unless a model broke off and was asked again: then the :class:`Reply`
        alone counts. Who begins to listen late, or after a restart of the daemon, gets the text in one piece. Raises
        as :meth:`await_reply`. Closing it leaves the run alone.
        """
        stream = self._streams.find(run_id) or self._streams.open(run_id)
        waiter = asyncio.ensure_future(self._end_of(principal, run_id, timeout_s, stream))
        try:
            async for text in stream.pieces():
                yield text
            ended = await waiter
            if ended is None:
                raise _too_late(run_id)
            reply = await self._reply(principal, run_id, ended)
            if reply.text.startswith(stream.told) and reply.text != stream.told:
                yield reply.text.removeprefix(stream.told)
            yield reply
        finally:
            self._streams.close(run_id, stream)
            waiter.cancel()
            with suppress(asyncio.CancelledError, AlloydError):
                await waiter

    async def _end_of(
        self, principal: Principal, run_id: str, timeout_s: float | None, stream: ReplyStream
    ) -> Ended | None:
        try:
            return await self._runs.wait(principal, run_id, timeout_s if timeout_s is not None else _FOREVER_S)
        finally:
            stream.close()

    async def find_reply(self, principal: Principal, teammate_id: str, run_id: str) -> Outcome:
        """How a message stands, for who asks again and again. Raises ``not_found``, also for another's run."""
        teammate = await self.get(principal, teammate_id)
        return self.outcome_of(await self._get_run(principal, teammate, run_id))

    def outcome_of(self, view: RunView) -> Outcome:
        """How the message stands whose run ``view`` is; of one in a list the conversation is known by its reply."""
        conversation_id = _conversation_of(view.payload)
        if view.state is not RunState.COMPLETED:
            return Outcome(view.id, conversation_id, view.state, None, view.error)
        reply = _read_reply(view.id, view.output)
        if reply is None:
            return Outcome(view.id, conversation_id, view.state, None, _NO_REPLY)
        return Outcome(view.id, conversation_id or reply.conversation_id, view.state, reply)

    async def list_runs(
        self, principal: Principal, teammate_id: str, state: RunState | None, before_id: str | None, limit: int
    ) -> RunPage:
        """The request log: a page of the runs of the teammate's workflow, newest first. Raises ``not_found``."""
        teammate = await self.get(principal, teammate_id)
        wanted = RunFilter(state=state, workflow_id=teammate.workflow_id)
        return await self._runs.list_page(principal, wanted, before_id, limit)

    async def _get_run(self, principal: Principal, teammate: Teammate, run_id: str) -> RunView:
        view = (await self._runs.get(principal, run_id)).run
        if view.workflow_id != teammate.workflow_id:
            raise not_found("run")
        return view

    async def _reply(self, principal: Principal, run_id: str, ended: Ended) -> Reply:
        if ended.state is RunState.COMPLETED:
            reply = _read_reply(run_id, ended.output)
            if reply is None:
                raise _failed(run_id, _NO_REPLY)
            return reply
        raise _failed(run_id, ended.error or StepError("failed", "the run failed"))


_COUNT_MAX: Final = 2**53
_FOREVER_S: Final = 366 * 24 * 3600.0
_NO_REPLY: Final = StepError("unprocessable", "the teammate's workflow ended without a reply")


def _payload(message: Message, conversation_id: str | None) -> bytes:
    """What the run is started with. ``message_id`` gives a message without a conversation a place of its own."""
    payload: dict[str, Any] = {"message": message.text, "message_id": new_id()}
    if conversation_id is not None:
        payload["conversation_id"] = conversation_id
    if message.context is not None:
        payload["context"] = message.context
    if message.history is not None:
        payload["history"] = message.history
    return msgspec.json.encode(payload)


def _conversation_of(payload: Any) -> str | None:
    found = payload.get("conversation_id") if isinstance(payload, dict) else None
    return found if isinstance(found, str) else None


def _read_reply(run_id: str, output: Any) -> Reply | None:
    """The reply in a run's output; None when the workflow, which its owners may change, gave none."""
    if not isinstance(output, dict) or not isinstance(output.get("reply"), str):
        return None
    given = output.get("usage")
    usage = given if isinstance(given, dict) else {}
    told = Usage(
        _count(usage.get("input_tokens")),
        _count(usage.get("output_tokens")),
        _micro_usd(usage.get("cost_usd")),
    )
    return Reply(
        run_id,
        _word(output.get("conversation_id")),
        output["reply"],
        told,
        _word(output.get("finish")) or "stop",
        _word(output.get("model")),
        _word(output.get("provider_id")),
    )


def _count(given: Any) -> int:
    return given if type(given) is int and 0 <= given <= _COUNT_MAX else 0


def _micro_usd(given: Any) -> int | None:
    return round(given * 1_000_000) if type(given) in (int, float) and 0 <= given <= _COUNT_MAX else None


def _word(given: Any) -> str | None:
    return given if isinstance(given, str) else None


def _too_late(run_id: str) -> AlloydError:
    told = "the reply takes longer than it may be waited for; the run goes on"
    return AlloydError(Code.UNAVAILABLE, told, details=[{"code": "timeout", "run_id": run_id}])


def _failed(run_id: str, error: StepError) -> AlloydError:
    code = _TOLD.get(error.code, Code.UPSTREAM_FAILED)
    details = [{"code": error.code, "message": error.message, "run_id": run_id}]
    return AlloydError(code, f"the teammate could not reply: {error.message}", details=details)
