"""The shape in which answers are shown, whoever gave them; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from alloyd.domain.providers.model import ToolCall


def text_output(text: str, calls: Sequence[ToolCall], finish_reason: str) -> dict[str, Any]:
    """``{text, finish_reason, tool_calls?}``."""
    output: dict[str, Any] = {"text": text, "finish_reason": finish_reason}
    if calls:
        output["tool_calls"] = [shown_call(call) for call in calls]
    return output


def shown_call(call: ToolCall) -> dict[str, Any]:
    """``{id, name, arguments}``; arguments that are not JSON stay the text that the model wrote."""
    try:
        arguments: Any = msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        arguments = call.arguments
    return {"id": call.id, "name": call.name, "arguments": arguments}
