"""The provider that needs no account: says back what it was told, the same each time, at no cost; pure.

It calls tools when it is asked to in so many words: a message of the user's whose lines all are ``call <tool>`` or
``call <tool> {...}``, of tools that are offered, becomes those calls, side by side; their results are said back.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import re
import struct
import zlib
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec

from alloyd.domain.providers.answers import text_output
from alloyd.domain.providers.model import (
    AUDIO,
    ECHO,
    EMBEDDING,
    FREE,
    IMAGE,
    LENGTH,
    MODALITIES,
    STOP,
    TEXT,
    TOOL_CALLS,
    Answer,
    Delta,
    Finished,
    Model,
    Prompt,
    ProviderSettings,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Used,
)
from alloyd.domain.providers.prices import estimate_tokens
from alloyd.errors import bad_request
from alloyd.kit.documents import DocumentError, read_json

MODEL: Final = Model("echo", "standard", MODALITIES, FREE)
DIMENSIONS_DEFAULT: Final = 8
# It works in this process: what it is asked must not hold up everybody else.
TEXT_BYTES_MAX: Final = 256 * 1024
NUMBERS_MAX: Final = 65_536
_WORDS: Final = re.compile(r"\s*\S+|\s+$")
_WORDS_A_TURN: Final = 256
_CALL: Final = "call "
_SAMPLES: Final = 800  # a tenth of a second of silence


class EchoProvider:
    """Serves every modality. Text comes back as it is; with ``tool_choice`` required, or a name, a tool is called."""

    image_tokens_max = 0

    def __init__(self) -> None:
        self.settings = ProviderSettings(ECHO, ECHO, "", models=(MODEL,))
        self.modalities = frozenset(MODALITIES)

    def check(self, model: Model, prompt: Prompt) -> None:
        """Raises ``bad_request`` for another model than its own, and for what would take long."""
        if model.id != MODEL.id:
            raise bad_request("model: echo has the one model echo", "model")
        texts = (*prompt.texts, prompt.text, *(message.text for message in prompt.messages))
        if sum(len(text.encode()) for text in texts) > TEXT_BYTES_MAX:
            raise bad_request(f"input: echo takes at most {TEXT_BYTES_MAX} bytes of text", "input")
        dimensions = int(prompt.params.get("dimensions") or DIMENSIONS_DEFAULT)
        if len(prompt.texts) * dimensions > NUMBERS_MAX:
            raise bad_request(f"params.dimensions: echo gives at most {NUMBERS_MAX} numbers", "params.dimensions")

    async def execute(self, model: Model, prompt: Prompt) -> Answer:
        """What :meth:`stream` tells in pieces."""
        used = Used()
        texts: list[str] = []
        calls: list[ToolCall] = []
        async for delta in self.stream(model, prompt, used):
            if isinstance(delta, TextDelta):
                texts.append(delta.text)
            elif isinstance(delta, ToolCallDelta):
                calls.append(ToolCall(delta.id or "", delta.name or "", delta.arguments))
            else:
                output = text_output("".join(texts), calls, delta.finish_reason)
                return Answer(output if delta.output is None else delta.output, delta.used, delta.model)
        raise AssertionError("a stream ends with Finished")

    async def stream(self, model: Model, prompt: Prompt, used: Used) -> AsyncGenerator[Delta]:
        """A word at a time."""
        used.told = True
        if prompt.modality != TEXT:
            output = _OUTPUTS[prompt.modality](prompt)
            used.input_tokens = sum(estimate_tokens(text) for text in prompt.texts or (prompt.text,))
            yield Finished(STOP, used, model.id, output)
            return
        used.input_tokens = sum(estimate_tokens(message.text) for message in prompt.messages)
        asked = [message for message in prompt.messages if message.role in ("user", "tool")]
        text = asked[-1].text if asked else ""
        if asked and asked[-1].role == "tool":
            text = _results(prompt)
        calls = _wanted_calls(prompt, text)
        if calls:
            used.output_tokens = sum(estimate_tokens(call.arguments) for call in calls)
            for index, call in enumerate(calls):
                yield ToolCallDelta(index, call.id, call.name, call.arguments)
            yield Finished(TOOL_CALLS, used, model.id)
            return
        words = _WORDS.findall(text)
        most = int(prompt.params.get("max_tokens") or len(words))
        for number, word in enumerate(words[:most]):
            if number % _WORDS_A_TURN == _WORDS_A_TURN - 1:
                await asyncio.sleep(0)
            used.output_tokens += 1
            yield TextDelta(word)
        yield Finished(LENGTH if len(words) > most else STOP, used, model.id)


def _results(prompt: Prompt) -> str:
    """What the tools said that were called at one time, a line or more each."""
    texts: list[str] = []
    for message in reversed(prompt.messages):
        if message.role != "tool":
            break
        texts.append(message.text)
    return "\n".join(reversed(texts))


def _wanted_calls(prompt: Prompt, text: str) -> list[ToolCall]:
    """The call that ``tool_choice`` demands: of the named tool, or of the first. Else those that the user asks for."""
    tools, choice = prompt.params.get("tools"), prompt.params.get("tool_choice")
    if not tools or choice == "none":
        return []
    if choice in (None, "auto"):
        return _asked_calls(prompt, text, {tool.name for tool in tools})
    name = tools[0].name if choice == "required" else choice
    given = _read_json(text)
    arguments = msgspec.json.encode(given if isinstance(given, dict) else {"input": text}).decode()
    return [ToolCall(_call_id(text), str(name), arguments)]


def _asked_calls(prompt: Prompt, text: str, known: set[str]) -> list[ToolCall]:
    """Those that the user's last message consists of; what a tool says is never taken for one."""
    if prompt.messages[-1].role != "user" or not text.startswith(_CALL):
        return []
    calls: list[ToolCall] = []
    for number, line in enumerate(text.strip().splitlines()):
        if not line.startswith(_CALL):
            return []
        name, _, arguments = line.removeprefix(_CALL).strip().partition(" ")
        arguments = arguments.strip() or "{}"
        if name not in known or not isinstance(_read_json(arguments), dict):
            return []
        calls.append(ToolCall(_call_id(f"{number} {line}"), name, arguments))
    return calls


