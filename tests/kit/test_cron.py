"""Cron expressions: what is due when, in every zone whose clocks are put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.kit.cron import Cron, CronError, find_zone

YEAR_MS = 366 * 24 * 3600 * 1000
START = int(datetime(2025, 12, 20, tzinfo=UTC).timestamp()) * 1000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def shown(when: int, zone: str = "UTC") -> str:
    return datetime.fromtimestamp(when // 1000, find_zone(zone)).isoformat()


def in_a_year(cron: Cron, start: int = START) -> list[int]:
    found = []
    for when in cron.times_after(start):
        if when > start + YEAR_MS:
            break
        found.append(when)
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("*/5 * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:05:00+00:00"),
        ("*/5 * * * *", "UTC", "2026-01-01T00:04:59.999Z", "2026-01-01T00:05:00+00:00"),
        ("0 9 * * 1-5", "Europe/Berlin", "2026-01-02T12:00:00Z", "2026-01-05T09:00:00+01:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00+00:00"),
        ("0 12 L * *", "UTC", "2026-02-01T00:00:00Z", "2026-02-28T12:00:00+00:00"),
        ("0 0 * * MON#1", "UTC", "2026-02-03T00:00:00Z", "2026-03-02T00:00:00+00:00"),
        ("@daily", "Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00+05:30"),
        ("@HOURLY", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+00:00"),
        (" 0   0 *  * * ", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00+00:00"),
        # The hour that is left out: right after it, once.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T02:30:00+02:00"),
        ("0 2 * * *", "America/New_York", "2026-03-08T05:00:00Z", "2026-03-08T03:00:00-04:00"),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T20:00:00Z", "2026-04-24T01:00:00+03:00"),
        # The hour that comes twice: the first time.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T02:30:00+01:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T02:30:00+01:00"),
        # What follows the clock: every hour, both of the two.
        ("0 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00+01:00"),
        ("0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T03:00:00+02:00"),
        ("0 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-04T02:30:00+11:00"),
    ],
)
def test_next(expression: str, zone: str, after: str, expected: str) -> None:
    found = Cron(expression, zone).next_after(int(datetime.fromisoformat(after).timestamp() * 1000))
    assert found is not None
    assert shown(found, zone) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "field"),
    [
        ("", "UTC", "cron"),
        ("* * * *", "UTC", "cron"),
        ("0 * * * * *", "UTC", "cron"),
        ("60 * * * *", "UTC", "cron"),
        ("a * * * *", "UTC", "cron"),
        ("* * 31 2 *", "UTC", "cron"),
        ("*/0 * * * *", "UTC", "cron"),
        ("@reboot", "UTC", "cron"),
        ("0 0 ١ * *", "UTC", "cron"),
        ("1," * 200 + "1 * * * *", "UTC", "cron"),
        ("* * * * *", "", "timezone"),
        ("* * * * *", "Mars/Olympus", "timezone"),
        ("* * * * *", "../../etc/passwd", "timezone"),
        ("* * * * *", "/etc/localtime", "timezone"),
        ("* * * * *", "localtime", "timezone"),
        ("* * * * *", "posix/Europe/Berlin", "timezone"),
        ("* * * * *", "right/Europe/Berlin", "timezone"),
        ("* * * * *", "Europe", "timezone"),
        ("* * * * *", "Europe/Berlin\0", "timezone"),
        ("* * * * *", "A" * 1000, "timezone"),
    ],
)
def test_faults(expression: str, zone: str, field: str) -> None:
    with pytest.raises(CronError) as caught:
        Cron(expression, zone)
    assert caught.value.field == field
    assert str(caught.value)


def test_utc_needs_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise OSError

    monkeypatch.setattr("alloyd.kit.cron.ZoneInfo", missing)
    assert find_zone("UTC") is UTC
    with pytest.raises(CronError):
        find_zone("Europe/Berlin")


def zones_with_dst() -> list[str]:
    """One for each way in which clocks are moved in that year."""
    found: dict[tuple[timedelta | None, ...], str] = {}
    for name in sorted(available_timezones()):
        try:
            zone = find_zone(name)
        except CronError:
            continue
        days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(366)]
        offsets = tuple(day.astimezone(zone).utcoffset() for day in days)
        if len(set(offsets)) > 1:
            found.setdefault(offsets, name)
    return sorted(found.values())


def moved_days(zone: str) -> list[datetime]:
    """The days of the year on which the zone's clocks are moved, as UTC sees them."""
    info = find_zone(zone)
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(366)]
    return [
        day for day in days if day.astimezone(info).utcoffset() != (day + timedelta(1)).astimezone(info).utcoffset()
    ]


