"""What is printed: nothing that steers a terminal, nothing cut off in a pipe."""

from __future__ import annotations

import json

import click
import pytest

from alloyd.cli.options import DURATION
from alloyd.cli.output import clean, format_bytes, format_time, print_table, to_json

STEERING = "\x00\x07\x08\x1b[31m\r\n\t\x7f\x85\x9b\u2028\u202e\u2066\ufeff\U000e0001"


def test_clean_text_is_one_printable_line():
    assert clean(STEERING).isprintable()
    assert clean("naïve 😀 \x1b[0m") == "naïve 😀 \\x1b[0m"
    assert clean("\udcff") == "\\udcff"


def test_json_is_printable_and_means_the_same():
    value = {"a" + STEERING: [STEERING, "naïve 😀", 1, None]}
    for indent in (2, None):
        text = to_json(value, indent=indent)
        assert text.replace("\n", "").isprintable()
        assert json.loads(text) == value
    assert to_json({"a": "naïve"}, indent=None) == '{"a": "naïve"}'
    assert "\n" not in to_json(value, indent=None)


def test_a_table_in_a_pipe_is_not_cut(capsys):
    long = "x" * 500
    print_table(("A", "LONG"), [("1", long), (None, "a\x1bb")])
    assert capsys.readouterr().out.splitlines() == ["A  LONG", f"1  {long}", "-  a\\x1bb"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (1 << 50, "1024.0 TiB")]
)
def test_bytes(count, text):
    assert format_bytes(count) == text


def test_times():
    assert format_time("2026-01-01T12:00:00.123Z") == "2026-01-01 12:00:00Z"
    assert format_time(None) is None


@pytest.mark.parametrize(("text", "ms"), [("1ms", 1), ("30s", 30_000), ("15m", 900_000), ("90d", 7_776_000_000)])
def test_durations(text, ms):
    assert DURATION.convert(text, None, None) == ms


@pytest.mark.parametrize("text", ["", "0s", "5", "1w", "-1s", "1 s", "1.5h", "٣s"])
def test_what_is_no_duration(text):
    with pytest.raises(click.BadParameter):
        DURATION.convert(text, None, None)
