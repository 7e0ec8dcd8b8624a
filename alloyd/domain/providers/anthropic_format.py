"""Anthropic's wire format: requests out of prompts, answers out of bodies; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from alloyd.domain.providers.answers import text_output
from alloyd.domain.providers.model import (
    CONTENT_FILTER,
    LENGTH,
    STOP,
    TOOL_CALLS,
    Answer,
    ImagePart,
    Message,
    Model,
    Prompt,
    TextPart,
    ToolCall,
    Used,
)
from alloyd.domain.providers.prices import estimate_tokens, output_bound
from alloyd.domain.providers.upstream import bad_answer
from alloyd.kit.documents import DocumentError, read_json

BLOCKS_MAX: Final = 1024
# This API has no response format: the answer is asked for as the call of a tool, and shown as text.
ANSWER_TOOL: Final = "json_answer"
_FINISH: Final[Mapping[str, str]] = {
    "end_turn": STOP,
    "stop_sequence": STOP,
    "pause_turn": STOP,
    "max_tokens": LENGTH,
    "model_context_window_exceeded": LENGTH,
    "tool_use": TOOL_CALLS,
    "refusal": CONTENT_FILTER,
}
_INPUT_COUNTS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_SAME_NAME: Final = ("temperature", "top_p", "top_k")


def wants_json(prompt: Prompt) -> bool:
    """Whether the answer is to be JSON, and so comes as the call of a tool."""
    wanted = prompt.params.get("response_format")
    return wanted is not None and wanted.type != "text"


def messages_body(model: Model, prompt: Prompt, *, streams: bool) -> dict[str, Any]:
    """The body for ``/v1/messages``."""
    params = prompt.params
    system = "\n\n".join(message.text for message in prompt.messages if message.role == "system")
    body: dict[str, Any] = {
        "model": model.id,
        "max_tokens": output_bound(model, prompt),
        "messages": _turns([message for message in prompt.messages if message.role != "system"]),
    }
    if system:
        body["system"] = system
    body |= {name: params[name] for name in _SAME_NAME if name in params}
    if "stop" in params:
        body["stop_sequences"] = params["stop"]
    if "tools" in params:
        body["tools"] = [_tool(tool) for tool in params["tools"]]
    if "tool_choice" in params:
        body["tool_choice"] = _choice(params["tool_choice"])
    if "tools" in params and params.get("parallel_tool_calls") is False and params.get("tool_choice") != "none":
        body["tool_choice"] = {**body.get("tool_choice", {"type": "auto"}), "disable_parallel_tool_use": True}
    if wants_json(prompt):
        schema = params["response_format"].schema or {"type": "object"}
        told = "Give the answer, in the form that this tool takes."
        body["tools"] = [{"name": ANSWER_TOOL, "description": told, "input_schema": schema}]
        body["tool_choice"] = {"type": "tool", "name": ANSWER_TOOL}
    if streams:
        body["stream"] = True
    return body


def _turns(messages: list[Message]) -> list[dict[str, Any]]:
    """Neighbours that speak for the same side become one: results of tools are the user's here."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        if len(turn["content"]) == 1 and turn["content"][0]["type"] == "text":
            turn["content"] = turn["content"][0]["text"]
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}]
    blocks = [_block(part) for part in message.parts if not isinstance(part, TextPart) or part.text]
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call.arguments)}
        for call in message.tool_calls
    ]
    return blocks


def _block(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if part.url is not None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}


def _arguments(text: str) -> dict[str, Any]:
    """This API takes an object only; what another model wrote otherwise is handed on inside one."""
    try:
        found = read_json(text)
    except (msgspec.MsgspecError, DocumentError):
        found = text
    return found if isinstance(found, dict) else {"input": found}


def _tool(tool: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name, "input_schema": tool.parameters or {"type": "object", "properties": {}}}
    if tool.description:
        told["description"] = tool.description
    return told


def _choice(choice: str) -> dict[str, Any]:
    if choice in ("auto", "none"):
        return {"type": choice}
    return {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}


def finish_reason(word: Any) -> str:
    """In our vocabulary; what is not known has simply stopped."""
    return _FINISH.get(word, STOP) if isinstance(word, str) else STOP


def read_usage(given: Any, used: Used) -> None:
    """Take over what the server says was used so far; a later count replaces an earlier one."""
    if not isinstance(given, dict):
        return
    counts = [given.get(name) for name in _INPUT_COUNTS]
    if _is_count(counts[0]):
        used.input_tokens = sum(count for count in counts if isinstance(count, int) and count > 0)
        used.told = True
    if _is_count(given.get("output_tokens")):
        used.output_tokens = given["output_tokens"]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_message(found: Mapping[str, Any], model: Model, prompt: Prompt, used: Used) -> Answer:
    """The answer of ``/v1/messages``. Raises ProviderFault when it is not one."""
    content = found.get("content")
    if not isinstance(content, list):
        raise bad_answer("the answer has no content")
    texts: list[str] = []
    calls: list[ToolCall] = []
    for block in content[:BLOCKS_MAX]:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif kind == "tool_use" and isinstance(block.get("name"), str) and isinstance(block.get("id"), str):
            arguments = msgspec.json.encode(block.get("input", {})).decode()
            calls.append(ToolCall(block["id"], block["name"], arguments))
    reason = finish_reason(found.get("stop_reason"))
    if wants_json(prompt):
        texts += [call.arguments for call in calls]
        calls, reason = [], STOP if reason == TOOL_CALLS else reason
    read_usage(found.get("usage"), used)
    text = "".join(texts)
    if not used.told:
        used.output_tokens = estimate_tokens(text) + sum(estimate_tokens(call.arguments) for call in calls)
    return Answer(text_output(text, calls, reason), used, told_model(found, model))


def told_model(found: Mapping[str, Any], model: Model) -> str:
    """The model that the server says it was."""
    told = found.get("model")
    return told[:200] if isinstance(told, str) and told else model.id
