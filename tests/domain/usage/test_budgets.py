"""Budgets hold under any interleaving, over days, restarts and calls that cost more than was expected."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.domain.usage.model import DAY_MS, Budget, NewUsage, Period, period_end, period_start
from alloyd.errors import AlloydError, Code
from alloyd.kit.clock import ManualClock, parse_rfc3339
from alloyd.principal import system_principal
from tests.domain.usage.conftest import ORG, Till, open_till

# What a caller does: reserve an amount, then settle one of the open reservations at a cost, or release it.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 60)),
        st.tuples(st.just("settle"), st.integers(0, 90)),
        st.tuples(st.just("release"), st.integers(0, 10)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("wait"), st.just(0)),
    ),
    max_size=40,
)


async def play(path: Path, limit: int, steps: list[tuple[str, int]]) -> None:
    clock = ManualClock()
    budget = Budget(limit, Period.MONTH)
    pending = list(steps)
    while True:
        async with open_till(path, budget, clock) as till:
            again = await play_life(till, pending)
            assert await till.settled() <= limit
            if not again:
                break
    async with open_till(path, budget, clock) as till:
        spent = await till.settled()
        assert till.usage.get_budget(ORG).spent_micro_usd == spent <= limit


async def play_life(till: Till, steps: list[tuple[str, int]]) -> bool:
    """One process's life; whether it ended by a restart. What is open then is lost, as in a crash."""
    held = []
    writes = []
    who = system_principal(ORG)
    while steps:
        what, amount = steps.pop(0)
        if what == "restart":
            await asyncio.gather(*writes)
            return True
        if what == "wait":
            await asyncio.gather(*writes)
        elif what == "reserve":
            with contextlib.suppress(AlloydError):
                held.append(till.usage.reserve(ORG, amount))
        elif held:
            reservation = held.pop(amount % len(held))
            if what == "release":
                till.usage.release(reservation)
            else:
                used = NewUsage("p", "m", "text", cost_micro_usd=amount)
                writes.append(asyncio.ensure_future(till.usage.settle(reservation, who, used)))
                await asyncio.sleep(0)
    await asyncio.gather(*writes)
    return False


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 150), STEPS)
def test_what_is_settled_never_passes_the_budget(limit: int, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory) / "alloyd.db", limit, steps))


async def test_a_hundred_at_once_get_what_there_is(tmp_path: Path) -> None:
    async with open_till(tmp_path / "alloyd.db", Budget(1000)) as till:
        results = await asyncio.gather(*(till.spend(30) for _ in range(100)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, AlloydError)]
        assert len(refused) == 100 - 33
        assert await till.settled() == 990


async def test_refusal_names_the_budget_and_tells_when(tmp_path: Path) -> None:
    clock = ManualClock(parse_rfc3339("2026-03-31T23:00:00Z"))
    async with open_till(tmp_path / "alloyd.db", Budget(5_000_000, Period.MONTH), clock) as till:
        await till.spend(4_000_000)
        with pytest.raises(AlloydError) as caught:
            till.usage.reserve(ORG, 1_000_001)
        assert caught.value.code is Code.RATE_LIMITED
        assert caught.value.message == (
            "the organization's monthly budget of 5.00 USD has 1.00 USD left, and this may cost 1.000001 USD"
        )
        assert caught.value.details == {"budget": "monthly budget", "period": "month"}
        assert caught.value.retry_after_s == 3600
        held = till.usage.reserve(ORG, 1_000_000)
        with pytest.raises(AlloydError) as caught:
            till.usage.reserve(ORG, 1)
        assert caught.value.retry_after_s == 1  # what is set aside may come free
        till.usage.release(held)
        till.usage.release(held)
        assert till.usage.get_budget(ORG).reserved_micro_usd == 0
        clock.advance(3_600_000)
        till.usage.reserve(ORG, 5_000_000)  # the next month