def _read_json(text: str) -> Any:
    try:
        return read_json(text)
    except (msgspec.MsgspecError, DocumentError):
        return None


def _call_id(text: str) -> str:
    return f"call_{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _embedding(prompt: Prompt) -> dict[str, Any]:
    dimensions = int(prompt.params.get("dimensions") or DIMENSIONS_DEFAULT)
    return {"embeddings": [_vector(text, dimensions) for text in prompt.texts]}


def _vector(text: str, dimensions: int) -> list[float]:
    """A unit vector out of the text's hash."""
    content = hashlib.shake_256(text.encode()).digest(dimensions * 2)
    raw = [value / 32768 for (value,) in struct.iter_unpack(">h", content)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [round(value / length, 8) for value in raw]


def _image(prompt: Prompt) -> dict[str, Any]:
    """One pixel, whose colour is the prompt's hash, as PNG."""
    pixel = b"\x00" + hashlib.sha256(prompt.text.encode()).digest()[:3]
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(pixel)), (b"IEND", b""))
    )
    one = {"data": base64.b64encode(png).decode(), "media_type": "image/png"}
    return {"images": [one] * int(prompt.params.get("n") or 1)}


def _audio(_prompt: Prompt) -> dict[str, Any]:
    """A short silence as WAV."""
    samples = bytes([128]) * _SAMPLES
    header = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8) + b"data" + struct.pack("<I", len(samples))
    return {"audio": base64.b64encode(header + samples).decode(), "media_type": "audio/wav"}


def _video(prompt: Prompt) -> dict[str, Any]:
    """An animation of one picture is the shortest film."""
    return {"frames": _image(prompt)["images"]}


_OUTPUTS: Final = {EMBEDDING: _embedding, IMAGE: _image, AUDIO: _audio, "video": _video}
