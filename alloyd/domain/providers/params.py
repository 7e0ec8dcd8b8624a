"""The parameters a caller may give: an allow-list for each modality, each value checked; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from alloyd.domain.providers.model import AUDIO, EMBEDDING, IMAGE, TEXT
from alloyd.errors import bad_request

TOOLS_MAX: Final = 256

_Word = Annotated[str, Meta(min_length=1, max_length=64)]


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is common to all modalities: nothing."""


class Tool(msgspec.Struct, frozen=True):
    """A tool that the model may call; ``parameters`` is a JSON Schema."""

    name: Annotated[str, Meta(min_length=1, max_length=128, pattern="^[A-Za-z0-9_.-]+$")]
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    """How the text has to look; ``schema`` for ``json_schema``."""

    type: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: _Word = "answer"
    strict: bool | None = None


class TextParams(Params, frozen=True, kw_only=True):
    """For text."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=1, le=1000)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    stop: Annotated[list[str], Meta(min_length=1, max_length=16)] | None = None
    seed: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    tools: Annotated[list[Tool], Meta(min_length=1, max_length=TOOLS_MAX)] | None = None
    tool_choice: str | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None


class EmbeddingParams(Params, frozen=True, kw_only=True):
    """For embeddings."""

    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None


class ImageParams(Params, frozen=True, kw_only=True):
    """For pictures."""

    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    size: _Word | None = None
    quality: _Word | None = None
    style: _Word | None = None
    background: _Word | None = None
    output_format: _Word | None = None


class AudioParams(Params, frozen=True, kw_only=True):
    """For speech."""

    voice: _Word | None = None
    format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None


_KINDS: Final[Mapping[str, type[Params]]] = {
    TEXT: TextParams,
    EMBEDDING: EmbeddingParams,
    IMAGE: ImageParams,
    AUDIO: AudioParams,
}


def read_params(modality: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of ``given`` that are set, checked. Raises ``bad_request`` that names the one that is not taken.

    Tools may be written in OpenAI's form (``{type: function, function: {...}}``) or Anthropic's (``input_schema``), a
    tool to be called as ``{name}`` or ``{function: {name}}``, a single ``stop`` as a text.
    """
    kind = _KINDS.get(modality, Params)
    plain = {name: value for name, value in given.items() if value is not None}
    unknown = next((name for name in plain if name not in kind.__struct_fields__), None)
    if unknown is not None:
        known = ", ".join(kind.__struct_fields__) or "none"
        raise bad_request(f"params.{unknown}: not taken for {modality}; known are: {known}", f"params.{unknown}")
    if isinstance(plain.get("stop"), str):
        plain["stop"] = [plain["stop"]]
    if isinstance(plain.get("tools"), list):
        plain["tools"] = [_plain_tool(tool) for tool in plain["tools"]]
    if isinstance(plain.get("tool_choice"), Mapping):
        plain["tool_choice"] = _chosen_tool(plain["tool_choice"])
    if isinstance(plain.get("response_format"), Mapping):
        plain["response_format"] = _plain_format(plain["response_format"])
    for name, value in plain.items():
        try:
            msgspec.convert({name: value}, kind)
        except msgspec.ValidationError as error:
            words = str(error).partition(" - at ")[0]
            raise bad_request(f"params.{name}: {words[:1].lower()}{words[1:]}", f"params.{name}") from None
    checked: Params = msgspec.convert(plain, kind)
    _check_tools(checked)
    return {name: value for name in kind.__struct_fields__ if (value := getattr(checked, name)) is not None}


def _plain_tool(tool: Any) -> Any:
    if not isinstance(tool, Mapping):
        return tool
    inner = tool.get("function") if isinstance(tool.get("function"), Mapping) else tool
    assert isinstance(inner, Mapping)
    schema = inner.get("parameters", inner.get("input_schema", {}))
    plain = {"name": inner.get("name"), "description": inner.get("description") or "", "parameters": schema}
    return plain | ({"strict": inner["strict"]} if "strict" in inner else {})


def _chosen_tool(choice: Mapping[str, Any]) -> Any:
    inner = choice.get("function") if isinstance(choice.get("function"), Mapping) else choice
    assert isinstance(inner, Mapping)
    word = {"any": "required"}.get(str(choice.get("type")), choice.get("type"))
    return inner.get("name") or (word if word in ("auto", "none", "required") else None) or 0


def _plain_format(given: Mapping[str, Any]) -> Any:
    inner = given.get("json_schema")
    if not isinstance(inner, Mapping):
        return dict(given)
    return {
        "type": given.get("type"),
        "schema": inner.get("schema"),
        **{name: inner[name] for name in ("name", "strict") if name in inner},
    }


def _check_tools(params: Params) -> None:
    if not isinstance(params, TextParams):
        return
    names = [tool.name for tool in params.tools or ()]
    if len(set(names)) < len(names):
        raise bad_request("params.tools: two of them have the same name", "params.tools")
    choice = params.tool_choice
    if choice is not None and choice not in ("auto", "none", "required", *names):
        told = "auto, none, required or the name of one of the tools is wanted"
        raise bad_request(f"params.tool_choice: {told}", "params.tool_choice")
    if choice is not None and not names:
        raise bad_request("params.tool_choice: there are no tools to choose from", "params.tool_choice")
    wanted = params.response_format
    if wanted is not None and (wanted.type == "json_schema") != (wanted.schema is not None):
        raise bad_request("params.response_format: schema belongs to json_schema", "params.response_format")
