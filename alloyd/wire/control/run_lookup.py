"""Looking runs up: the graph of a run and what its steps work on, below ``/v1/workflow-runs``."""

from __future__ import annotations

from typing import Any

import msgspec

from alloyd.domain.runs.looking import RunLookup
from alloyd.domain.runs.service import RunService
from alloyd.domain.workflows.model import Drawing
from alloyd.wire.control.workflow_runs import StepBody, step_body
from alloyd.wire.route import Call, Route


class StepDetailBody(StepBody, kw_only=True):
    """A step with what it works on: its config with the expressions worked out of what is recorded, secrets masked.

    ``input_error`` says why that can't be shown. ``grown_by``: the step that asked for this one while the run was
    under way.
    """

    input: Any
    input_error: str | None
    grown_by: str | None


class RunLookupRoutes:
    """Handlers over the lookup."""

    def __init__(self, lookup: RunLookup) -> None:
        self._lookup = lookup

    async def get_graph(self, call: Call) -> Drawing:
        """The graph that the run goes through."""
        return await self._lookup.draw(call.who, call.param("id"))

    async def get_step(self, call: Call) -> StepDetailBody:
        """One step with its input."""
        found = await self._lookup.get_step(call.who, call.param("id"), call.param("key"))
        return StepDetailBody(
            **msgspec.structs.asdict(step_body(found.step)),
            input=found.input,
            input_error=found.input_fault,
            grown_by=found.grown_by,
        )


def routes(lookup: RunLookup, runs: RunService) -> list[Route]:
    """The routes of this file."""
    handlers, owner = RunLookupRoutes(lookup), runs.find_organization
    return [
        Route(
            "GET",
            "/workflow-runs/{id}/graph",
            handlers.get_graph,
            "run.read",
            "The nodes and edges of the version that a run is pinned to",
            output=Drawing,
            statuses=(404, 422),
            owner=owner,
        ),
        Route(
            "GET",
            "/workflow-runs/{id}/steps/{key}",
            handlers.get_step,
            "run.read",
            "Show a step of a run with its input",
            output=StepDetailBody,
            statuses=(404,),
            owner=owner,
        ),
    ]
