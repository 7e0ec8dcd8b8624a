from __future__ import annotations

import pytest

from tests.bench.figures import Figure, at_least, at_most, compare, median, percentile, show, table
from tests.bench.profiled import room_of


@pytest.mark.parametrize(
    ("values", "percent", "wanted"),
    [
        ([5.0], 50, 5.0),
        ([5.0], 99, 5.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 50, 50.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 102)], 99, 100.0),
        ([1.0, 2.0], 100, 2.0),
        ([1.0, 2.0], 0, 1.0),
    ],
)
def test_percentile(values, percent, wanted):
    assert percentile(values, percent) == wanted


@pytest.mark.parametrize(
    ("values", "wanted"), [([1.0], 1.0), ([3.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 2.0, 3.0], 2.5), ([1.0, 9.0], 5.0)]
)
def test_median(values, wanted):
    assert median(values) == wanted


def test_nothing_has_no_middle():
    with pytest.raises(ValueError, match="no values"):
        median([])
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [
        (12345.6, "/s", "12,346 /s"),
        (100.0, "ms", "100 ms"),
        (12.34, "ms", "12.3 ms"),
        (10.0, "ms", "10 ms"),
        (1.5, "s", "1.5 s"),
        (0.006, "", "0.01"),
        (0.0, "MiB", "0 MiB"),
    ],
)
def test_show(value, unit, wanted):
    assert show(value, unit) == wanted


def test_compare_takes_the_ratio_of_medians():
    figure = compare("triggers", "/s", [100.0, 900.0, 200.0], [400.0, 400.0, 1.0], "bare", 0.5)
    assert (figure.value, figure.compared, figure.ratio, figure.met) == (200.0, 400.0, 0.5, True)
    assert figure.rounds == [100.0, 900.0, 200.0]


def test_compare_below_its_target_is_not_met():
    assert compare("x", "/s", [199.0], [400.0], "bare", 0.5).met is False


@pytest.mark.parametrize(("others", "target"), [([], 0.5), ([400.0], None)])
def test_compare_without_a_measure_says_nothing_of_a_target(others, target):
    assert compare("x", "/s", [100.0], others, "bare", target).met is None


def test_limits_include_their_own_value():
    assert at_most("memory", 90.0, "MiB", 90).met is True
    assert at_most("memory", 90.1, "MiB", 90).met is False
    assert at_least("runs", 1500.0, "/s", 1500).met is True
    assert at_least("runs", 1499.0, "/s", 1500).met is False


def test_table_aligns_columns_and_puts_notes_below():
    text = table(
        [
            compare("triggers", "/s", [200.0], [400.0], "bare", 0.5, "by wrk"),
            at_most("idle memory", 91.0, "MiB", 90),
            Figure("other", 1.0, "s"),
        ]
    )
    assert text.splitlines() == [
        "measure      value   compared with  ratio  target        met",
        "-----------  ------  -------------  -----  ------------  ---",
        "triggers     200 /s  400 /s (bare)  0.50   ratio >= 0.5  yes",
        "idle memory  91 MiB                        <= 90 MiB     NO",
        "other        1 s",
        "",
        "  triggers: by wrk",
    ]


def test_json_has_every_field():
    told = at_most("single", 2.0, "ms", 3, rounds=[2.0]).to_json()
    assert (told["name"], told["value"], told["target"], told["met"], told["rounds"]) == (
        "single",
        2.0,
        "<= 3 ms",
        True,
        [2.0],
    )


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("/work/main/alloyd/domain/runs/machine.py", "alloyd/domain/runs"),
        ("/work/alloyd/alloyd/wire/server.py", "alloyd/wire"),
        ("/work/main/alloyd/app.py", "alloyd"),
        ("/x/.venv/lib/python3.11/site-packages/aiohttp/web_app.py", "aiohttp"),
        ("/x/alloyd/.venv/lib/python3.11/site-packages/typing_extensions.py", "typing_extensions.py"),
        ("/usr/lib/python3.11/asyncio/events.py", "Python's library"),
        ("~", "built in"),
    ],
)
def test_rooms_of_a_profile(file, wanted):
    assert room_of(file) == wanted
