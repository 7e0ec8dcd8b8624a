"""``/api/teammates/{id}``: say something to a teammate, see what became of it, and the log of what was said."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from aiohttp import web

from alloyd.domain.runs.model import RunState, RunView, StepError
from alloyd.domain.teammates.model import MESSAGE_BYTES_MAX, Message, Outcome, Reply, Sent
from alloyd.domain.teammates.service import TeammateService
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import rfc3339
from alloyd.wire.fields import SAID_PATTERN, told
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, PageQuery, Pager
from alloyd.wire.prefer import APPLIED, RESPOND_ASYNC, read_wait, wants_async
from alloyd.wire.provider_stream import ProviderStreams
from alloyd.wire.replies import UsageJson, get_on_channel, stream_reply, tell_sent, usage_json, wants_stream
from alloyd.wire.route import Call, Route
from alloyd.wire.sse import MEDIA_TYPE

# How much of a reply the log shows; the run has all of it.
EXCERPT_CHARS_MAX: Final = 200
_UUID: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class MessageBody(msgspec.Struct, frozen=True):
    """Something to say. Without ``conversation_id`` a conversation begins; ``context`` is JSON for this turn alone."""

    message: Annotated[str, told(minLength=1, pattern=SAID_PATTERN)]
    conversation_id: Annotated[str, told(pattern=_UUID)] | None = None
    context: Any = None


class Replied(msgspec.Struct):
    """The reply, and what the models used for it."""

    runId: str  # noqa: N815  # the contract's spelling
    conversation_id: str | None
    reply: str
    usage: UsageJson


class Accepted(msgspec.Struct):
    """The message is durable, and the reply not there yet: ``status_url`` tells of it."""

    runId: str  # noqa: N815  # the contract's spelling
    conversation_id: str | None
    status: RunState
    status_url: str


class RunError(msgspec.Struct):
    """What stood in the way of a reply."""

    code: str
    message: str


class RunOutcome(msgspec.Struct):
    """How a message stands: ``reply`` and ``usage`` once its run is completed, ``error`` when that did not succeed."""

    runId: str  # noqa: N815  # the contract's spelling
    conversation_id: str | None
    status: RunState
    reply: str | None
    usage: UsageJson | None
    error: RunError | None


class LoggedRun(msgspec.Struct):
    """A row of the request log; ``reply`` is its beginning."""

    runId: str  # noqa: N815  # the contract's spelling
    conversation_id: str | None
    status: RunState
    trigger: str
    started_by: str
    reply: str | None
    usage: UsageJson | None
    error: RunError | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    duration_ms: int | None


class RequestLog(msgspec.Struct):
    """A page of the log, newest first; ``next_cursor`` leads to older ones."""

    items: list[LoggedRun]
    next_cursor: str | None


class LogQuery(PageQuery, frozen=True, kw_only=True):
    """The filter of the log."""

    status: RunState | None = None


class MessageRoutes:
    """Handlers over the teammates. ``wait_s_max`` is the longest that a request waits for a reply, in seconds."""

    def __init__(
        self, teammates: TeammateService, streams: ProviderStreams, limits: PageLimits, wait_s_max: int
    ) -> None:
        self._teammates = teammates
        self._streams = streams
        self._pager = Pager("teammate-runs", limits, str)
        self._wait_s_max = wait_s_max

    async def post_message(self, call: Call) -> Replied | Accepted | web.StreamResponse | None:
        """Say something, and give the reply in the form that is asked for. Contract: teammates, "API channel"."""
        body: MessageBody = call.body
        teammate = await get_on_channel(self._teammates, call.who, call.param("id"))
        message = Message(body.message, body.conversation_id, body.context)
        once = read_once(call)
        if wants_stream(call):
            return await stream_reply(call, self._teammates, self._streams, teammate.id, message, once)
        asked_wait_s = read_wait(call, self._wait_s_max)
        is_async = wants_async(call)
        sent = await self._teammates.send(call.who, teammate.id, message, once=once)
        tell_sent(call, sent)
        wait_s = asked_wait_s if asked_wait_s is not None else 0 if is_async else self._wait_s_max
        reply = await self._await_reply(call, teammate.id, sent, wait_s) if wait_s else None
        if reply is None:
            return self._accepted(call, sent, is_async)
        if asked_wait_s is not None:
            call.add_header(APPLIED, f"wait={asked_wait_s}")
        return Replied(reply.run_id, reply.conversation_id, reply.text, usage_json(reply.usage))

    async def _await_reply(self, call: Call, teammate_id: str, sent: Sent, wait_s: int) -> Reply | None:
        """The reply; None when it takes longer. Raises what stood in its way."""
        try:
            return await self._teammates.await_reply(call.who, sent.run_id, wait_s)
        except AlloydError as error:
            if error.code is not Code.UNAVAILABLE:
                raise
            outcome = await self._teammates.find_reply(call.who, teammate_id, sent.run_id)
            if outcome.reply is not None:
                return outcome.reply
            if outcome.error is not None:
                raise
            return None

    def _accepted(self, call: Call, sent: Sent, is_async: bool) -> Accepted:
        call.status = 202
        if is_async:
            call.add_header(APPLIED, RESPOND_ASYNC)
        status_url = f"{call.request.path.rstrip('/').removesuffix('/messages')}/runs/{sent.run_id}"
        call.add_header("Location", status_url)
        return Accepted(sent.run_id, sent.conversation_id, RunState.QUEUED, status_url)

    async def get_run(self, call: Call) -> RunOutcome:
        """How one message stands."""
        teammate = await get_on_channel(self._teammates, call.who, call.param("id"))
        return _outcome(await self._teammates.find_reply(call.who, teammate.id, call.param("runId")))

    async def list_runs(self, call: Call) -> RequestLog:
        """The request log, newest first."""
        query: LogQuery = call.query
        page = self._pager.read(query)
        teammate = await get_on_channel(self._teammates, call.who, call.param("id"))
        before_id = page.after[0] if page.after else None
        found = await self._teammates.list_runs(call.who, teammate.id, query.status, before_id, page.fetch)
        kept = found.runs[: page.limit]
        more = self._pager.encode((kept[-1].id,)) if found.cut_short or len(found.runs) > page.limit else None
        return RequestLog([_logged(run, self._teammates.outcome_of(run)) for run in kept], more)


def _outcome(outcome: Outcome) -> RunOutcome:
    reply = outcome.reply
    return RunOutcome(
        outcome.run_id,
        outcome.conversation_id,
        outcome.status,
        None if reply is None else reply.text,
        None if reply is None else usage_json(reply.usage),
        _error(outcome.error),
    )


def _error(error: StepError | None) -> RunError | None:
    return None if error is None else RunError(error.code, error.message)


def _logged(run: RunView, outcome: Outcome) -> LoggedRun:
    shown = _outcome(outcome)
    took_ms = None if run.started_at is None or run.ended_at is None else run.ended_at - run.started_at
    return LoggedRun(
        shown.runId,
        shown.conversation_id,
        shown.status,
        run.trigger_kind,
        run.started_by,
        None if shown.reply is None else shown.reply[:EXCERPT_CHARS_MAX],
        shown.usage,
        shown.error,
        rfc3339(run.created_at),
        _time(run.started_at),
        _time(run.ended_at),
        took_ms,
    )


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)


def routes(teammates: TeammateService, streams: ProviderStreams, limits: PageLimits, *, wait_s_max: int) -> list[Route]:
    """The routes of the channel. ``wait_s_max``: how long a request may wait for a reply, in seconds."""
    handlers = MessageRoutes(teammates, streams, limits, wait_s_max)
    return [
        Route(
            "POST",
            "/{id}/messages",
            handlers.post_message,
            "teammate.message",
            "Say something to a teammate; the reply comes whole, as a stream, or later",
            body=MessageBody,
            output=Replied,
            also={202: Accepted},
            streams=MEDIA_TYPE,
            statuses=(404, 409, 422, 429, 502, 503),
            body_bytes_max=MESSAGE_BYTES_MAX,
        ),
        Route(
            "GET",
            "/{id}/runs",
            handlers.list_runs,
            "teammate.read",
            "The request log of a teammate, newest first",
            query=LogQuery,
            output=RequestLog,
        ),
        Route(
            "GET",
            "/{id}/runs/{runId}",
            handlers.get_run,
            "teammate.read",
            "What became of one message",
            output=RunOutcome,
        ),
    ]