ZONES = zones_with_dst()


def test_there_are_zones_to_look_at() -> None:
    assert len(ZONES) > 20


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["30 0 * * *", "30 1 * * *", "15 2 * * *", "0 3 * * *", "59 23 * * *"])
def test_a_set_time_comes_once_a_day_in_every_zone(zone: str, expression: str) -> None:
    """Each day has one: at that time, or at the first moment after it that the day's clock shows."""
    minute, hour = (int(part) for part in expression.split()[:2])
    info = ZoneInfo(zone)
    for moved in moved_days(zone):
        after = int((moved - timedelta(days=2)).timestamp()) * 1000
        days = []
        for when in islice(Cron(expression, zone).times_after(after), 6):
            local = datetime.fromtimestamp(when // 1000, info)
            wanted = local.replace(hour=hour, minute=minute, fold=0)
            if wanted.replace(tzinfo=None) > local.replace(tzinfo=None):
                wanted -= timedelta(days=1)  # the end of a day was left out
            days.append(wanted.date())
            if wanted.astimezone(UTC).astimezone(info).replace(tzinfo=None) == wanted.replace(tzinfo=None):
                assert when == int(wanted.timestamp()) * 1000, shown(when, zone)
            else:
                before = datetime.fromtimestamp(when // 1000 - 60, info).replace(tzinfo=None)
                assert before < wanted.replace(tzinfo=None) < local.replace(tzinfo=None), "right after the gap"
        assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))


@pytest.mark.parametrize("zone", ZONES)
def test_what_follows_the_clock_comes_at_every_such_minute_in_every_zone(zone: str) -> None:
    """As if each quarter of an hour around a change were looked at."""
    info = ZoneInfo(zone)
    for moved in moved_days(zone):
        first, last = (int((moved + timedelta(days=n)).timestamp()) for n in (-1, 3))
        expected = [
            at * 1000 for at in range(first + 900, last + 1, 900) if datetime.fromtimestamp(at, info).minute == 0
        ]
        found = Cron("0 * * * *", zone).times_after(first * 1000)
        assert list(islice(found, len(expected))) == expected


def test_a_year_of_a_day_job() -> None:
    times = in_a_year(Cron("30 2 * * *", "Europe/Berlin"))
    assert len(times) == 366
    odd = [shown(when, "Europe/Berlin") for when in times if "T02:30" not in shown(when, "Europe/Berlin")]
    assert odd == ["2026-03-29T03:00:00+02:00"]


expressions = st.sampled_from(
    [
        "* * * * *",
        "*/7 * * * *",
        "0 * * * *",
        "30 2 * * *",
        "15,45 1,2 * * *",
        "*/20 2 * * *",
        "0 0 1 * *",
        "5 4 * * SUN",
        "0 0 13 * FRI",
    ]
)
some_zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"])


@settings(max_examples=150, deadline=None)
@given(expression=expressions, zone=some_zones, after=st.integers(0, YEAR_MS // 1000), gap=st.integers(1, 4 * 3600))
def test_where_a_search_begins_changes_nothing(expression: str, zone: str, after: int, gap: int) -> None:
    cron = Cron(expression, zone)
    start = START + after * 1000
    found = cron.next_after(start)
    assert found is not None
    assert found > start
    earlier = cron.times_after(start - gap * 1000)
    assert next(when for when in earlier if when > start) == found
    assert cron.next_after(found - 1) == found


@settings(max_examples=40, deadline=None)
@given(
    expression=expressions,
    zone=some_zones,
    hours=st.integers(0, 24 * 9),
    count=st.integers(1, 20),
)
def test_latest_is_the_end_of_all(expression: str, zone: str, hours: int, count: int) -> None:
    cron = Cron(expression, zone)
    until = START + hours * 3_600_000
    every = list(takewhile(lambda when: when <= until, cron.times_after(START)))
    assert cron.latest(START, until, count) == every[-count:]


def test_latest_of_many_years_is_quick() -> None:
    cron = Cron("* * * * *", "Europe/Berlin")
    assert cron.latest(0, ms("2026-01-01T00:00:30Z"), 2) == [ms("2025-12-31T23:59:00Z"), ms("2026-01-01T00:00:00Z")]


def test_the_end_of_dates_is_no_error() -> None:
    assert Cron("0 0 1 1 *", "Europe/Berlin").next_after(ms("9999-12-31T12:00:00Z")) is None
    assert Cron("0 0 1 1 *", "UTC").next_after(2**62) is None
