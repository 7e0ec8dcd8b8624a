from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.domain.sessions.throttle import Throttle, subject_of_address
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import ManualClock


def tries(throttle: Throttle, subject: str) -> int | None:
    """Try once: None when it counts, else for how many seconds to wait."""
    try:
        throttle.check(subject)
    except AlloydError as error:
        return error.retry_after_s if error.code is Code.RATE_LIMITED else -1
    throttle.take(subject)
    return None


def test_attempts_come_back_one_after_the_other() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, 3, 90, 100)
    assert [tries(throttle, "a") for _ in range(5)] == [None, None, None, 30, 30]
    assert tries(throttle, "b") is None
    clock.advance(29_001)
    assert tries(throttle, "a") == 1
    clock.advance(999)
    assert [tries(throttle, "a") for _ in range(2)] == [None, 30]
    clock.advance(90_000)
    assert [tries(throttle, "a") for _ in range(4)] == [None, None, None, 30]


def test_what_is_given_back_never_was() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, 2, 60, 100)
    for _ in range(10):
        assert tries(throttle, "a") is None
        throttle.give_back("a")
    assert len(throttle) == 0
    assert [tries(throttle, "a") for _ in range(3)] == [None, None, 30]
    throttle.give_back("a")
    assert [tries(throttle, "a") for _ in range(2)] == [None, 30]
    throttle.give_back("nobody")


def test_memory_is_bounded() -> None:
    throttle = Throttle(ManualClock(), 1, 60, 10)
    for number in range(1000):
        assert tries(throttle, str(number)) is None
    assert len(throttle) == 10
    assert tries(throttle, "999") is not None


@given(st.integers(1, 20), st.integers(1, 1000), st.lists(st.integers(0, 100_000), max_size=60))
def test_no_more_than_twice_as_many_in_any_window(attempts: int, window_s: int, waits_ms: list[int]) -> None:
    """Full at the beginning, and as many come back in a window: never more, however it is tried."""
    clock = ManualClock()
    throttle = Throttle(clock, attempts, window_s, 10)
    taken = []
    for wait_ms in waits_ms:
        clock.advance(wait_ms)
        if tries(throttle, "a") is None:
            taken.append(clock.now_ms())
    for begin in taken:
        assert sum(begin <= at < begin + window_s * 1000 for at in taken) <= 2 * attempts


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("local", "local"),
    ],
)
def test_subject_of_an_address(address: str, subject: str) -> None:
    assert subject_of_address(address) == subject
