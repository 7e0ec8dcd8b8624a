"""The flow form as nodes: every step type is an operation, every ``next`` an edge."""

from __future__ import annotations

from typing import Any

from alloyd.domain.workflows.model import Branches, Fault, FlowStep, NodeDefinition

_OPERATIONS = {
    "starting_step": "workflow.noop",
    "llm": "ai.generate",
    "run_workflow": "workflow.call",
    "run_employee": "teammate.message",
    "condition": "workflow.branch",
    "user_input": "workflow.wait_event",
    "send_message": "event.emit",
    "finish": "workflow.finish",
    "agent": "teammate.message",
}
_INPUT_EVENT = "user_input"
_WAIT_FIELDS = ("event", "match", "timeout", "on_timeout")
_MESSAGE_KIND = "message.sent"


def nodes_of_flow(flow: dict[str, FlowStep], starting_step_id: str) -> tuple[list[NodeDefinition], list[Fault]]:
    """The same graph in the nodes form, only what can be reached from the starting step.

    Faults: a starting step or a ``next`` that does not exist, a list of ways where there is no condition, and steps
    that nothing leads to.
    """
    faults: list[Fault] = []
    if starting_step_id not in flow:
        return [], [Fault("starting_step_id", f"there is no step {starting_step_id!r}")]
    depends_on: dict[str, list[str]] = {starting_step_id: []}
    waiting = [starting_step_id]
    while waiting:
        step_id = waiting.pop()
        for target, port, place in _edges(step_id, flow[step_id], faults):
            if target not in flow:
                faults.append(Fault(place, f"there is no step {target!r}"))
                continue
            edge = step_id if port is None else f"{step_id}.{port}"
            if target not in depends_on:
                depends_on[target] = []
                waiting.append(target)
            if edge not in depends_on[target]:
                depends_on[target].append(edge)
    faults.extend(
        Fault(f"flow.{step_id}", "nothing leads to this step") for step_id in flow if step_id not in depends_on
    )
    nodes = [
        NodeDefinition(
            key=step_id,
            operation=_operation(flow[step_id]),
            depends_on=depends_on[step_id],
            config=_config(flow[step_id]),
        )
        for step_id in flow
        if step_id in depends_on
    ]
    return nodes, faults


def operation_of_step(step: dict[str, Any]) -> str | None:
    """The operation that a step of a flow stands for; None for what is no step. The step need not be sound."""
    kind, config = step.get("type"), step.get("config")
    if not isinstance(kind, str):
        return None
    return _operation(FlowStep(kind, config if isinstance(config, dict) else {}))


def _edges(step_id: str, step: FlowStep, faults: list[Fault]) -> list[tuple[str, str | None, str]]:
    place = f"flow.{step_id}.next"
    ways = step.next
    if ways is None:
        return []
    if isinstance(ways, Branches):
        if step.type not in ("condition", "workflow.branch"):
            faults.append(Fault(place, "only a condition has the ways then and else"))
            return []
        return [
            (target, port, f"{place}.{port}")
            for port, targets in (("then", ways.then), ("else", ways.else_))
            for target in _listed(targets)
        ]
    if step.type in ("condition", "workflow.branch"):
        faults.append(Fault(place, 'a condition needs {"then": …, "else": …}'))
        return []
    return [(target, None, place) for target in _listed(ways)]


def _listed(targets: str | list[str] | None) -> list[str]:
    if targets is None:
        return []
    return [targets] if isinstance(targets, str) else targets


def _operation(step: FlowStep) -> str:
    if step.type == "tool":
        return "http.request" if "url" in step.config else "connector.action"
    return _OPERATIONS.get(step.type, step.type)


def _config(step: FlowStep) -> dict[str, Any]:
    if step.type == "starting_step":
        return {}  # an editor's form for the payload, not a setting of the step
    if step.type == "send_message" and "kind" not in step.config:
        return {"kind": _MESSAGE_KIND, "payload": step.config}
    if step.type == "user_input":
        # An editor's form is no setting of the step; what resumes it is a signal of this name.
        return {"event": _INPUT_EVENT} | {name: step.config[name] for name in _WAIT_FIELDS if name in step.config}
    return step.config
