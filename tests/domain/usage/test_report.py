"""Reports add up, whatever the range; retention changes no total; no query looks through a whole table."""

from __future__ import annotations

import random
from dataclasses import astuple
from pathlib import Path

import pytest

from alloyd.domain.usage import service as module
from alloyd.domain.usage import store
from alloyd.domain.usage.model import DAY_MS, HOUR_MS, NewUsage, Share, Totals, UsageReport
from alloyd.domain.usage.service import purge
from alloyd.errors import AlloydError
from alloyd.kit.clock import ManualClock
from alloyd.principal import SCOPES, Kind, Principal, Role
from tests.domain.usage.conftest import ORG, Till, open_till

BREAKDOWNS = ("by_provider", "by_model", "by_workflow", "by_job", "by_key", "by_principal", "by_day")


def summed(shares: list[Share]) -> Totals:
    return Totals(*(sum(values) for values in zip(*(astuple(share.totals) for share in shares), strict=True)))


def assert_adds_up(report: UsageReport) -> None:
    for name in BREAKDOWNS:
        shares = getattr(report, name)
        assert (summed(shares) if shares else Totals()) == report.totals, name
        assert len({(share.id, share.kind) for share in shares}) == len(shares), name


def caller(name: str, kind: Kind) -> Principal:
    return Principal(kind, name, ORG, Role.MEMBER, SCOPES)


async def fill(till: Till, calls: int, step_ms: int) -> list[tuple[int, int]]:
    """Calls of all sorts, ``step_ms`` apart; (time, micro-USD) of each."""
    rng = random.Random(7)
    made = []
    for number in range(calls):
        cost = rng.randrange(1000)
        used = NewUsage(
            f"p{number % 2}",
            f"m{number % 3}",
            "text",
            number,
            2 * number,
            cost,
            3,
            "failed" if number % 5 == 0 else "ok",
            job_id=f"j{number % 4}" if number % 2 else None,
            workflow_id=f"w{number % 2}" if number % 3 else None,
        )
        who = caller(f"c{number % 2}", (Kind.KEY, Kind.USER)[number % 2])
        await till.usage.settle(till.usage.reserve(ORG, cost), who, used)
        made.append((till.clock.now_ms(), cost))
        till.clock.advance(step_ms)
    return made


async def test_every_range_adds_up_and_equals_the_records(till: Till) -> None:
    start = till.clock.now_ms()
    made = await fill(till, 60, 17 * 60_000 + 3)  # over 17 hours
    end = till.clock.now_ms()
    rng = random.Random(1)
    ranges = [tuple(sorted((rng.randrange(start, end), rng.randrange(start, end)))) for _ in range(30)]
    ranges += [(start, end), (start, start), (start, start + HOUR_MS), (start + 5, start + 9), (made[3][0], made[4][0])]
    for from_ms, to_ms in ranges:
        report = await till.usage.report(ORG, from_ms, to_ms)
        wanted = [cost for at, cost in made if from_ms <= at < to_ms]
        assert (report.totals.calls, report.totals.cost_micro_usd) == (len(wanted), sum(wanted)), (from_ms, to_ms)
        assert_adds_up(report)
        records = await till.usage.list_records(ORG, from_ms, to_ms, None, 1000)
        assert [record.used.cost_micro_usd for record in records] == wanted[::-1]


async def test_breakdowns(till: Till) -> None:
    await fill(till, 12, 1000)
    report = await till.usage.report(ORG, None, None)
    calls = {name: {share.id: share.totals.calls for share in getattr(report, name)} for name in BREAKDOWNS}
    assert calls == {
        "by_provider": {"p0": 6, "p1": 6},
        "by_model": {"m0": 4, "m1": 4, "m2": 4},
        "by_workflow": {"w0": 4, None: 8},  # of a call in a job nobody's workflow is told
        "by_job": {"j1": 3, "j3": 3, None: 6},
        "by_key": {"c0": 6, None: 6},
        "by_principal": {"c0": 6, "c1": 6},
        "by_day": {str(report.from_ms): 12},
    }
    assert {share.id: share.kind for share in report.by_principal} == {"c0": "api_key", "c1": "user"}
    assert report.totals.failed == 3


async def test_what_is_beyond_the_largest_is_one_line(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARES_MAX", 2)
    await fill(till, 12, 1000)
    report = await till.usage.report(ORG, None, None)
    assert [share.id for share in report.by_model][2:] == [None]
    assert [share.id for share in report.by_job][2:] == [None]
    assert_adds_up(report)


async def test_retention_changes_no_total(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_till(tmp_path / "alloyd.db", clock=clock) as till:
        start = clock.now_ms()
        made = await fill(till, 40, 20 * 60_000)
        before = await till.usage.report(ORG, start, clock.now_ms())
        while await till.database.write(lambda tx: purge(tx, start + 6 * HOUR_MS + 1234, 7)):
            pass
        left = await till.usage.list_records(ORG, start, clock.now_ms(), None, 1000)
        assert len(left) == len([at for at, _cost in made if at >= start + 6 * HOUR_MS])
        after = await till.usage.report(ORG, start, clock.now_ms())
        assert after.totals == before.totals
        assert after.by_model == before.by_model
        assert_adds_up(after)
        # Where only sums are left a piece of an hour counts as the whole hour.
        piece = await till.usage.report(ORG, start + 60_000, start + 120_000)
        whole = await till.usage.report(ORG, start, start + HOUR_MS)
        assert piece.totals == whole.totals != Totals()


async def test_another_organization_sees_nothing(till: Till) -> None:
    await fill(till, 3, 1000)
    assert (await till.usage.report("other", None, None)).totals == Totals()
    assert await till.usage.list_records("other", None, None, None, 10) == []


@pytest.mark.parametrize(("from_ms", "to_ms"), [(2, 1), (0, 3661 * DAY_MS)])
async def test_ranges_that_are_none(till: Till, from_ms: int, to_ms: int) -> None:
    with pytest.raises(AlloydError, match="from"):
        await till.usage.report(ORG, from_ms, to_ms)


SPAN = {"org_id": "o", "first": 0, "last": 1, "head_from": 0, "head_to": 1, "tail_from": 0, "tail_to": 1, "limit": 9}
QUERIES = {
    "totals": (store.TOTALS, SPAN),
    **{f"by {name}": (sql, SPAN) for name, sql in store.SHARES.items()},
    "by job": (store.JOB_SHARES, {"org_id": "o", "from": 0, "to": 1, "limit": 9, "records": 9}),
    "page": (store.LIST_PAGE, ("o", 0, 1, 1, "a", 9)),
    "of a job": (store.LIST_OF_JOB, ("o", "j", 9)),
    "totals of a job": (store.TOTALS_OF_JOB, ("o", "j")),
    "find old": (store.FIND_OLD, (1, 9)),
    "delete one": (store.DELETE_ONE, (1,)),
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("analyzed", [False, True])
async def test_no_query_looks_through_a_whole_table(till: Till, name: str, analyzed: bool) -> None:
    if analyzed:
        await fill(till, 20, 1000)
        await till.database.run_maintenance(lambda conn: conn.execute("ANALYZE").fetchall())
    sql, params = QUERIES[name]
    plan = await till.database.run_maintenance(
        lambda conn: [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", params)]
    )
    assert plan
    assert not [line for line in plan if line.startswith("SCAN usage")], plan
