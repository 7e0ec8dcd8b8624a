"""Looking runs up: the graph that a run goes through, what one of its steps works on, each workflow's newest run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from alloyd.db import Database
from alloyd.domain.operations.model import Operation
from alloyd.domain.runs import store, store_lists
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import ENCODER, NewestRun, StepDetail, StepState, StepView, view_step
from alloyd.domain.runs.recording import restore
from alloyd.domain.runs.showing import shown_steps
from alloyd.domain.workflows.model import Drawing, Node, draw
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError, not_found
from alloyd.kit.expressions import ExpressionError
from alloyd.principal import Principal

_WHAT = "run"
_MASK = "***"


class RunLookup:
    """Shows runs to people; changes nothing."""

    def __init__(self, database: Database, workflows: WorkflowService) -> None:
        self._database = database
        self._workflows = workflows

    async def draw(self, principal: Principal, run_id: str) -> Drawing:
        """The graph of the version that the run is pinned to. Raises ``not_found``, and ``unprocessable`` when it can't
        run any more."""
        org_id = principal.org_id
        view = await self._database.read(lambda conn: store.find_run(conn, org_id, run_id))
        if view is None:
            raise not_found(_WHAT)
        return draw(await self._workflows.get_graph(org_id, view.workflow_id, view.version, view.scope))

    async def get_step(self, principal: Principal, run_id: str, key: str) -> StepDetail:
        """A step with its input, which is worked out anew of what is recorded: of the context as it is now.

        Raises ``not_found`` for a run or step that is not there.
        """
        stored = await self._database.read(lambda conn: store.load_run(conn, principal.org_id, run_id))
        if stored is None:
            raise not_found(_WHAT)
        view = stored.view
        try:
            graph = await self._workflows.get_graph(principal.org_id, view.workflow_id, view.version, view.scope)
            run = restore(stored, graph)
        except AlloydError as error:
            known = stored.steps.get(key)
            if known is None:
                raise not_found("step") from None
            return StepDetail(view_step(known, ""), None, error.message, None)
        shown = next((each for each in shown_steps(stored, graph) if each.key == key), None)
        if shown is None:
            raise not_found("step")
        node = run.node(key)
        given, fault = _input(run, node, shown)
        return StepDetail(shown, given, fault, node.grown_by)

    async def list_newest(self, principal: Principal, workflow_ids: Sequence[str]) -> dict[str, NewestRun]:
        """The newest run of each of the workflows that has one, by the workflow's id."""
        found = await self._database.read(lambda conn: store_lists.list_newest(conn, principal.org_id, workflow_ids))
        return {each.workflow_id: each for each in found}


def _input(run: Run, node: Node, shown: StepView) -> tuple[Any, str | None]:
    if shown.started_at is None and shown.state in (StepState.WAITING, StepState.READY, StepState.SKIPPED):
        return None, None
    names = run.names
    try:
        inputs = {name: expression.evaluate(names) for name, expression in node.inputs}
        rendered = node.config.render({**names, "inputs": inputs})
        given = {**rendered, **inputs} if isinstance(rendered, dict) else rendered
        return _without_secrets(given, node.operation), None
    except ExpressionError as error:
        return None, str(error)


def _without_secrets(given: Any, operation: Operation) -> Any:
    """The input with a mask where the operation declares a secret, however it got there."""
    if not operation.secrets or not isinstance(given, dict):
        return given
    given = msgspec.json.decode(ENCODER.encode(given))  # what is rendered is shared with what is recorded
    for path in operation.secrets:
        *outer, last = path.split(".")
        holder: Any = given
        for part in outer:
            holder = holder.get(part) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and holder.get(last):
            holder[last] = _MASK
    return given
