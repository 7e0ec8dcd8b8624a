"""What the OpenAI format looks like: requests as they are read, answers and chunks as they are written."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from alloyd.domain.providers.messages import EMBEDDING_TEXTS_MAX, MESSAGES_MAX
from alloyd.domain.providers.model import Used
from alloyd.domain.providers.params import TOOLS_MAX
from alloyd.wire.fields import told

MICRO: Final = 1_000_000
STOPS_MAX: Final = 16
MODEL_CHARS_MAX: Final = 200

_ModelName = Annotated[
    str,
    told(
        minLength=1,
        maxLength=MODEL_CHARS_MAX,
        description="`<model>`, `<provider>/<model>`, `tier/<tier>` or `teammate/<id>`, as `GET /v1/models` lists.",
    ),
]
_Messages = Annotated[Any, told(type="array", minItems=1, maxItems=MESSAGES_MAX, items={"type": "object"})]
_Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_Tools = Annotated[list[dict[str, Any]], told(maxItems=TOOLS_MAX)]
_Choice = Annotated[
    Any,
    told(
        anyOf=[{"enum": ["auto", "none", "required"]}, {"type": "object"}, {"type": "null"}],
        description="`auto`, `none`, `required`, or `{type: function, function: {name}}`.",
    ),
]
_Stop = Annotated[
    Any,
    told(
        anyOf=[
            {"type": "string"},
            {"type": "array", "maxItems": STOPS_MAX, "items": {"type": "string"}},
            {"type": "null"},
        ]
    ),
]


class StreamOptions(msgspec.Struct, frozen=True):
    """``include_usage``: a chunk before the end tells what was used."""

    include_usage: bool | None = None


class ChatBody(msgspec.Struct, frozen=True):
    """What is asked. Fields that are not here are ignored, as ``user`` and ``metadata`` are."""

    model: _ModelName
    messages: _Messages
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, told(minimum=1, maximum=1, description="One answer is given.")] | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=1, le=1000)] | None = None
    stop: _Stop = None
    seed: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    tools: _Tools | None = None
    tool_choice: _Choice = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None


class EmbeddingsBody(msgspec.Struct, frozen=True):
    """Texts to embed; lists of tokens are not taken, since each model has its own."""

    model: _ModelName
    input: Annotated[
        Any,
        told(
            anyOf=[
                {"type": "string", "minLength": 1},
                {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": EMBEDDING_TEXTS_MAX,
                    "items": {"type": "string", "minLength": 1},
                },
            ]
        ),
    ]
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


class Usage(msgspec.Struct):
    """What was used; ``cost_usd`` is alloyd's own, null where no price is known."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_usd: float | None


class CalledFunction(msgspec.Struct):
    """The function that the model calls; ``arguments`` is JSON as text."""

    name: str
    arguments: str


class ToolCallBody(msgspec.Struct):
    """A call that the model asks for."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class AnswerMessage(msgspec.Struct, omit_defaults=True):
    """What the model says."""

    role: Literal["assistant"] = msgspec.field()
    content: str | None = msgspec.field()
    refusal: None = msgspec.field()
    tool_calls: list[ToolCallBody] | msgspec.UnsetType = msgspec.UNSET


class Choice(msgspec.Struct):
    """The one answer."""

    index: int
    message: AnswerMessage
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


class ChatCompletion(msgspec.Struct):
    """A whole answer; ``created`` in seconds since the epoch."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    system_fingerprint: None = None


class ModelObject(msgspec.Struct):
    """A model. ``created`` in seconds since the epoch, 0 where nobody knows."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str


class ModelList(msgspec.Struct):
    """All models that the caller may ask."""

    object: Literal["list"]
    data: list[ModelObject]


class Embedding(msgspec.Struct):
    """One vector: a list of numbers, or base64 of 32-bit floats, the least byte first."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct):
    """What was used."""

    prompt_tokens: int
    total_tokens: int
    cost_usd: float | None


class EmbeddingList(msgspec.Struct):
    """The vectors, in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


def usage_of(used: Used, cost_micro_usd: int | None) -> Usage:
    """``used`` as it is told here."""
    cost = None if cost_micro_usd is None else cost_micro_usd / MICRO
    return Usage(used.input_tokens, used.output_tokens, used.input_tokens + used.output_tokens, cost)


def tells_usage(body: ChatBody) -> bool:
    """Whether a stream says at its end what was used."""
    return body.stream_options is not None and bool(body.stream_options.include_usage)
