"""The OpenAI-compatible wire format: requests out of prompts, answers out of bodies; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

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

TOOL_CALLS_MAX: Final = 256
_FINISH: Final[Mapping[str, str]] = {
    "stop": STOP,
    "length": LENGTH,
    "tool_calls": TOOL_CALLS,
    "function_call": TOOL_CALLS,
    "content_filter": CONTENT_FILTER,
    "refusal": CONTENT_FILTER,
}
_SAME_NAME: Final = (
    "temperature",
    "top_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "reasoning_effort",
)


def chat_body(model: Model, prompt: Prompt, *, streams: bool, token_field: str, always_bounded: bool) -> dict[str, Any]:
    """The body for ``/chat/completions``. ``token_field`` is what the server calls the answer's bound.

    The bound is sent where the caller gave one, or ``always_bounded`` and the model has none of its own that is known.
    """
    params = prompt.params
    body: dict[str, Any] = {"model": model.id, "messages": [_message(message) for message in prompt.messages]}
    body |= {name: params[name] for name in _SAME_NAME if name in params}
    if "max_tokens" in params or (always_bounded and model.max_output_tokens is None):
        body[token_field] = output_bound(model, prompt)
    if "tools" in params:
        body["tools"] = [_tool(tool) for tool in params["tools"]]
    if "tool_choice" in params:
        choice = params["tool_choice"]
        plain = choice in ("auto", "none", "required")
        body["tool_choice"] = choice if plain else {"type": "function", "function": {"name": choice}}
    if "tools" in params and "parallel_tool_calls" in params:  # refused where there are none
        body["parallel_tool_calls"] = params["parallel_tool_calls"]
    if "response_format" in params:
        body["response_format"] = _format(params["response_format"])
    if streams:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    told: dict[str, Any] = {"role": message.role}
    if any(isinstance(part, ImagePart) for part in message.parts):
        told["content"] = [_part(part) for part in message.parts]
    else:
        told["content"] = message.text or (None if message.tool_calls else "")
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return told


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _tool(tool: Any) -> dict[str, Any]:
    function = {"name": tool.name, "parameters": tool.parameters or {"type": "object", "properties": {}}}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _format(wanted: Any) -> dict[str, Any]:
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    asked = {"name": wanted.name, "schema": wanted.schema}
    return {
        "type": "json_schema",
        "json_schema": asked if wanted.strict is None else {**asked, "strict": wanted.strict},
    }


def embedding_body(model: Model, prompt: Prompt) -> dict[str, Any]:
    """The body for ``/embeddings``."""
    body: dict[str, Any] = {"model": model.id, "input": list(prompt.texts), "encoding_format": "float"}
    return body | dict(prompt.params)


def image_body(model: Model, prompt: Prompt) -> dict[str, Any]:
    """The body for ``/images/generations``; dall-e has to be asked for the picture itself, others always send it."""
    body: dict[str, Any] = {"model": model.id, "prompt": prompt.text, **prompt.params}
    if model.id.startswith("dall-e"):
        body["response_format"] = "b64_json"
    return body


def speech_body(model: Model, prompt: Prompt) -> dict[str, Any]:
    """The body for ``/audio/speech``."""
    params = dict(prompt.params)
    body: dict[str, Any] = {"model": model.id, "input": prompt.text, "voice": params.pop("voice", "alloy")}
    body["response_format"] = params.pop("format", "mp3")
    return body | params


def finish_reason(word: Any) -> str:
    """In our vocabulary; what is not known has simply stopped."""
    return _FINISH.get(word, STOP) if isinstance(word, str) else STOP


def read_usage(given: Any, used: Used) -> None:
    """Take over what the server says was used."""
    if not isinstance(given, dict):
        return
    counted = [given.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if isinstance(counted[0], int) and not isinstance(counted[0], bool) and counted[0] >= 0:
        used.input_tokens = counted[0]
        used.output_tokens = counted[1] if isinstance(counted[1], int) and counted[1] >= 0 else 0
        used.told = True


def read_chat(found: Mapping[str, Any], model: Model, used: Used) -> Answer:
    """The answer of ``/chat/completions``. Raises ProviderFault when it is not one."""
    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise bad_answer("the answer has no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise bad_answer("the answer has no message")
    content = message.get("content")
    text = content if isinstance(content, str) else ""
    reason = finish_reason(choices[0].get("finish_reason"))
    if not text and isinstance(message.get("refusal"), str):
        text, reason = message["refusal"], CONTENT_FILTER
    calls = _calls(message.get("tool_calls"))
    if calls and reason == STOP:
        reason = TOOL_CALLS  # some servers say stop all the same
    read_usage(found.get("usage"), used)
    if not used.told:
        used.output_tokens = estimate_tokens(text) + sum(estimate_tokens(call.arguments) for call in calls)
    return Answer(text_output(text, calls, reason), used, told_model(found, model))


def _calls(given: Any) -> list[ToolCall]:
    calls: list[ToolCall] = []
    for one in (given if isinstance(given, list) else [])[:TOOL_CALLS_MAX]:
        function = one.get("function") if isinstance(one, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise bad_answer("the answer has a tool call without a name")
        arguments = function.get("arguments")
        call_id = one.get("id")
        calls.append(
            ToolCall(
                call_id if isinstance(call_id, str) and call_id else f"call_{len(calls)}",
                function["name"],
                arguments if isinstance(arguments, str) else "{}",
            )
        )
    return calls


def told_model(found: Mapping[str, Any], model: Model) -> str:
    """The model that the server says it was, which may be more exact than what it was asked for."""
    told = found.get("model")
    return told[:200] if isinstance(told, str) and told else model.id


def read_embeddings(found: Mapping[str, Any], model: Model, count: int, used: Used) -> Answer:
    """The answer of ``/embeddings``: a vector for each text, in their order. Raises ProviderFault."""
    data = found.get("data")
    if not isinstance(data, list) or len(data) != count:
        raise bad_answer(f"the answer does not have {count} embeddings")
    vectors: list[Any] = [None] * count
    for place, one in enumerate(data):
        vector = one.get("embedding") if isinstance(one, dict) else None
        index = one.get("index", place) if isinstance(one, dict) else place
        if not _is_vector(vector) or not isinstance(index, int) or not 0 <= index < count:
            raise bad_answer("the answer has an embedding that is no list of numbers")
        vectors[index] = vector
    if None in vectors:
        raise bad_answer("the answer has one embedding twice")
    read_usage(found.get("usage"), used)
    used.output_tokens = 0
    return Answer({"embeddings": vectors}, used, told_model(found, model))


def _is_vector(vector: Any) -> bool:
    return isinstance(vector, list) and bool(vector) and all(isinstance(value, int | float) for value in vector)


def read_images(found: Mapping[str, Any], model: Model, used: Used, media_type: str) -> Answer:
    """The answer of ``/images/generations``. Raises ProviderFault."""
    images = [_image(one, media_type) for one in _listed(found.get("data"))]
    if not images:
        raise bad_answer("the answer has no pictures")
    used.images = len(images)
    usage = found.get("usage")
    if isinstance(usage, dict) and isinstance(usage.get("input_tokens"), int):
        read_usage({"prompt_tokens": usage["input_tokens"], "completion_tokens": usage.get("output_tokens")}, used)
    return Answer({"images": images}, used, told_model(found, model))


def _listed(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list) else ()


def _image(one: Any, media_type: str) -> dict[str, Any]:
    if isinstance(one, dict) and isinstance(one.get("b64_json"), str):
        return {"data": one["b64_json"], "media_type": media_type}
    if isinstance(one, dict) and isinstance(one.get("url"), str):
        return {"url": one["url"]}
    raise bad_answer("the answer has a picture that is neither data nor a URL")
