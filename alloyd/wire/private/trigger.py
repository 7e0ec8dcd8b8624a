"""Starting a workflow from another system: ``POST /api/private/trigger/{workflow_id}``."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from alloyd.domain.runs.model import Ended, Started, StartRun, StepError
from alloyd.domain.runs.service import RunService
from alloyd.errors import bad_request
from alloyd.kit import crash
from alloyd.kit.clock import rfc3339
from alloyd.wire.idempotency import read_once
from alloyd.wire.route import Call, Route

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})\"?(?=\s*(?:[,;]|$))", re.IGNORECASE)


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


class TriggerRoutes:
    """Handlers over the runs service. ``wait_s_max`` bounds ``Prefer: wait``."""

    def __init__(self, runs: RunService, wait_s_max: int) -> None:
        self._runs = runs
        self._wait_s_max = wait_s_max

    async def post_trigger(self, call: Call) -> Triggered:
        """Start the workflow with the body as its payload; with ``Prefer: wait=N`` wait for the run's end.

        Contract: private, "Trigger".
        """
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


def read_wait(call: Call, wait_s_max: int) -> int | None:
    """Seconds of ``Prefer: wait=N``, None without one. Raises ``bad_request`` over ``wait_s_max``."""
    prefer = call.request.headers.getall("Prefer", None)
    found = _WAIT.search(",".join(prefer)) if prefer else None
    if found is None:
        return None
    wait_s = int(found[1])
    if wait_s > wait_s_max:
        raise bad_request(f"Prefer: wait: at most {wait_s_max} seconds", "Prefer")
    return wait_s


def _result(started: Started, ended: Ended | None) -> TriggerResult:
    queued_at = rfc3339(started.queued_at)
    if ended is None:
        return TriggerResult("queued", queued_at)
    if ended.error is None:
        return TriggerResult(ended.state.value, queued_at, output=ended.output)
    return TriggerResult(ended.state.value, queued_at, error=ended.error)


def routes(runs: RunService, *, wait_s_max: int, payload_bytes_max: int) -> list[Route]:
    """The trigger's route."""
    handlers = TriggerRoutes(runs, wait_s_max)
    return [
        Route(
            "POST",
            "/trigger/{workflow_id}",
            handlers.post_trigger,
            "workflow.run",
            "Start a workflow with any JSON value as its payload",
            body=Any,
            output=Triggered,
            statuses=(404, 409, 413, 429, 503),
            body_bytes_max=payload_bytes_max,
        )
    ]
