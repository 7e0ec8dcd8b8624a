"""What is done with runs that wait or have ended: ``/v1/workflow-runs/{id}/retry`` and ``/signal``, dead letters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from alloyd.domain.runs.event_waits import EventWaits
from alloyd.domain.runs.model import RunFilter
from alloyd.domain.runs.retries import RetryService
from alloyd.domain.runs.service import RunService
from alloyd.kit.event_names import EVENT_CHARS_MAX
from alloyd.wire.control.created import CreatedQuery, read_span
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.control.workflow_runs import RunBody, RunDetailBody, detail_body, page_body
from alloyd.wire.fields import IdempotencyKey
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, Pager
from alloyd.wire.route import Call, Route

Version = Literal["pinned", "latest"]


class RetryBody(msgspec.Struct, frozen=True):
    """From where, ``start``, ``failed`` or a step's key, and by which version."""

    from_: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = msgspec.field(name="from", default="failed")
    version: Version = "pinned"
    idempotency_key: IdempotencyKey | None = None


class SignalBody(msgspec.Struct, frozen=True):
    """What the waiting step gets: the event that it waits for, or its key, and the payload."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=EVENT_CHARS_MAX)]
    data: Any = None


class RequeueBody(msgspec.Struct, frozen=True):
    """By which version."""

    version: Version = "pinned"
    idempotency_key: IdempotencyKey | None = None


class DeadLetterQuery(CreatedQuery, frozen=True, kw_only=True):
    """The filters of the list; times are RFC 3339, of the run's creation."""

    workflow_id: str | None = None
    organization_id: str | None = None


class Signaled(msgspec.Struct):
    """The step that goes on."""

    run_id: str
    step: str


class Discarded(msgspec.Struct):
    """The run that is off the list."""

    id: str
    discarded: bool = True


class RunActionRoutes:
    """Handlers over retries and waits."""

    def __init__(self, retries: RetryService, waits: EventWaits, limits: PageLimits) -> None:
        self._retries = retries
        self._waits = waits
        self._pager = Pager("dead-letters", limits, str)

    async def retry_run(self, call: Call) -> RunDetailBody:
        """Start a new run of an ended one."""
        body: RetryBody = call.body
        once = read_once(call, body.idempotency_key)
        return detail_body(await self._retries.retry(call.who, call.param("id"), body.from_, body.version, once))

    async def signal_run(self, call: Call) -> Signaled:
        """Resume a waiting step."""
        body: SignalBody = call.body
        run_id = call.param("id")
        return Signaled(run_id, await self._waits.signal(call.who, run_id, body.name, body.data))

    async def list_dead_letters(self, call: Call) -> list[RunBody]:
        """Runs that failed for good."""
        query: DeadLetterQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        created_from, created_to = read_span(query)
        wanted = RunFilter(workflow_id=query.workflow_id, created_from=created_from, created_to=created_to)
        found = await self._retries.list_dead(call.who, wanted, page.after[0] if page.after else None, page.fetch)
        return page_body(call, self._pager, page, found)

    async def requeue_dead_letter(self, call: Call) -> RunDetailBody:
        """Run it again from what failed."""
        body: RequeueBody = call.body
        once = read_once(call, body.idempotency_key)
        return detail_body(await self._retries.requeue(call.who, call.param("id"), body.version, once))

    async def discard_dead_letter(self, call: Call) -> Discarded:
        """Take it off the list."""
        run_id = call.param("id")
        await self._retries.discard(call.who, run_id)
        return Discarded(run_id)


def routes(
    runs: RunService, retries: RetryService, waits: EventWaits, limits: PageLimits, payload_bytes_max: int
) -> list[Route]:
    """The routes of retries, signals and dead letters."""
    handlers = RunActionRoutes(retries, waits, limits)
    return [*_run_routes(handlers, runs, payload_bytes_max), *_letter_routes(handlers, runs)]


def _run_routes(handlers: RunActionRoutes, runs: RunService, payload_bytes_max: int) -> list[Route]:
    run, owner = "/workflow-runs/{id}", runs.find_organization
    return [
        Route(
            "POST",
            f"{run}/retry",
            handlers.retry_run,
            "run.retry",
            "Start a new run of an ended one, from its start, from what failed, or from a step",
            body=RetryBody,
            output=RunDetailBody,
            status=202,
            statuses=(404, 409, 422, 429, 503),
            owner=owner,
        ),
        Route(
            "POST",
            f"{run}/signal",
            handlers.signal_run,
            "run.signal",
            "Resume a step that waits for this name",
            body=SignalBody,
            output=Signaled,
            status=202,
            statuses=(404, 409),
            body_bytes_max=payload_bytes_max,
            owner=owner,
        ),
    ]


def _letter_routes(handlers: RunActionRoutes, runs: RunService) -> list[Route]:
    letters, owner = "/dead-letters", runs.find_organization
    return [
        Route(
            "GET",
            letters,
            handlers.list_dead_letters,
            "dead_letter.read",
            "List runs that failed for good and that nobody has dealt with, newest first",
            query=DeadLetterQuery,
            output=list[RunBody],
            statuses=(404,),
        ),
        Route(
            "POST",
            f"{letters}/{{id}}/requeue",
            handlers.requeue_dead_letter,
            "dead_letter.write",
            "Run a dead letter again from what failed",
            body=RequeueBody,
            output=RunDetailBody,
            status=202,
            statuses=(404, 409, 422, 429, 503),
            owner=owner,
        ),
        Route(
            "POST",
            f"{letters}/{{id}}/discard",
            handlers.discard_dead_letter,
            "dead_letter.write",
            "Take a dead letter off the list; the run stays",
            output=Discarded,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "DELETE",
            f"{letters}/{{id}}",
            handlers.discard_dead_letter,
            "dead_letter.write",
            "Take a dead letter off the list; the run stays",
            output=Discarded,
            statuses=(404,),
            owner=owner,
        ),
    ]
