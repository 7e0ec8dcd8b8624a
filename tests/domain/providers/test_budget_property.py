"""Σ settled ≤ budget, whatever is asked at the same time and however it ends."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.db import Database
from alloyd.db.migrate import migrate
from alloyd.domain.providers.answers import text_output
from alloyd.domain.providers.model import (
    Answer,
    Delta,
    Execute,
    Finished,
    Model,
    Price,
    Prompt,
    ProviderFault,
    ProviderSettings,
    TextDelta,
    Used,
)
from alloyd.domain.providers.prices import worst_case
from alloyd.domain.providers.service import Gateway, Streamed
from alloyd.domain.usage.model import Budget, UsageSettings
from alloyd.domain.usage.service import UsageService
from alloyd.errors import AlloydError
from alloyd.events.hub import Hub
from alloyd.events.service import EventLog
from alloyd.kit.clock import ManualClock
from alloyd.principal import system_principal

ME = system_principal("org")


@dataclass(frozen=True)
class Ask:
    """One call: how much of its worst case it uses, and how it ends."""

    share: float
    end: str
    streams: bool
    max_tokens: int


ASKS = st.lists(
    st.builds(
        Ask,
        st.floats(0, 1),
        st.sampled_from(["ok", "ok", "fails", "refuses", "breaks", "leaves"]),
        st.booleans(),
        st.integers(1, 500),
    ),
    min_size=1,
    max_size=25,
)


class Vendor:
    """Uses what it is told to, never more than the worst case."""

    modalities = frozenset({"text"})
    image_tokens_max = 10
    settings = ProviderSettings("v", "openai", "", models=(Model("m", price=Price(700_000, 1_300_000)),))

    def __init__(self) -> None:
        self.asks: dict[str, Ask] = {}

    def check(self, model: Model, prompt: Prompt) -> None: ...

    def _used(self, model: Model, prompt: Prompt) -> tuple[Ask, Used]:
        ask = self.asks[prompt.messages[0].text]
        bound = worst_case(self, model, prompt)
        told = Used(int(bound.input_tokens * ask.share), int(bound.output_tokens * ask.share), told=True)
        if ask.end == "fails":
            raise ProviderFault("unavailable", "x", retryable=True)
        if ask.end == "refuses":
            raise ProviderFault("refused", "x", refused=True)
        return ask, told

    async def execute(self, model: Model, prompt: Prompt) -> Answer:
        ask, told = self._used(model, prompt)
        await asyncio.sleep(0)
        if ask.end == "leaves":
            await asyncio.Event().wait()
        if ask.end == "breaks":
            raise ProviderFault("unreachable", "x", retryable=True)
        return Answer(text_output("x", [], "stop"), told, "m")

    async def stream(self, model: Model, prompt: Prompt, used: Used) -> AsyncGenerator[Delta]:
        ask, told = self._used(model, prompt)
        used.input_tokens, used.output_tokens = told.input_tokens, told.output_tokens // 2
        yield TextDelta("x")
        await asyncio.sleep(0)
        if ask.end == "breaks":
            raise ProviderFault("unreachable", "x", retryable=True)
        if ask.end == "leaves":
            await asyncio.Event().wait()
        yield Finished("stop", told, "m")


async def one_call(gateway: Gateway, name: str, ask: Ask) -> None:
    request = Execute("text", name, "v/m", params={"max_tokens": ask.max_tokens})
    with suppress(AlloydError, asyncio.CancelledError):
        if not ask.streams:
            await gateway.execute(ME, request)
            return
        async for _ in gateway.stream(ME, request, Streamed()):
            await asyncio.sleep(0)


async def play(directory: Path, asks: list[Ask], limit: int) -> None:
    migrate(directory / "alloyd.db")
    clock, vendor = ManualClock(), Vendor()
    database = await Database.open(directory / "alloyd.db", clock)
    await EventLog(database, Hub()).start()
    usage = UsageService(database, clock, UsageSettings(Budget(limit)))
    await usage.open()
    gateway = Gateway([vendor], usage, clock)
    try:
        vendor.asks = {f"ask {number}": ask for number, ask in enumerate(asks)}
        calls = {name: asyncio.create_task(one_call(gateway, name, ask)) for name, ask in vendor.asks.items()}
        for _ in range(5):
            await asyncio.sleep(0)
        for name, ask in vendor.asks.items():
            if ask.end == "leaves":
                calls[name].cancel()
        await asyncio.gather(*calls.values(), return_exceptions=True)
        await gateway.close()
        rows: list[Any] = await database.read(
            lambda conn: conn.execute("SELECT cost_micro_usd, over_micro_usd FROM usage_records").fetchall()
        )
        state = usage.get_budget("org")
        settled = sum(cost for cost, _ in rows)
        assert settled <= limit
        assert (state.spent_micro_usd, state.reserved_micro_usd) == (settled, 0)
        assert not any(over for _, over in rows)  # the worst case is one
        assert gateway._calls == 0  # nothing is left behind
    finally:
        await database.close()


@settings(max_examples=25, deadline=None)
@given(ASKS, st.integers(0, 20_000))
def test_no_order_of_events_passes_a_budget(asks: list[Ask], limit: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory), asks, limit))
