"""How the loop's time is divided: never nothing for executing, no limit without pressure."""

from __future__ import annotations

import pytest

from alloyd.domain.runs.share import Share

WINDOW_S = 0.05


def share_after(starts: int, *, late_s: float = 0.0) -> tuple[Share, float]:
    """A share at the beginning of the window after one in which a commit held ``starts`` starts, and the time."""
    share = Share(8, WINDOW_S, 0.2)
    assert not share.is_used_up(1.0)
    share.note_group(starts)
    share.note_group(1)
    now = share.next_window + late_s
    assert not share.is_used_up(now), "a new window begins with nothing spent"
    return share, now


@pytest.mark.parametrize(
    ("starts", "late_s", "pressed"), [(0, 0, False), (8, 0, False), (9, 0, True), (9, WINDOW_S, False)]
)
def test_pressure(starts: int, late_s: float, pressed: bool) -> None:
    share, now = share_after(starts, late_s=late_s)
    share.spend(WINDOW_S)
    assert share.is_used_up(now) is pressed


def test_under_pressure_a_part_of_each_window_is_executed() -> None:
    share, now = share_after(1000)
    share.spend(0.2 * WINDOW_S - 0.0001)
    assert not share.is_used_up(now)
    share.spend(0.0002)
    assert share.is_used_up(now)
    share.note_group(1000)
    assert not share.is_used_up(share.next_window), "the next window gives its part again"


def test_pressure_ends_with_the_starts() -> None:
    share, now = share_after(1000)
    share.spend(WINDOW_S)
    assert share.is_used_up(now)
    assert not share.is_used_up(share.next_window)
    share.spend(WINDOW_S)
    assert not share.is_used_up(share.next_window - WINDOW_S / 2), "nobody waited in the window before"
