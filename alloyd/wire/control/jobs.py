"""``/v1/jobs``: submit, show, list, follow and cancel jobs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from aiohttp import web

from alloyd.domain.jobs.model import Asked, Job, JobFilter, JobStatus
from alloyd.domain.jobs.service import JobService
from alloyd.domain.providers.model import canonical_modality
from alloyd.domain.usage.service import UsageService
from alloyd.events.model import Story
from alloyd.kit.clock import rfc3339
from alloyd.kit.money import to_usd
from alloyd.wire.control.created import CreatedQuery, read_span
from alloyd.wire.control.tenancy import organization_of
from alloyd.wire.control.usage import RecordBody, TotalsBody, record_body, totals_body
from alloyd.wire.fields import IdempotencyKey, told
from alloyd.wire.idempotency import read_once
from alloyd.wire.paging import PageLimits, Pager
from alloyd.wire.route import Call, Route
from alloyd.wire.sse import MEDIA_TYPE, stream_story
from alloyd.wire.stream import Streams

RECORDS_MAX = 200


class CreateJob(msgspec.Struct, frozen=True):
    """What is asked, in any of the forms that ``POST /v1/providers/execute`` takes."""

    modality: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    input: Annotated[Any, told(type=["string", "array", "object"])]
    model: str | None = None
    provider: str | None = None
    tier: str | None = None
    params: dict[str, Any] = {}
    organization_id: str | None = None
    idempotency_key: IdempotencyKey | None = None


class JobQuery(CreatedQuery, frozen=True, kw_only=True):
    """The filters of the list; times are RFC 3339."""

    status: JobStatus | None = None
    modality: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    organization_id: str | None = None


class JobEventsQuery(msgspec.Struct, frozen=True):
    """Where the stream begins; ``ticket`` is read where callers are authenticated."""

    last_event_id: str | None = None
    ticket: str | None = None


class JobBody(msgspec.Struct):
    """A job in a list. ``id`` and ``job_id`` are the same, and so is the run's id."""

    id: str
    job_id: str
    status: JobStatus
    workflow_run_id: str
    estimated_cost_usd: float | None
    organization_id: str
    modality: str
    model: str | None
    provider: str | None
    tier: str | None
    error: Any
    created_by: str
    created_at: str
    started_at: str | None
    ended_at: str | None


class JobDetailBody(JobBody):
    """A job with what it asks for, and once it is completed what it gave."""

    input: Any
    params: dict[str, Any]
    output: Any
    provider_id: str | None
    usage: Any


class JobUsageBody(msgspec.Struct):
    """What a job cost: its totals, and its newest records."""

    job_id: str
    totals: TotalsBody
    records: list[RecordBody]


class JobRoutes:
    """Handlers over the jobs service."""

    def __init__(self, jobs: JobService, usage: UsageService, streams: Streams, limits: PageLimits) -> None:
        self._jobs = jobs
        self._usage = usage
        self._streams = streams
        self._pager = Pager("jobs", limits, str)

    async def create_job(self, call: Call) -> JobDetailBody:
        """Queue a job."""
        body: CreateJob = call.body
        organization_of(call, body.organization_id)
        asked = Asked(body.modality, body.input, body.model, body.provider, body.tier, body.params)
        return _detail(await self._jobs.submit(call.who, asked, read_once(call, body.idempotency_key)))

    async def list_jobs(self, call: Call) -> list[JobBody]:
        """The organization's jobs, newest first."""
        query: JobQuery = call.query
        organization_of(call, query.organization_id)
        page = self._pager.read(query)
        wanted = JobFilter(
            query.status,
            None if query.modality is None else canonical_modality(query.modality),
            *read_span(query),
        )
        found = await self._jobs.list_page(call.who, wanted, page.after[0] if page.after else None, page.fetch)
        return [JobBody(**_fields(job)) for job in self._pager.cut(call, page, found, lambda job: (job.id,))]

    async def get_job(self, call: Call) -> JobDetailBody:
        """One job."""
        return _detail(await self._jobs.get(call.who, call.param("id")))

    async def get_usage(self, call: Call) -> JobUsageBody:
        """What a job cost so far."""
        job = await self._jobs.get(call.who, call.param("id"))
        totals, records = await self._usage.list_of_job(job.org_id, job.id, RECORDS_MAX)
        return JobUsageBody(job.id, totals_body(totals), [record_body(record) for record in records])

    async def cancel_job(self, call: Call) -> JobDetailBody:
        """End a job now."""
        return _detail(await self._jobs.cancel(call.who, call.param("id")))

    async def stream_events(self, call: Call) -> web.StreamResponse | None:
        """The job's events: its history, then live, until it has ended."""
        story = Story("job", call.param("id"))
        return await stream_story(call, self._streams, story, self._jobs.has_ended, call.query.last_event_id)


def _at(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _fields(job: Job) -> dict[str, Any]:
    notes = job.notes
    return {
        "id": job.id,
        "job_id": job.id,
        "status": job.status,
        "workflow_run_id": job.id,
        "estimated_cost_usd": None if notes.estimated_micro_usd is None else to_usd(notes.estimated_micro_usd),
        "organization_id": job.org_id,
        "modality": notes.modality,
        "model": notes.model,
        "provider": notes.provider,
        "tier": notes.tier,
        "error": job.error,
        "created_by": job.started_by,
        "created_at": rfc3339(job.created_at),
        "started_at": _at(job.started_at),
        "ended_at": _at(job.ended_at),
    }


def _detail(job: Job) -> JobDetailBody:
    asked, result = job.asked, job.result
    fields = _fields(job)
    fields["model"] = result.get("model") or fields["model"]  # who answered, once somebody did
    return JobDetailBody(
        **fields,
        input=None if asked is None else asked.input,
        params={} if asked is None else asked.params,
        output=result.get("output"),
        provider_id=result.get("provider_id"),
        usage=result.get("usage"),
    )


def routes(
    jobs: JobService, usage: UsageService, streams: Streams, limits: PageLimits, payload_bytes_max: int
) -> list[Route]:
    """The routes of jobs."""
    handlers = JobRoutes(jobs, usage, streams, limits)
    stem, one, owner = "/jobs", "/jobs/{id}", jobs.find_organization
    return [
        Route(
            "POST",
            stem,
            handlers.create_job,
            "job.create",
            "Have a call of an AI model done in the background",
            body=CreateJob,
            output=JobDetailBody,
            status=202,
            statuses=(404, 409, 413, 429, 503),
            body_bytes_max=payload_bytes_max,
        ),
        Route(
            "GET", stem, handlers.list_jobs, "job.read", "List jobs, newest first", query=JobQuery, output=list[JobBody]
        ),
        Route(
            "GET", one, handlers.get_job, "job.read", "Show a job", output=JobDetailBody, statuses=(404,), owner=owner
        ),
        Route(
            "GET",
            f"{one}/usage",
            handlers.get_usage,
            "job.read",
            "What a job cost: totals, and its records",
            output=JobUsageBody,
            statuses=(404,),
            owner=owner,
        ),
        Route(
            "GET",
            f"{one}/events",
            handlers.stream_events,
            "job.read",
            "A job's events as server-sent events: its history, then live, until it has ended",
            query=JobEventsQuery,
            streams=MEDIA_TYPE,
            statuses=(404, 429, 503),
            owner=owner,
        ),
        Route(
            "POST",
            f"{one}/cancel",
            handlers.cancel_job,
            "job.create",
            "End a job now; it has failed then, as cancelled",
            output=JobDetailBody,
            status=202,
            statuses=(404, 409),
            owner=owner,
        ),
    ]
