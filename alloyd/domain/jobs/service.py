"""Use cases of jobs: submit, show, list, cancel. A job is a run, and has its id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.jobs import store
from alloyd.domain.jobs.attaching import JobAssets
from alloyd.domain.jobs.model import (
    ENDED,
    TRIGGER_KIND,
    WORKFLOW_ID,
    WORKFLOW_VERSIONS,
    Asked,
    Job,
    JobFilter,
    JobStatus,
    Notes,
)
from alloyd.domain.providers.attachments import Attached, list_attached
from alloyd.domain.providers.model import Execute
from alloyd.domain.providers.service import Gateway
from alloyd.domain.runs.model import Ended, RunState, StartRun
from alloyd.domain.runs.service import RunService
from alloyd.domain.usage.service import UsageService
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError, Code, conflict, not_found
from alloyd.events.model import Event
from alloyd.kit.ids import new_id
from alloyd.principal import Principal

_WHAT = "job"


class JobRun(Protocol):
    """A run as the engine's hooks get it."""

    id: str
    org_id: str
    trigger_kind: str


class JobService:
    """The only door to jobs. The engine is to call :func:`tell_started` and :func:`tell_ended`."""

    def __init__(
        self,
        database: Database,
        workflows: WorkflowService,
        runs: RunService,
        gateway: Gateway,
        usage: UsageService,
        assets: JobAssets,
    ) -> None:
        self._database = database
        self._runs = runs
        self._gateway = gateway
        self._usage = usage
        self._assets = assets
        self._attaching: set[asyncio.Task[Job]] = set()
        self._workflows = workflows
        workflows.add_built_in(WORKFLOW_ID, WORKFLOW_VERSIONS)

    async def submit(self, principal: Principal, asked: Asked, once: Once | None = None) -> Job:
        """Queue a job; durable when this returns. ``once`` is an idempotency key: a copy gives the first job.

        Each ``{"asset_id"}`` in the input becomes an input object of the job's run (contract: objects, "Object keys").
        Raises ``not_found`` when nobody serves the request or there is no such asset, ``forbidden`` when the caller may
        not read it, ``bad_request`` and ``too_large`` with the field, ``rate_limited`` by the organization's budget or
        queue, ``unavailable`` when the disk is nearly full. Emits ``job.created``, for each asset ``object.created``.
        """
        if once is not None:
            known = await self._database.write(lambda tx: idempotency.find_made(tx, principal.org_id, once))
            if known is not None:
                return await self.get(principal, known)
        attached = list_attached(asked.input)
        if not attached:
            return await self._start(principal, asked, self._estimate(principal, asked), once, new_id())
        # To its end also when the caller goes, so that no object stays behind whose run did not start.
        task = asyncio.create_task(self._submit_attached(principal, asked, attached, once))
        self._attaching.add(task)
        task.add_done_callback(self._attaching.discard)
        return await asyncio.shield(task)

    async def _submit_attached(
        self, principal: Principal, asked: Asked, attached: Sequence[Attached], once: Once | None
    ) -> Job:
        """Keep what the assets hold for a run that is not there yet, then start it; it goes if that does not start."""
        org_id, job_id = principal.org_id, new_id()
        async with self._assets.load(principal, attached) as loaded:
            notes = self._estimate(principal, replace(asked, input=loaded.shown(asked.input)))
            try:
                kept = await loaded.keep(principal, asked.input, job_id)
                job = await self._start(principal, replace(asked, input=kept), notes, once, job_id)
            except BaseException:
                await self._assets.forget(org_id, job_id)
                raise
        if job.id != job_id:  # a copy was quicker
            await self._assets.forget(org_id, job_id)
        return job

    async def _start(self, principal: Principal, asked: Asked, notes: Notes, once: Once | None, job_id: str) -> Job:
        org_id = principal.org_id
        told = {"status": JobStatus.PENDING, "modality": notes.modality, "workflow_run_id": job_id}
        command = StartRun(
            WORKFLOW_ID,
            msgspec.json.encode(asked),
            TRIGGER_KIND,
            metadata=msgspec.json.encode(notes),
            told=(Event(org_id, "job.created", job_id, told, job_id=job_id),),
        )
        runnable = self._workflows.get_built_in(org_id, WORKFLOW_ID)
        started = await self._runs.start(principal, command, once, job_id, runnable)
        if not started.created:
            return await self.get(principal, started.run_id)
        return Job(job_id, org_id, JobStatus.PENDING, notes, principal.id, started.queued_at, asked=asked)

    def _estimate(self, principal: Principal, asked: Asked) -> Notes:
        """What it may cost, once it is sure that somebody serves it and that the budget has as much left."""
        request = Execute(asked.modality, asked.input, asked.model, asked.provider, asked.tier, asked.params)
        estimate = self._gateway.estimate(principal, request)
        cost = estimate.cost_micro_usd
        self._usage.release(self._usage.reserve(principal.org_id, cost or 0))
        return Notes(estimate.modality, asked.model, asked.provider, asked.tier, cost)

    async def get(self, principal: Principal, job_id: str) -> Job:
        """One job, whole. Raises ``not_found``."""
        job = await self._database.read(lambda conn: store.find_job(conn, principal.org_id, job_id))
        if job is None:
            raise not_found(_WHAT)
        return job

    async def has_ended(self, principal: Principal, job_id: str) -> bool:
        """Whether nothing more will become of the job. Raises ``not_found``."""
        return (await self.get(principal, job_id)).status in ENDED

    async def find_organization(self, job_id: str) -> str | None:
        """Whose job it is; None when there is none."""
        return await self._database.read(lambda conn: store.find_organization(conn, job_id))

    async def list_page(self, principal: Principal, wanted: JobFilter, before_id: str | None, limit: int) -> list[Job]:
        """A page of the organization's jobs, newest first, without what they ask for and gave."""
        return await self._database.read(lambda conn: store.list_page(conn, principal.org_id, wanted, before_id, limit))

    async def cancel(self, principal: Principal, job_id: str) -> Job:
        """End the job now, durably; what it used by then is charged. It has failed, with the error ``cancelled``.

        Raises ``not_found``, ``conflict`` when it has ended already. Emits ``job.failed``.
        """
        if (await self.get(principal, job_id)).status in ENDED:
            raise conflict("the job has ended already")
        try:
            await self._runs.cancel(principal, job_id)
        except AlloydError as error:
            if error.code is Code.CONFLICT:
                raise conflict("the job has ended already") from error
            raise
        return await self.get(principal, job_id)


def tell_started(tx: Tx, run: JobRun) -> None:
    """Where a run begins: ``job.started`` if it is a job's."""
    if run.trigger_kind == TRIGGER_KIND:
        payload = {"status": JobStatus.STARTED, "workflow_run_id": run.id}
        tx.emit(Event(run.org_id, "job.started", run.id, payload, job_id=run.id))


def tell_ended(tx: Tx, run: JobRun, ended: Ended) -> None:
    """Where a run ends: ``job.completed`` or ``job.failed`` if it is a job's."""
    if run.trigger_kind != TRIGGER_KIND:
        return
    completed = ended.state is RunState.COMPLETED
    status = JobStatus.COMPLETED if completed else JobStatus.FAILED
    payload: dict[str, Any] = {"status": status, "workflow_run_id": run.id}
    if ended.error is not None:
        payload["error"] = ended.error
    tx.emit(Event(run.org_id, f"job.{status.value}", run.id, msgspec.json.encode(payload), job_id=run.id))
