"""Use cases of jobs: submit, show, list, cancel. A job is a run, and has its id."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from alloyd.db import Database, Tx
from alloyd.domain.idempotency import service as idempotency
from alloyd.domain.idempotency.model import Once
from alloyd.domain.jobs import store
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
    ) -> None:
        self._database = database
        self._runs = runs
        self._gateway = gateway
        self._usage = usage
        self._workflows = workflows
        workflows.add_built_in(WORKFLOW_ID, WORKFLOW_VERSIONS)

    async def submit(self, principal: Principal, asked: Asked, once: Once | None = None) -> Job:
        """Queue a job; durable when this returns. ``once`` is an idempotency key: a copy gives the first job.

        Raises ``not_found`` when nobody serves the request, ``bad_request`` with its field, ``rate_limited`` by the
        organization's budget or queue, ``unavailable`` when the disk is nearly full. Emits ``job.created``.
        """
        if once is not None:
            known = await self._database.write(lambda tx: idempotency.find_made(tx, principal.org_id, once))
            if known is not None:
                return await self.get(principal, known)
        notes = self._estimate(principal, asked)
        job_id, org_id = new_id(), principal.org_id
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
