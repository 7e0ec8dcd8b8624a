"""The workflows that are measured."""

from __future__ import annotations

from typing import Any


def _node(key: str, operation: str, config: dict[str, Any], *depends_on: str) -> dict[str, Any]:
    return {"key": key, "operation": operation, "config": config, "depends_on": list(depends_on)}


THREE_STEPS: dict[str, Any] = {
    "name": "bench-three-steps",
    "nodes": [
        _node("first", "transform", {"values": {"name": "{{ trigger.name ?? 'world' }}"}}),
        _node("second", "transform", {"values": {"greeting": "Hello, {{ steps.first.output.name }}!"}}, "first"),
        _node("third", "transform", {"values": {"said": "{{ steps.second.output.greeting }}"}}, "second"),
    ],
}

# The sender's clock goes along, so that a reader on the same machine sees how old the event is.
TICK_KIND = "bench.tick"
TICK: dict[str, Any] = {
    "name": "bench-tick",
    "nodes": [_node("tell", "event.emit", {"kind": TICK_KIND, "payload": {"sent": "{{ trigger.sent }}"}})],
}

WAIT: dict[str, Any] = {"name": "bench-wait", "nodes": [_node("wait", "workflow.delay", {"for": "1h"})]}
