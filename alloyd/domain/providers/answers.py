"""The shape in which answers are shown, whoever gave them; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from alloyd.domain.providers.model import ToolCall
from alloyd.kit.documents import DocumentError, read_json


def text_output(text: str, calls: Sequence[ToolCall], finish_reason: str) -> dict[str, Any]:
    """``{text, finish_reason, tool_calls?}``."""
    output: dict[str, Any] = {"text": text, "finish_reason": finish_reason}
    if calls:
        output["tool_calls"] = [shown_call(call) for call in calls]
    return output


def shown_call(call: ToolCall) -> dict[str, Any]:
    """``{id, name, arguments}``; arguments that are no JSON, or nested too deep, stay the text that the model wrote."""
    try:
        arguments = read_json(call.arguments or "{}")
    except (msgspec.MsgspecError, DocumentError):
        arguments = call.arguments
    return {"id": call.id, "name": call.name, "arguments": arguments}
