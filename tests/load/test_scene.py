from __future__ import annotations

from typing import Any

import pytest

from tests.load.readers import Findings, client_frame
from tests.load.samples import MIB, Samples, trend
from tests.load.scene import Plan, faults_of
from tests.load.triggers import Told

PLAN = Plan(sse=2, websockets=1)
TABLE = [4, 5, 7]


def found(**changes: Any) -> Findings:
    agreed: dict[str, Any] = {
        "ids": {"sse": TABLE, "websocket": TABLE},
        "had": {"sse": [(4, 7, 2)], "websocket": [(4, 7, 1)]},
        "delivered": 9,
        "faults": [],
        "fault_count": 0,
        "resumed": 0,
        "pauses": 0,
        "behind": 0,
        "ages_ms": [],
        "cpu_s": 0.0,
    }
    return Findings(**{**agreed, **changes})


def test_readers_that_agree_with_the_table_are_in_order():
    assert faults_of(found(), TABLE, PLAN, Told(1, answered=1)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"faults": ["a gap"], "fault_count": 3}, "and 2 more"),
        ({"behind": 1}, "1 readers had not had event 7 after 120 s"),
        (
            {"ids": {"sse": [4, 7, 9], "websocket": TABLE}},
            "sse: 1 events in the table and not in the stream, 1 the reverse",
        ),
        (
            {"had": {"sse": [(4, 7, 2)], "websocket": [(5, 7, 1)]}},
            "1 websocket readers had 5 to 7 instead of 4 to 7",
        ),
    ],
)
def test_what_is_not_as_it_has_to_be_is_told(changes: dict[str, Any], fault: str):
    assert fault in faults_of(found(**changes), TABLE, PLAN, Told(1, answered=1))


def test_a_refused_trigger_is_told():
    assert faults_of(found(), TABLE, PLAN, Told(2, 1, 1)) == ["1 triggers were refused"]


@pytest.mark.parametrize(
    ("per_second", "begin", "level"),
    [(0, 100, True), (-5, 100, True), (0.05, 100, True), (0.2, 100, False), (0.2, 300, True), (1, 300, False)],
)
def test_memory_is_level_or_not(per_second: float, begin: int, level: bool):
    samples = [(float(at), round((begin + per_second * at) * MIB)) for at in range(61)]
    line = trend([(0.0, 10_000 * MIB), *samples[1:]], warm_up_s=1)
    assert line.per_minute == pytest.approx(per_second * 60 * MIB, abs=100)
    assert line.is_level == level


def test_a_trend_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="too few"):
        trend([(0.0, 1)], 0)


def test_samples_begin_with_the_start():
    with Samples(lambda: 7) as samples:
        pass
    assert samples.taken[0][1] == 7


def test_a_clients_frame_is_masked():
    frame = client_frame(1, b"hello")
    assert frame[:2] == b"\x81\x85"
    assert bytes(byte ^ frame[2 + place % 4] for place, byte in enumerate(frame[6:])) == b"hello"
    with pytest.raises(ValueError, match="short"):
        client_frame(1, b"x" * 126)
