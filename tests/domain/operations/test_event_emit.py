"""Events of the organization's own, and none that look like alloyd's."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.event_emit import KIND_CHARS_MAX, RESERVED_PREFIXES
from alloyd.domain.operations.model import Done, OperationError
from alloyd.domain.operations.validation import check_config

EMIT = get_operation("event.emit")


async def test_tells_one_event_of_the_run_in_the_steps_own_commit(run: Any) -> None:
    done: Done = await run(EMIT, {"kind": "order.paid", "payload": {"a": 1}, "subject": "o-1"})
    assert done.output == {"kind": "order.paid", "subject": "o-1"}
    (event,) = done.events
    assert (event.org_id, event.kind, event.subject, event.payload) == ("org", "order.paid", "o-1", b'{"a":1}')
    assert (event.run_id, event.workflow_id, event.node_key) == ("run-1", "workflow-1", "step")


async def test_the_subject_is_the_run_unless_given(run: Any) -> None:
    done: Done = await run(EMIT, {"kind": "ping"})
    assert done.output == {"kind": "ping", "subject": "run-1"}
    assert (done.events[0].subject, done.events[0].payload) == ("run-1", b"{}")


BAD_KINDS = [
    *(f"{prefix}x" for prefix in RESERVED_PREFIXES),
    "workflow",
    "Order.paid",
    "order..paid",
    "order.",
    ".order",
    "order paid",
    "order.paid\n",
    "a" * (KIND_CHARS_MAX + 1),
]


@pytest.mark.parametrize("kind", BAD_KINDS)
async def test_kinds_that_are_refused(run: Any, kind: str) -> None:
    assert [fault.path for fault in check_config(EMIT, {"kind": kind})] == ["kind"]
    with pytest.raises(OperationError) as caught:
        await run(EMIT, {"kind": kind})
    assert (caught.value.code, caught.value.path) == ("bad_config", "kind")


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({"kind": "order.{{ trigger.what }}"}, []),
        ({"kind": "{{ trigger.kind }}"}, []),
        ({"kind": "workflow.{{ trigger.what }}"}, ["kind"]),
        ({}, ["kind"]),
        ({"kind": ""}, ["kind"]),
        ({"kind": "a", "payload": [1]}, ["payload"]),
        ({"kind": "a", "payload": "{{ context }}"}, []),
        ({"kind": "a", "subject": 5}, ["subject"]),
        ({"kind": "a", "run_id": "other"}, ["run_id"]),
    ],
)
def test_check(config: dict[str, Any], faults: list[str]) -> None:
    assert [fault.path for fault in check_config(EMIT, config)] == faults


async def test_a_payload_over_the_limit(run: Any) -> None:
    with pytest.raises(OperationError) as caught:
        await run(EMIT, {"kind": "a", "payload": {"x": "y" * 5000}})
    assert (caught.value.code, caught.value.path) == ("too_large", "payload")
