"""Which runs a due schedule gets, by misfire policy: pure."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.domain.schedules.model import ScheduleSettings
from alloyd.domain.schedules.plan import Missed, plan
from alloyd.domain.workflows.triggers import Misfire
from alloyd.kit.cron import Cron

BOUNDS = ScheduleSettings(misfire_grace_ms=60_000, missed_runs_max=3)
HOURLY = Cron("0 * * * *", "UTC")
MINUTELY = Cron("* * * * *", "UTC")


def at(text: str) -> int:
    return int(datetime.fromisoformat(f"2026-01-01T{text}Z").timestamp() * 1000)


@pytest.mark.parametrize(
    ("misfire", "now", "fires", "missed"),
    [
        ("skip", "10:00:00", ["10:00"], None),
        ("skip", "10:00:00.400", ["10:00"], None),
        ("skip", "10:01:00", ["10:00"], None),
        ("skip", "10:01:00.001", [], ("10:00", "10:00")),
        ("skip", "12:30:00", [], ("10:00", "12:00")),
        ("skip", "12:00:30", ["12:00"], ("10:00", "11:00")),
        ("once", "10:01:00.001", ["10:00"], None),
        ("once", "12:30:00", ["12:00"], ("10:00", "11:00")),
        ("once", "12:00:30", ["12:00"], ("10:00", "11:00")),
        ("all", "12:30:00", ["10:00", "11:00", "12:00"], None),
        ("all", "12:00:30", ["10:00", "11:00", "12:00"], None),
        ("all", "20:30:00", ["18:00", "19:00", "20:00"], ("10:00", "17:00")),
        ("all", "20:00:30", ["17:00", "18:00", "19:00", "20:00"], ("10:00", "16:00")),
    ],
)
def test_policies(misfire: Misfire, now: str, fires: list[str], missed: tuple[str, str] | None) -> None:
    made = plan(HOURLY, misfire, at("10:00"), at(now), BOUNDS)
    assert made.fires == [at(time) for time in fires]
    assert made.missed == (None if missed is None else Missed(at(missed[0]), at(missed[1])))
    assert made.next_fire_at == HOURLY.next_after(at(now))


def test_what_was_promised_is_kept_though_the_expression_would_not_have_it_now() -> None:
    """As when a newer time zone database moves a zone's clocks."""
    late = plan(HOURLY, "once", at("10:20"), at("10:30"), BOUNDS)
    assert late.fires == [at("10:20")]
    in_time = plan(HOURLY, "skip", at("10:20"), at("10:20"), BOUNDS)
    assert in_time.fires == [at("10:20")]


@settings(max_examples=100, deadline=None)
@given(
    misfire=st.sampled_from(["skip", "once", "all"]),
    minutes=st.lists(st.integers(0, 3000), min_size=1, max_size=12),
    offset=st.integers(0, 59_999),
)
def test_looked_at_whenever_it_is_no_time_fires_twice_or_early(
    misfire: Misfire, minutes: list[int], offset: int
) -> None:
    """Turns at any times: what is fired, made up for or told as missed are all times there are, each once."""
    start = at("00:00")
    due = MINUTELY.next_after(start)
    fired: list[int] = []
    now = start
    for minute in sorted(minutes):
        now = start + minute * 60_000 + offset
        if due is None or due > now:
            continue
        made = plan(MINUTELY, misfire, due, now, BOUNDS)
        assert all(when <= now for when in made.fires)
        assert made.fires == sorted(made.fires)
        if made.missed is not None:
            assert made.missed.first == due
            assert not any(made.missed.first <= when <= made.missed.last for when in made.fires)
        elif misfire == "all":
            assert made.fires[0] == due
        if misfire == "once":
            assert made.fires
        fired += made.fires
        due = made.next_fire_at
        assert due is not None
        assert due > now
    assert len(set(fired)) == len(fired)
    assert fired == sorted(fired)
