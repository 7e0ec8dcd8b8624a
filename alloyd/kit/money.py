"""Money: whole micro-USD inside, decimal USD outside, exact to six places both ways."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

MICRO = 1_000_000
# Up to here a JSON number has all six places; more money than anybody spends here.
MICRO_USD_MAX = 10**15


def to_usd(micro_usd: int) -> float:
    """``micro_usd`` as the JSON number that the wire shows. Its shortest text has exactly the six places that count."""
    return micro_usd / MICRO


def parse_usd(text: str | int | float | Decimal) -> int:
    """Decimal USD as micro-USD. Raises ValueError for what is negative, too much, or has more than six places."""
    try:
        micro = Decimal(str(text)) * MICRO
        whole = int(micro)
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError("not an amount in USD, such as 12.50") from None
    if micro != whole or not 0 <= whole <= MICRO_USD_MAX:
        raise ValueError(f"an amount from 0 to {MICRO_USD_MAX // MICRO} USD with at most six decimal places is wanted")
    return whole


def format_usd(micro_usd: int) -> str:
    """``micro_usd`` for people: at least two decimal places, and no more than it has."""
    whole, part = divmod(abs(micro_usd), MICRO)
    places = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro_usd < 0 else ''}{whole}.{places}"
