"""Answers in the OpenAI format: a whole one, and the chunks of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from alloyd.domain.providers.model import Delta, Finished, TextDelta, ToolCallDelta
from alloyd.errors import AlloydError
from alloyd.kit.ids import new_id
from alloyd.wire.openai.codec import error_object
from alloyd.wire.openai.shapes import (
    AnswerMessage,
    CalledFunction,
    ChatCompletion,
    Choice,
    ToolCallBody,
    Usage,
)

_ENCODE: Final = msgspec.json.encode
_LAST: Final = b"data: [DONE]\n\n"


def new_completion_id() -> str:
    """An id as OpenAI's look."""
    return f"chatcmpl-{new_id().replace('-', '')}"


def completion(model: str, created: int, output: Mapping[str, Any], usage: Usage) -> ChatCompletion:
    """A whole answer out of the gateway's ``output``: ``{text, finish_reason, tool_calls?}``."""
    calls = [_call(one) for one in output.get("tool_calls", ())]
    text: str = output["text"]
    message = AnswerMessage("assistant", None if calls and not text else text, None, calls or msgspec.UNSET)
    choice = Choice(0, message, None, output["finish_reason"])
    return ChatCompletion(new_completion_id(), "chat.completion", created, model, [choice], usage)


def _call(shown: Mapping[str, Any]) -> ToolCallBody:
    arguments = shown["arguments"]
    # A text is what the model wrote where that is no JSON: it is handed on as it came.
    written = arguments if isinstance(arguments, str) else _ENCODE(arguments).decode()
    return ToolCallBody(shown["id"], "function", CalledFunction(shown["name"], written))


@dataclass(slots=True)
class Chunks:
    """One stream's pieces as frames. ``model`` names who answers, as that is known at the first piece: it is the same
    in all of them. ``usage`` tells at the end what was used."""

    model: Callable[[], str]
    usage: Callable[[Finished], Usage]
    created: int
    tells_usage: bool
    id: str = field(default_factory=new_completion_id)
    _model: str = ""
    _begun: bool = False

    def frame(self, item: Delta | AlloydError) -> bytes:
        """The frames of a piece, those of the end with ``[DONE]``; of a failure one, after which nothing comes."""
        if isinstance(item, AlloydError):
            return _data({"error": error_object(item)})
        opening = b""
        if not self._begun:
            self._begun, self._model = True, self.model()
            opening = self._chunk({"role": "assistant", "content": "", "refusal": None})
        if isinstance(item, TextDelta):
            return opening + self._chunk({"content": item.text})
        if isinstance(item, ToolCallDelta):
            return opening + self._chunk({"tool_calls": [_call_delta(item)]})
        frames = opening + self._chunk({}, item.finish_reason)
        if self.tells_usage:
            frames += _data({**self._head(), "choices": [], "usage": self.usage(item)})
        return frames + _LAST

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        told = {**self._head(), "choices": [choice]}
        return _data({**told, "usage": None} if self.tells_usage else told)

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self._model,
            "system_fingerprint": None,
        }


def _call_delta(item: ToolCallDelta) -> dict[str, Any]:
    """More of a call; its id, type and name come with its first piece only."""
    told: dict[str, Any] = {"index": item.index, "function": {"arguments": item.arguments}}
    if item.name is not None:
        told["function"]["name"] = item.name
    if item.id is not None:
        told |= {"id": item.id, "type": "function"}
    return told


def _data(told: Any) -> bytes:
    return b"data: %s\n\n" % _ENCODE(told)
