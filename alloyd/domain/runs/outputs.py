"""What a step's end does to its run's context, and how long a failed one waits; pure."""

from __future__ import annotations

from typing import Any

from alloyd.domain.operations.model import Done
from alloyd.domain.workflows.model import Node, Policy


def context_after(context: dict[str, Any], node: Node, done: Done) -> dict[str, Any]:
    """The run's context as ``done`` leaves it: merged with what the step says, then its outputs put in place."""
    after = {**context, **(done.context or {})}
    for target in node.outputs:
        value = done.output.get(target.name) if isinstance(done.output, dict) else None
        after = _placed(after, target.keys, value)
    return after


def _placed(inside: Any, keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = keys
    base = dict(inside) if isinstance(inside, dict) else {}
    base[first] = _placed(base.get(first), tuple(rest), value) if rest else value
    return base


def retry_delay_ms(policy: Policy, attempt: int, chance: float) -> int:
    """How long to wait after failed attempt number ``attempt`` (from 1), in ms; ``chance`` is 0 to 1."""
    if policy.backoff == "fixed":
        return policy.initial_delay_ms
    delay = min(policy.initial_delay_ms << min(attempt - 1, 30), policy.max_delay_ms)
    if policy.backoff == "exponential_jitter":
        return int(delay * (0.5 + chance / 2))  # never under half, so that a burst still backs off
    return delay
