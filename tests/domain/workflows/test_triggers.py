"""Triggers as definitions say them: their checks with places, and which paths a pattern means."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.workflows.triggers import (
    ApiTrigger,
    EventTrigger,
    PathPattern,
    ScheduleTrigger,
    StorageTrigger,
    is_heard,
    read_trigger,
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ApiTrigger()),
        ({"type": "api"}, ApiTrigger()),
        ({"type": "event", "event": "order.paid"}, EventTrigger("order.paid")),
        ({"type": "event", "event": "order.*", "match": "event.id"}, EventTrigger("order.*", "event.id")),
        ({"type": "event", "event": "Order Created"}, EventTrigger("Order Created")),
        ({"type": "event", "event": "x" * 200}, EventTrigger("x" * 200)),
        ({"type": "event", "event": "a", "match": {"b": 1}}, EventTrigger("a", {"b": 1})),
        ({"type": "schedule", "cron": "@daily", "timezone": "Asia/Tokyo"}, ScheduleTrigger("@daily", "Asia/Tokyo")),
        ({"type": "schedule", "cron": "@daily", "misfire": "all"}, ScheduleTrigger("@daily", "UTC", "all")),
        ({"type": "storage", "path": "inbox", "on": ["deleted"]}, StorageTrigger("inbox", ("deleted",))),
    ],
)
def test_sound(given: Any, expected: Any) -> None:
    assert read_trigger(given) == (expected, [])


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({}, "trigger.type"),
        ({"type": "timer"}, "trigger.type"),
        ({"type": 3}, "trigger.type"),
        ({"type": "event"}, "trigger"),
        ({"type": "event", "event": ""}, "trigger.event"),
        ({"type": "event", "event": ".*"}, "trigger.event"),
        ({"type": "event", "event": " Order"}, "trigger.event"),
        ({"type": "event", "event": "order\ndata: x"}, "trigger.event"),
        ({"type": "event", "event": "order\u2028x"}, "trigger.event"),
        ({"type": "event", "event": "x" * 201}, "trigger.event"),
        ({"type": "event", "event": "*"}, "trigger.event"),
        ({"type": "event", "event": "workflow.trigger.refused"}, "trigger.event"),
        ({"type": "event", "event": "workflow.trigger.*"}, "trigger.event"),
        ({"type": "event", "event": "a", "match": "event.("}, "trigger.match"),
        ({"type": "event", "event": "a", "match": "context.a"}, "trigger.match"),
        ({"type": "event", "event": "a", "match": 3}, "trigger.match"),
        ({"type": "event", "event": "a", "more": 3}, "trigger"),
        ({"type": "schedule"}, "trigger"),
        ({"type": "schedule", "cron": "nonsense"}, "trigger.cron"),
        ({"type": "schedule", "cron": "0 0 31 2 *"}, "trigger.cron"),
        ({"type": "schedule", "cron": "@daily", "timezone": "Moon"}, "trigger.timezone"),
        ({"type": "schedule", "cron": "@daily", "misfire": "never"}, "trigger.misfire"),
        ({"type": "storage", "path": "a/../b"}, "trigger.path"),
        ({"type": "storage", "path": "a//b"}, "trigger.path"),
        ({"type": "storage", "path": "a\\b"}, "trigger.path"),
        ({"type": "storage", "path": "a/b**"}, "trigger.path"),
        ({"type": "storage", "path": "a" * 5000}, "trigger.path"),
        ({"type": "storage", "on": []}, "trigger.on"),
        ({"type": "storage", "on": ["renamed"]}, "trigger.on[0]"),
    ],
)
def test_faults(given: Any, path: str) -> None:
    _trigger, faults = read_trigger(given)
    assert faults
    assert faults[0].path.startswith(path)
    assert faults[0].message


@pytest.mark.parametrize(
    ("pattern", "meant", "others"),
    [
        ("/", ["a", "a/b"], []),
        ("inbox", ["inbox", "inbox/a", "inbox/a/b"], ["inboxes", "in", "x/inbox"]),
        ("/inbox/", ["inbox/a"], ["inboxes/a"]),
        ("inbox/*.csv", ["inbox/a.csv", "inbox/.csv"], ["inbox/a.txt", "inbox/x/a.csv", "a.csv"]),
        ("**/*.csv", ["a.csv", "x/a.csv", "x/y/a.csv"], ["a.csvx"]),
        ("a/**", ["a/b", "a/b/c"], ["b/a"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/b", "z"]),
        ("a/?.txt", ["a/x.txt"], ["a/xy.txt", "a/.txt"]),
        ("a[1]/*", ["a[1]/x"], ["a1/x"]),
        ("caf\u00e9", ["caf\u00e9/x"], ["cafe/x"]),
        ("cafe\u0301/*", ["caf\u00e9/x"], []),
    ],
)
def test_paths(pattern: str, meant: list[str], others: list[str]) -> None:
    made = PathPattern(pattern)
    assert [path for path in meant if not made.matches(path)] == []
    assert [path for path in others if made.matches(path)] == []


def test_a_pattern_can_not_be_made_slow() -> None:
    names = "/".join(["**", "*a*a*a*a*a*a*a*b"] * 20)
    assert not PathPattern(names).matches("/".join(["a" * 200] * 60))


def test_what_triggers_say_of_themselves_is_not_heard() -> None:
    assert not is_heard("workflow.trigger.refused")
    assert is_heard("workflow.run.failed")
