"""``/v1/workflow-runs``: make, start, show, list and cancel runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from aiohttp import web

from alloyd.domain.runs.model import ENDED, RunDetail, RunFilter, RunPage, RunState, RunView, StartRun, StepView
from alloyd.domain.runs.service import RunService
from alloyd.errors import bad_request
from alloyd.events.model import Story
from alloyd.kit.clock import parse_rfc3339, rfc3339
from alloyd.principal import Principal
from alloyd.wire.control.created import CreatedQuery, read_span
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.fields import IdempotencyKey
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import Page, PageLimits, Pager
from alloyd.wire.route import Call, FindOwner, Route
from alloyd.wire.sse import MEDIA_TYPE, stream_story
from alloyd.wire.stream import Streams

_ENCODE = msgspec.json.encode
# The workflow that messages to a teammate run: (principal, teammate_id).
FindWorkflowOf = Callable[[Principal, str], Awaitable[str | None]]


class CreateRun(msgspec.Struct, frozen=True):
    """The body of a create; ``context`` is what the run begins with, and its trigger payload."""

    workflow_definition_id: str
    context: dict[str, Any] = {}
    metadata: dict[str, Any] | None = None
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class RunQuery(CreatedQuery, frozen=True, kw_only=True):
    """The filters of the list; times are RFC 3339. `top_level`: without the runs that other runs started, such as those
    of a foreach's items. `teammate_id`: what was said to that teammate. `end_user_id`: what ran for that end user.
    `summary`: with `context` and `output` left empty, which may be large: a page ends early with what holds very much.
    """

    status: RunState | None = None
    workflow_id: str | None = None
    teammate_id: str | None = None
    end_user_id: str | None = None
    parent_run_id: str | None = None
    top_level: bool = False
    summary: bool = False
    trigger: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    organization_id: str | None = None


class RunEventsQuery(msgspec.Struct, frozen=True):
    """Where the stream begins; ``ticket`` is read where callers are authenticated."""

    last_event_id: str | None = None
    ticket: str | None = None


class Progress(msgspec.Struct):
    """How far a run is."""

    total: int
    completed: int
    percentage: int


class StepBody(msgspec.Struct):
    """A step of a run."""

    key: str
    operation: str
    status: str
    attempt: int
    started_at: str | None
    ended_at: str | None
    duration_ms: int | None
    output: Any
    error: Any
    attempts: list[dict[str, Any]]


class RunBody(msgspec.Struct):
    """A run in a list."""

    id: str
    workflow_id: str
    workflow_version: int
    organization_id: str
    status: str
    trigger: str
    progress: Progress
    context: dict[str, Any]
    output: Any
    error: Any
    metadata: Any
    retry_of: str | None
    retried_by: str | None
    parent_run_id: str | None
    parent_step: str | None
    started_by: str
    created_at: str
    queued_at: str | None
    started_at: str | None
    ended_at: str | None
    deadline_at: str | None


class RunDetailBody(RunBody):
    """A run with its payload and steps."""

    payload: Any
    steps: list[StepBody]


class RunRoutes:
    """Handlers over the runs service."""

    def __init__(
        self, runs: RunService, streams: Streams, limits: PageLimits, find_workflow_of: FindWorkflowOf
    ) -> None:
        self._runs = runs
        self._streams = streams
        self._find_workflow_of = find_workflow_of
        self._pager = Pager("workflow-runs", limits, str)

    async def create_run(self, call: Call) -> RunDetailBody:
        """Make a pending run; it starts with ``/start``."""
        body: CreateRun = call.body
        organization_of(call, body.organization_id)
        context = _ENCODE(body.context)
        metadata = None if body.metadata is None else _ENCODE(body.metadata)
        command = StartRun(body.workflow_definition_id, context, "control", context, metadata)
        return detail_body(await self._runs.create(call.who, command, read_once(call, body.idempotency_key)))

    async def list_runs(self, call: Call) -> list[RunBody]:
        """The organization's runs, newest first."""
        query: RunQuery = call.query
        organization_of(call, query.organization_id)
        if query.top_level and query.parent_run_id is not None:
            raise bad_request("top_level: what another run started is not; leave one of the two out", "top_level")
        page = self._pager.read(query)
        workflow_id = query.workflow_id
        if query.teammate_id is not None:
            theirs = await self._find_workflow_of(call.who, query.teammate_id)
            if theirs is None or workflow_id not in (None, theirs):
                return []
            workflow_id = theirs
        wanted = RunFilter(
            query.status,
            workflow_id,
            *read_span(query),
            query.parent_run_id,
            query.trigger,
            top_level=query.top_level,
            end_user_id=query.end_user_id,
            slim=query.summary,
        )
        found = await self._runs.list_page(call.who, wanted, page.after[0] if page.after else None, page.fetch)
        return page_body(call, self._pager, page, found)

    async def get_run(self, call: Call) -> RunDetailBody:
        """One run with its steps; links lead to the run above it and to the runs that its steps started."""
        detail = await self._runs.get(call.who, call.param("id"))
        call.links = {"children": f"/v1/workflow-runs?parent_run_id={detail.run.id}"}
        if detail.run.parent_run_id is not None:
            call.links["parent"] = f"/v1/workflow-runs/{detail.run.parent_run_id}"
        return detail_body(detail)

    async def start_run(self, call: Call) -> RunDetailBody:
        """Start a pending run."""
        return detail_body(await self._runs.start_pending(call.who, call.param("id")))

    async def cancel_run(self, call: Call) -> RunDetailBody:
        """End a run now."""
        return detail_body(await self._runs.cancel(call.who, call.param("id")))

    async def stream_events(self, call: Call) -> web.StreamResponse | None:
        """The run's events: its history, then live, until it has ended."""

        async def check_run(principal: Principal, run_id: str) -> bool:
            return (await self._runs.find_state(principal, run_id)) in ENDED

        story = Story("run", call.param("id"))
        return await stream_story(call, self._streams, story, check_run, call.query.last_event_id)


