"""The workflow that a first start makes, so that there is something to trigger."""

from __future__ import annotations

from typing import Any

HELLO: dict[str, Any] = {
    "name": "hello",
    "type": "structured",
    "starting_step_id": "start",
    "flow": {
        "start": {"type": "starting_step", "config": {}, "next": "greet"},
        "greet": {
            "type": "transform",
            "config": {"values": {"greeting": "Hello, {{ trigger.name ?? 'world' }}!"}},
            "next": "finish",
        },
        "finish": {"type": "finish", "config": {"output": "{{ steps.greet.output }}"}},
    },
}
