"""How long a delay waits: never less than asked, never more than a year."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.durations import DURATION_MS_MAX, parse_duration, parse_time
from alloyd.domain.operations.model import Done, OperationError, WaitUntil
from alloyd.domain.operations.validation import check_config
from alloyd.kit.clock import rfc3339

DELAY = get_operation("workflow.delay")
NOW_MS = 1_767_225_600_000


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        (0, 0),
        (1500, 1500),
        (0.2, 1),
        ("250", 250),
        ("5", 5),
        ("250ms", 250),
        ("5m", 300_000),
        ("1h 30m", 5_400_000),
        ("1h30m", 5_400_000),
        (" 1.5 s ", 1500),
        ("0.0001s", 1),
        ("2d", 172_800_000),
        ("1w", 604_800_000),
        ("PT5M", 300_000),
        ("P1D", 86_400_000),
        ("P1DT2H3M4.5S", 93_784_500),
        ("P2W", 1_209_600_000),
        ("PT0.0001S", 1),
        ("365d", DURATION_MS_MAX),
    ],
)
def test_parse_duration(given: Any, ms: int) -> None:
    assert parse_duration(given) == ms


@pytest.mark.parametrize(
    "given",
    [-1, True, float("nan"), float("inf"), DURATION_MS_MAX + 1, "366d", "", "m", "P", "PT", "P1DT", "P1Y", "P1M",
     "-5m", "5 minutes", "1e9", "5m" * 100, "９m"],
)  # fmt: skip
def test_parse_duration_refuses(given: Any) -> None:
    with pytest.raises(ValueError, match="a duration is"):
        parse_duration(given)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-01-01T00:00:00Z", NOW_MS),
        ("2026-01-01T01:00:00+01:00", NOW_MS),
        ("2026-01-01T00:00:00.001Z", NOW_MS + 1),
        ("2026-01-01T00:00:00.000001Z", NOW_MS + 1),
    ],
)
def test_parse_time(text: str, ms: int) -> None:
    assert parse_time(text) == ms


async def test_for_waits_from_now(run: Any) -> None:
    assert await run(DELAY, {"for": "5m"}) == WaitUntil(NOW_MS + 300_000, {"until": "2026-01-01T00:05:00.000Z"})


@pytest.mark.parametrize(("ahead_ms", "waits"), [(1, True), (0, False), (-5, False), (DURATION_MS_MAX, True)])
async def test_until(run: Any, ahead_ms: int, waits: bool) -> None:
    until = rfc3339(NOW_MS + ahead_ms)
    expected = WaitUntil(NOW_MS + ahead_ms, {"until": until}) if waits else Done({"until": until})
    assert await run(DELAY, {"until": until}) == expected


async def test_until_is_at_most_a_year_ahead(run: Any) -> None:
    with pytest.raises(OperationError) as caught:
        await run(DELAY, {"until": rfc3339(NOW_MS + DURATION_MS_MAX + 1)})
    assert (caught.value.code, caught.value.path) == ("bad_config", "until")


@pytest.mark.parametrize(
    ("config", "path"),
    [({"for": "soon"}, "for"), ({"until": "noon"}, "until"), ({"until": "2026-01-01T00:00:00"}, "until")],
)
async def test_unreadable_once_rendered(run: Any, config: dict[str, Any], path: str) -> None:
    with pytest.raises(OperationError) as caught:
        await run(DELAY, config)
    assert (caught.value.code, caught.value.path) == ("bad_config", path)


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        ({"for": 5}, []),
        ({"for": "{{ trigger.wait }}"}, []),
        ({"until": "{{ trigger.when }}"}, []),
        ({}, [""]),
        ({"for": 5, "until": "2026-01-01T00:00:00Z"}, [""]),
        ({"for": "soon"}, ["for"]),
        ({"for": -1}, ["for"]),
        ({"for": []}, ["for"]),
        ({"for": True}, ["for"]),
        ({"until": "noon"}, ["until"]),
        ({"until": 5}, ["until"]),
    ],
)
def test_check(config: dict[str, Any], faults: list[str]) -> None:
    assert [fault.path for fault in check_config(DELAY, config)] == faults