def read_time(text: str | None, field: str) -> int | None:
    """An RFC 3339 time of a query in ms since the epoch. Raises ``bad_request`` naming the field."""
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise bad_request(f"{field}: an RFC 3339 time such as 2026-01-31T12:00:00Z is wanted", field) from None


def _at(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _fields(view: RunView) -> dict[str, Any]:
    total, done = view.steps_total, view.steps_done
    return {
        "id": view.id,
        "workflow_id": view.workflow_id,
        "workflow_version": view.version,
        "organization_id": view.org_id,
        "status": view.state.value,
        "trigger": view.trigger_kind,
        "progress": Progress(total, done, 100 * done // total if total else 100),
        "context": view.context,
        "output": view.output,
        "error": view.error,
        "metadata": view.metadata,
        "retry_of": view.retry_of,
        "retried_by": view.retried_by,
        "parent_run_id": view.parent_run_id,
        "parent_step": view.parent_step,
        "started_by": view.started_by,
        "created_at": rfc3339(view.created_at),
        "queued_at": _at(view.queued_at),
        "started_at": _at(view.started_at),
        "ended_at": _at(view.ended_at),
        "deadline_at": _at(view.deadline_at),
    }


def page_body(call: Call, pager: Pager, page: Page, found: RunPage) -> list[RunBody]:
    """A page of runs as lists show them; sets ``links.next`` when others follow."""
    kept = pager.cut(call, page, found.runs, lambda view: (view.id,), cut_short=found.cut_short)
    return [run_body(view) for view in kept]


def run_body(view: RunView) -> RunBody:
    """A run as lists show it."""
    return RunBody(**_fields(view))


def detail_body(detail: RunDetail) -> RunDetailBody:
    """A run as it is shown by itself."""
    steps = [step_body(step) for step in detail.steps]
    return RunDetailBody(**_fields(detail.run), payload=detail.run.payload, steps=steps)


def step_body(step: StepView) -> StepBody:
    """A step as runs show it."""
    duration = None if step.started_at is None or step.ended_at is None else step.ended_at - step.started_at
    attempts = [
        {
            "attempt": attempt.attempt,
            "started_at": _at(attempt.started_at),
            "ended_at": rfc3339(attempt.ended_at),
            "error": attempt.error,
        }
        for attempt in step.attempts
    ]
    return StepBody(
        step.key,
        step.operation,
        step.state.value,
        step.attempt,
        _at(step.started_at),
        _at(step.ended_at),
        duration,
        step.output,
        step.error,
        attempts,
    )


def routes(
    runs: RunService, streams: Streams, limits: PageLimits, payload_bytes_max: int, find_workflow_of: FindWorkflowOf
) -> list[Route]:
    """The routes of runs. ``find_workflow_of`` tells a teammate's workflow, None for one that is not there."""
    handlers = RunRoutes(runs, streams, limits, find_workflow_of)
    return [*_routes_of_all(handlers, payload_bytes_max), *_routes_of_one(handlers, runs.find_organization)]


def _routes_of_all(handlers: RunRoutes, payload_bytes_max: int) -> list[Route]:
    stem = "/workflow-runs"
    return [
        Route(
            "POST",
            stem,
            handlers.create_run,
            "workflow.run",
            "Make a run that does not start yet",
            body=CreateRun,
            output=RunDetailBody,
            status=201,
            statuses=(404, 409, 429, 503),
            body_bytes_max=payload_bytes_max,
        ),
        Route(
            "GET",
            stem,
            handlers.list_runs,
            "run.read",
            "List runs, newest first",
            query=RunQuery,
            output=list[RunBody],
            statuses=(404,),
        ),
    ]


def _routes_of_one(handlers: RunRoutes, owner: FindOwner) -> list[Route]:
    one = "/workflow-runs/{id}"
    return [
        Route(
            "GET",
            one,
            handlers.get_run,
            "run.read",
            "Show a run with its steps",
            output=RunDetailBody,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "POST",
            f"{one}/start",
            handlers.start_run,
            "workflow.run",
            "Start a pending run",
            output=RunDetailBody,
            status=202,
            statuses=(404, 409, 429, 503),
            owner=owner,
        ),
        Route(
            "POST",
            f"{one}/cancel",
            handlers.cancel_run,
            "run.cancel",
            "End a run now; running steps are interrupted, waiting ones skipped",
            output=RunDetailBody,
            status=202,
            statuses=(404, 409),
            owner=owner,
        ),
        Route(
            "GET",
            f"{one}/events",
            handlers.stream_events,
            "run.read",
            "A run's events as server-sent events: its history, then live, until it has ended",
            query=RunEventsQuery,
            streams=MEDIA_TYPE,
            statuses=(404, 429, 503),
            owner=owner,
        ),
    ]
