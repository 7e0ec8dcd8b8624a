"""A teammate's turns: what a model is sent, what its tool calls become, and when it is done; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from alloyd.domain.operations.model import GrownEnd, GrownStep, OperationError
from alloyd.domain.operations.schema_cost import SchemaRefusedError
from alloyd.domain.operations.teammate_model import Plan, PlannedTool
from alloyd.domain.operations.user_schema import faults_in
from alloyd.errors import AlloydError
from alloyd.kit.paths import parse_path

MAX_TURNS: Final = "max_turns"
BETWEEN_TURNS: Final = "\n\n"
ID_CHARS_MAX: Final = 200
NAME_CHARS_MAX: Final = 128
LIST_LIMIT: Final = 200
CALLS_READ_MAX: Final = 256  # of one answer; each of them is a step, also those that are refused
_NO_TOOLS: Final = "none"
_ENCODE: Final = msgspec.json.encode
_NOTHING: Final = "workflow.noop"  # what a call of nothing known is recorded as


def first_turn(plan: Plan, messages: list[dict[str, Any]]) -> GrownStep:
    """The step that asks the model for the first time."""
    return _turn(plan, 1, messages)


def go_on(plan: Plan, ends: Sequence[GrownEnd]) -> tuple[GrownStep, ...] | dict[str, Any]:
    """The steps that follow on those that have ended, or the output of the whole.

    Raises OperationError when the model could not be asked: that fails the message.
    """
    turns = [end for end in ends if "." not in end.name]
    last = turns[-1]
    if last.error is not None:
        raise OperationError(last.error.code, last.error.message, path=last.error.path, details=last.error.details)
    number = int(last.name)
    calls = _calls_of(last.output, number)
    if not calls or _is_last(plan, last):
        return _output(plan, turns)
    results = [end for end in ends if end.name.startswith(f"{last.name}.")]
    if not results:
        return tuple(_tool_step(plan, f"{number}.{index}", call, index) for index, call in enumerate(calls, start=1))
    said = {"role": "assistant", "content": _text_of(last.output), "tool_calls": calls}
    heard = [
        {"role": "tool", "tool_call_id": call["id"], "content": _result(plan, end)}
        for call, end in zip(calls, results, strict=True)
    ]
    messages = [*last.config["messages"], said, *heard]
    return (_turn(plan, number + 1, messages, last=_size_of(ends) + len(_ENCODE(messages)) > plan.turns_bytes_max),)


def _size_of(ends: Sequence[GrownEnd]) -> int:
    """What the turns so far take: each keeps all that the model was sent, and each tool what it gave."""
    return sum(len(_ENCODE(end.output if "." in end.name else end.config["messages"])) for end in ends)


def _is_last(plan: Plan, turn: GrownEnd) -> bool:
    return int(turn.name) >= plan.max_turns or turn.config["params"].get("tool_choice") == _NO_TOOLS


def _turn(plan: Plan, number: int, messages: list[dict[str, Any]], *, last: bool = False) -> GrownStep:
    params: dict[str, Any] = {}
    if plan.temperature is not None:
        params["temperature"] = plan.temperature
    if plan.tools:
        params["tools"] = [
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in plan.tools
        ]
        if last or number >= plan.max_turns:
            params["tool_choice"] = _NO_TOOLS
    config: dict[str, Any] = {"system": plan.system, "messages": messages, "params": params}
    named = {"provider": plan.provider, "model": plan.model, "tier": plan.tier}
    return GrownStep(str(number), "ai.generate", config | {name: value for name, value in named.items() if value})


# -- what a model answered ------------------------------------------------------------------------------------------


def _text_of(output: Any) -> str:
    text = output.get("text") if isinstance(output, dict) else None
    if not isinstance(text, str):  # an answer too large for its row is an object by now
        raise OperationError("bad_answer", "the model's answer is too large to go on with")
    return text


def _calls_of(output: Any, number: int) -> list[dict[str, Any]]:
    """The tool calls, each with an id of its own: models leave them out, or say one twice. Nobody means hundreds."""
    _text_of(output)
    calls: list[dict[str, Any]] = []
    seen: set[str] = set()
    for index, call in enumerate((output.get("tool_calls") or ())[:CALLS_READ_MAX], start=1):
        call_id = str(call.get("id") or "")
        if not call_id or call_id in seen or len(call_id) > ID_CHARS_MAX:
            call_id = f"call_{number}_{index}"
        seen.add(call_id)
        calls.append({"id": call_id, "name": str(call.get("name") or "unnamed"), "arguments": call.get("arguments")})
    return calls


def _output(plan: Plan, turns: Sequence[GrownEnd]) -> dict[str, Any]:
    outputs = [end.output for end in turns]
    last = outputs[-1]
    finish = last.get("finish_reason") or "stop"
    cut = plan.tools and _is_last(plan, turns[-1]) and (len(turns) > 1 or bool(last.get("tool_calls")))
    reply = BETWEEN_TURNS.join(text for text in map(_text_of, outputs) if text)
    if cut and not reply:
        reply = f"I stopped after {len(turns)} turns without an answer."
    used = [output["usage"] for output in outputs]
    costs = [one["cost_usd"] for one in used]
    usage = {
        "input_tokens": sum(one["input_tokens"] for one in used),
        "output_tokens": sum(one["output_tokens"] for one in used),
        "cost_usd": None if None in costs else round(sum(costs), 6),
    }
    return {
        "reply": reply,
        "conversation_id": plan.conversation_id,
        "usage": usage,
        "finish": MAX_TURNS if cut else finish,
        "turns": len(turns),
        "model": last["model"],
        "provider_id": last["provider_id"],
    }


# -- what a tool call becomes ---------------------------------------------------------------------------------------


def _tool_step(plan: Plan, name: str, call: dict[str, Any], index: int) -> GrownStep:
    tool = next((one for one in plan.tools if one.name == call["name"]), None)
    given = call["arguments"]
    arguments = {} if given is None else given
    told = {"tool": call["name"][:NAME_CHARS_MAX], "arguments": arguments}
    try:
        if index > plan.calls_max:
            raise OperationError("too_many_calls", f"at most {plan.calls_max} tools may be called at one time")
        if tool is None:
            known = ", ".join(one.name for one in plan.tools)
            raise OperationError("not_found", f"there is no tool {told['tool']!r}; there are: {known}")
        _check_arguments(tool, arguments)
        operation, config = _operation_of(plan, tool, arguments)
    except OperationError as error:
        return GrownStep(name, _NOTHING if tool is None else _OPERATIONS[tool.kind], told, refusal=error)
    return GrownStep(name, operation, config)


def _check_arguments(tool: PlannedTool, arguments: Any) -> None:
    """By the tool's schema. Raises OperationError ``bad_arguments``."""
    if not isinstance(arguments, dict):
        raise OperationError("bad_arguments", "the arguments are no JSON object")
    try:
        faults = faults_in(tool.parameters, arguments)
    except SchemaRefusedError as error:
        raise OperationError("bad_arguments", str(error)) from None
    if faults:
        told = "; ".join(f"{fault.path}: {fault.message}" if fault.path else fault.message for fault in faults[:10])
        raise OperationError("bad_arguments", told)


