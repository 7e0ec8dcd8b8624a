from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloyd.kit.money import MICRO_USD_MAX, format_usd, parse_usd, to_usd


@given(st.integers(0, MICRO_USD_MAX))
def test_the_wire_is_exact(micro: int) -> None:
    on_the_wire = msgspec.json.encode(to_usd(micro))
    assert Decimal(on_the_wire.decode()) * 1_000_000 == micro
    assert parse_usd(msgspec.json.decode(on_the_wire)) == micro
    assert parse_usd(format_usd(micro)) == micro


@pytest.mark.parametrize(
    ("micro", "text"),
    [(0, "0.00"), (1, "0.000001"), (1_500_000, "1.50"), (12_345_678, "12.345678"), (-10, "-0.00001")],
)
def test_format(micro: int, text: str) -> None:
    assert format_usd(micro) == text


@pytest.mark.parametrize("text", ["", "x", "-1", "0.0000001", "NaN", "Infinity", "1e30", "1_0.0.0"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_usd(text)