@pytest.mark.parametrize("own", [False, True])
async def test_free_calls_pass_a_budget_of_nothing(tmp_path: Path, own: bool) -> None:
    async with open_till(tmp_path / "alloyd.db", Budget(None if own else 0)) as till:
        org = await till.orgs.create("acme", "Acme")
        if own:
            await till.usage.set_budget(system_principal(org.id), Budget(0))
        await till.spend(0, org.id)
        with pytest.raises(AlloydError):
            till.usage.reserve(org.id, 1)


async def test_own_budget_stands_in_for_the_default(tmp_path: Path) -> None:
    path, clock = tmp_path / "alloyd.db", ManualClock()
    async with open_till(path, Budget(100), clock) as till:
        org = await till.orgs.create("acme", "Acme")
        who = system_principal(org.id)
        await till.spend(100, org.id)
        state = await till.usage.set_budget(who, Budget(150, Period.DAY))
        assert (state.own, state.spent_micro_usd, state.budget) == (True, 100, Budget(150, Period.DAY))
        await till.spend(50, org.id)
    clock.advance(DAY_MS)
    async with open_till(path, Budget(100), clock) as till:
        assert till.usage.get_budget(org.id).budget == Budget(150, Period.DAY)
        till.usage.release(till.usage.reserve(org.id, 150))  # another day
        state = await till.usage.set_budget(who, None)
        assert (state.own, state.spent_micro_usd, state.budget) == (False, 150, Budget(100))
        with pytest.raises(AlloydError):
            till.usage.reserve(org.id, 1)


async def test_more_than_reserved_takes_what_is_left(tmp_path: Path) -> None:
    async with open_till(tmp_path / "alloyd.db", Budget(100)) as till:
        held = till.usage.reserve(ORG, 10)
        used = NewUsage("p", "m", "text", cost_micro_usd=120)
        await till.usage.settle(held, system_principal(ORG), used)
        [record] = await till.usage.list_records(ORG, None, None, None, 10)
        assert (record.used.cost_micro_usd, record.over_micro_usd) == (100, 20)
        assert till.usage.get_budget(ORG).reserved_micro_usd == 0


async def test_a_reservation_is_good_once(tmp_path: Path) -> None:
    async with open_till(tmp_path / "alloyd.db") as till:
        held = till.usage.reserve(ORG, 10)
        await till.usage.settle(held, system_principal(ORG), NewUsage("p", "m", "text"))
        with pytest.raises(ValueError, match="before"):
            await till.usage.settle(held, system_principal(ORG), NewUsage("p", "m", "text"))
        till.usage.release(held)
        assert till.usage.get_budget(ORG).reserved_micro_usd == 0
        with pytest.raises(ValueError, match="negative"):
            till.usage.reserve(ORG, -1)


async def test_a_caller_that_leaves_is_charged_all_the_same(till: Till) -> None:
    held = till.usage.reserve(ORG, 10)
    used = NewUsage("p", "m", "text", cost_micro_usd=7, status="cancelled")
    task = asyncio.ensure_future(till.usage.settle(held, system_principal(ORG), used))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await till.spend(1)  # after it, in the order of writes
    assert await till.settled() == 8
    assert till.usage.get_budget(ORG).reserved_micro_usd == 0


@pytest.mark.parametrize(
    ("period", "at", "start", "end"),
    [
        (Period.DAY, "2026-02-28T23:59:59.999Z", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"),
        (Period.MONTH, "2026-02-28T23:59:59.999Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
        (Period.MONTH, "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        (Period.MONTH, "2028-01-31T12:00:00Z", "2028-01-01T00:00:00Z", "2028-02-01T00:00:00Z"),
    ],
)
def test_periods(period: Period, at: str, start: str, end: str) -> None:
    assert period_start(period, parse_rfc3339(at)) == parse_rfc3339(start)
    assert period_end(period, parse_rfc3339(at)) == parse_rfc3339(end)
