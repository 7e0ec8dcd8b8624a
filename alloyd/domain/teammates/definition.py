"""The workflow that a message to a teammate runs; pure."""

from __future__ import annotations

from typing import Any, Final

STEP: Final = "reply"
_PREFIX: Final = "teammate "


def workflow_name(teammate_name: str, number: int = 1) -> str:
    """What a teammate's workflow is called: ``number`` tells apart from others' that have that name already."""
    return f"{_PREFIX}{teammate_name}" if number == 1 else f"{_PREFIX}{teammate_name} {number}"


def default_definition(name: str, teammate_id: str) -> dict[str, Any]:
    """One step that answers; messages of one conversation take their turns one after the other.

    What stands in the trigger's payload is given to the step as values: braces in it are text.
    """
    config = {
        "teammate": teammate_id,
        "message": "{{ trigger.message }}",
        "conversation_id": "{{ default(trigger.conversation_id, null) }}",
        "context": "{{ default(trigger.context, null) }}",
        "history": "{{ default(trigger.history, null) }}",
    }
    return {
        "name": name,
        "type": "employee",
        "starting_step_id": STEP,
        "flow": {STEP: {"type": "run_employee", "config": config}},
        "mode": "queue",
        "concurrency_key": "{{ default(trigger.conversation_id, default(trigger.message_id, uuid())) }}",
    }
