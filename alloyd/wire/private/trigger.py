"""Starting a workflow from another system: ``POST /api/private/trigger/{workflow_id}``."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from alloyd.domain.objects.service import ObjectService
from alloyd.domain.runs.model import Ended, Started, StartRun, StepError
from alloyd.domain.runs.service import RunService, refuse_denied_run
from alloyd.domain.workflows.service import WorkflowService
from alloyd.kit import crash
from alloyd.kit.clock import rfc3339
from alloyd.kit.ids import new_id
from alloyd.wire.body import FORM
from alloyd.wire.idempotency import read_once, read_once_of
from alloyd.wire.multipart import FormReader
from alloyd.wire.prefer import read_wait
from alloyd.wire.private.trigger_form import FORM_SCHEMA, TriggerForm
from alloyd.wire.route import Call, Route


class TriggerResult(msgspec.Struct):
    """``status`` is ``queued``, or how the run ended if the caller waited for that; then ``output`` or ``error``."""

    status: str
    queued_at: str
    output: Any = msgspec.UNSET
    error: StepError | msgspec.UnsetType = msgspec.UNSET


class Triggered(msgspec.Struct):
    """The answer's ``data``."""

    runId: str  # noqa: N815  # the contract's spelling
    result: TriggerResult


class FormBounds(msgspec.Struct, frozen=True):
    """What a form may hold, and how long the wait for each next piece of it may last."""

    fields_bytes_max: int
    file_bytes_max: int
    depth_max: int
    read_timeout_s: float


class TriggerRoutes:
    """Handlers over the runs service. ``wait_s_max`` bounds ``Prefer: wait``, ``bounds`` a form."""

    def __init__(
        self,
        runs: RunService,
        workflows: WorkflowService,
        objects: ObjectService,
        wait_s_max: int,
        bounds: FormBounds,
    ) -> None:
        self._runs = runs
        self._workflows = workflows
        self._objects = objects
        self._wait_s_max = wait_s_max
        self._bounds = bounds
        self._starting: set[asyncio.Task[Started]] = set()

    async def post_trigger(self, call: Call) -> Triggered:
        """Start the workflow with the body as its payload; with ``Prefer: wait=N`` wait for the run's end.

        Contract: private, "Trigger".
        """
        if call.body is FORM:
            return await self._post_form(call)
        command = StartRun(call.param("workflow_id"), call.body_bytes, "api")
        once = read_once(call)
        wait_s = read_wait(call, self._wait_s_max)
        ended: Ended | None = None
        if wait_s is None:
            started = await self._runs.start(call.who, command, once)
        else:
            started, ended = await self._runs.start_and_wait(call.who, command, wait_s, once)
            if ended is not None:  # else it is answered as without the preference
                call.add_header("Preference-Applied", f"wait={wait_s}")
        crash.reach("trigger.before_answer")
        return Triggered(started.run_id, _result(started, ended))

    async def _post_form(self, call: Call) -> Triggered:
        wait_s = read_wait(call, self._wait_s_max)
        # To its end also when the caller goes, so that no file stays behind whose run did not start.
        task = asyncio.create_task(self._start_with_files(call))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        started = await asyncio.shield(task)
        ended = None if wait_s is None else await self._runs.wait(call.who, started.run_id, wait_s)
        if ended is not None:
            call.add_header("Preference-Applied", f"wait={wait_s}")
        crash.reach("trigger.before_answer")
        return Triggered(started.run_id, _result(started, ended))

    async def _start_with_files(self, call: Call) -> Started:
        """Store the form's files for a run that is not there yet, then start it; they go again if it does not start."""
        who, bounds = call.who, self._bounds
        read_once_of(call, "")  # a bad key is told before the files are read
        reader = FormReader(call.request, bounds.read_timeout_s)
        workflow_id = (await self._workflows.get_runnable(who.org_id, call.param("workflow_id"))).workflow_id
        refuse_denied_run(who, workflow_id)
        run_id = new_id()
        form = TriggerForm(self._objects, bounds.fields_bytes_max, bounds.file_bytes_max, bounds.depth_max)
        try:
            payload = await form.read(reader, who, workflow_id, run_id)
            once = read_once_of(call, form.digest(dict(call.request.match_info)))
            started = await self._runs.start(who, StartRun(workflow_id, payload, "api"), once, run_id)
        except BaseException:
            await self._objects.delete_of_unstarted(who.org_id, run_id)
            raise
        if not started.created:
            await self._objects.delete_of_unstarted(who.org_id, run_id)
        return started


def _result(started: Started, ended: Ended | None) -> TriggerResult:
    queued_at = rfc3339(started.queued_at)
    if ended is None:
        return TriggerResult("queued", queued_at)
    if ended.error is None:
        return TriggerResult(ended.state.value, queued_at, output=ended.output)
    return TriggerResult(ended.state.value, queued_at, error=ended.error)


def routes(
    runs: RunService, workflows: WorkflowService, objects: ObjectService, *, wait_s_max: int, bounds: FormBounds
) -> list[Route]:
    """The trigger's route. A JSON payload is held to the bound of a form's fields."""
    handlers = TriggerRoutes(runs, workflows, objects, wait_s_max, bounds)
    return [
        Route(
            "POST",
            "/trigger/{workflow_id}",
            handlers.post_trigger,
            "workflow.run",
            "Start a workflow with any JSON value, or a form with files, as its payload",
            body=Any,
            output=Triggered,
            statuses=(404, 409, 413, 429, 503),
            body_bytes_max=bounds.fields_bytes_max,
            form_schema=FORM_SCHEMA,
        )
    ]
