"""Times to text and back without losing a millisecond."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.kit.clock import parse_rfc3339, rfc3339


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_there_and_back(ms: int) -> None:
    assert parse_rfc3339(rfc3339(ms)) == ms


def test_a_time_without_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        parse_rfc3339("2026-01-01T00:00:00")