_OPERATIONS: Final = {
    "workflow": "workflow.call",
    "connector": "connector.action",
    "storage_read": "storage.read",
    "storage_list": "storage.list",
    "storage_write": "storage.write",
}


def _operation_of(plan: Plan, tool: PlannedTool, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What the call does. The tool says what it leads to, the model only with what. Raises OperationError."""
    operation = _OPERATIONS[tool.kind]
    if tool.kind == "workflow":
        return operation, {**tool.target, "input": arguments}
    if tool.kind == "connector":
        return operation, {**tool.target, "params": arguments}
    if tool.kind == "storage_write":
        path = _allowed(arguments["path"], plan.write_folders, "write", below=True)
        return operation, {"path": path, "content": arguments["content"]}
    path = _allowed(arguments.get("path", "/"), plan.read_folders, "read", below=False)
    if tool.kind == "storage_read":
        return operation, {"path": path}
    cursor = arguments.get("cursor")
    return operation, {"path": path, "limit": LIST_LIMIT, **({} if cursor is None else {"cursor": cursor})}


def _allowed(given: str, folders: tuple[str, ...], verb: str, *, below: bool) -> str:
    """The path in its one form, when it is within one of the folders; ``below``: and is none of them itself."""
    try:
        path = parse_path(given)
        for folder in map(parse_path, folders):
            if path.is_within(folder) and not (below and path == folder):
                return str(path)
    except AlloydError as error:
        raise OperationError(error.code.value, error.message, path="path") from None
    told = ", ".join(folders) or "none"
    raise OperationError("forbidden", f"path: you may {verb} only in these folders: {told}", path="path")


def _result(plan: Plan, end: GrownEnd) -> str:
    """What the model is told of a call."""
    if end.error is not None:
        error: dict[str, Any] = {"code": end.error.code, "message": end.error.message}
        if end.error.details is not None:
            error["details"] = end.error.details
        text = msgspec.json.encode({"isError": True, "error": error}).decode()
    else:
        text = end.output if isinstance(end.output, str) else msgspec.json.encode(end.output).decode()
    if len(text) <= plan.result_chars_max:
        return text or '""'
    return f"{text[: plan.result_chars_max]}\n[cut here: the result has {len(text)} characters]"
