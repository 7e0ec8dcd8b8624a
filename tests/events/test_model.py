"""Events as bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from alloyd.events.model import Event, Story


def test_an_event_is_encoded_once() -> None:
    event = Event("a", "job.done", "job/1", {"n": 1}, id=7, created_at=0)
    assert event.to_json() is event.to_json()
    assert event.to_frame() is event.to_frame()
    assert event.to_frame() == b"id: 7\nevent: job.done\ndata: " + event.to_json() + b"\n\n"
    assert msgspec.json.decode(event.to_json()) == {
        "id": "7",
        "kind": "job.done",
        "organization_id": "a",
        "subject": "job/1",
        "payload": {"n": 1},
        "timestamp": "1970-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize("payload", [b'{\n"a":\r"x"}', b'{\r\n  "a": "x\\n\\r"\r\n}', '{"a": "\u2028"}'.encode()])
def test_a_payload_over_lines_comes_out_on_one(payload: bytes) -> None:
    event = Event("a", "job.done", "s", payload, id=1)
    assert b"\n" not in event.to_json()
    assert b"\r" not in event.to_json()
    assert msgspec.json.decode(event.to_json())["payload"] == msgspec.json.decode(payload)


@pytest.mark.parametrize(
    ("of", "kind", "ends"),
    [
        ("run", "workflow.run.completed", True),
        ("run", "workflow.run.failed", True),
        ("run", "workflow.run.cancelled", True),
        ("run", "workflow.run.started", False),
        ("run", "workflow.node.failed", False),
        ("run", "job.failed", False),
        ("job", "job.completed", True),
        ("job", "job.failed", True),
        ("job", "job.started", False),
        ("job", "workflow.run.completed", False),
    ],
)
def test_which_kinds_end_a_story(of: Any, kind: str, ends: bool) -> None:
    assert Event("a", kind, "s").ends(Story(of, "1")) is ends
