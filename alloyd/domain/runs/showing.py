"""A run's steps as they are shown: the definition's order, each followed by those that it has grown."""

from __future__ import annotations

from collections import defaultdict

from alloyd.domain.runs.model import ENDED, Step, StepState, StepView, view_step
from alloyd.domain.runs.store import StoredRun
from alloyd.domain.workflows.model import Graph


def shown_steps(stored: StoredRun, graph: Graph) -> list[StepView]:
    """All steps, also those that have not been touched."""
    untouched = StepState.SKIPPED if stored.view.state in ENDED else StepState.WAITING
    grown: dict[str, list[StepView]] = defaultdict(list)
    for row in stored.grown:
        grown[row.parent].append(view_step(stored.steps.get(row.key) or Step(row.key, untouched), row.operation))
    shown = []
    for key in graph.order:
        shown.append(view_step(stored.steps.get(key) or Step(key, untouched), graph.nodes[key].operation.name))
        shown.extend(grown[key])
    return shown
