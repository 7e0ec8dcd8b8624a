"""Usage and budgets over HTTP: bodies, exact money, ranges, pages, CSV, who may what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alloyd.config import BudgetsConfig
from alloyd.domain.usage.model import NewUsage
from tests.app import Served, open_app

ZERO = {"failed": 0, "over_budget_usd": 0, "duration_ms": 5}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path, budgets=BudgetsConfig(org_limit_micro_usd=5_000_000, period="day")) as served:
        await served.key("acme")
        yield served


async def spend(served: Served, micro_usd: int, model: str = "m", **more: Any) -> str:
    who = await served.principal()
    usage = served.app.usage
    used = NewUsage("p", model, "text", 3, 4, micro_usd, 5, **more)
    return await usage.settle(usage.reserve(who.org_id, micro_usd), who, used)


def path(served: Served, rest: str) -> str:
    return f"/organizations/{served.orgs['acme']}/{rest}"


async def test_usage_body(served: Served) -> None:
    await spend(served, 1_000_001, request_id="r", run_id="run", node_key="n", workflow_id="w")
    sums = {"calls": 1, "input_tokens": 3, "output_tokens": 4, "cost_usd": 1.000001} | ZERO

    def line(id_: str | None, kind: str | None = None) -> list[Any]:
        return [{"id": id_, "kind": kind, **sums}]

    assert await served.data("GET", path(served, "usage")) == {
        "organization_id": served.orgs["acme"],
        "from": "2026-01-01T00:00:00.000Z",
        "to": "2026-01-01T00:00:00.001Z",
        "totals": sums,
        "by_provider": line("p"),
        "by_model": line("m"),
        "by_workflow": line("w"),
        "by_job": line(None),
        "by_key": line(None),
        "by_principal": line("system", "system"),
        "by_day": line("2026-01-01"),
    }
    [record] = await served.data("GET", path(served, "usage/records"))
    assert record == {
        "id": record["id"],
        "organization_id": served.orgs["acme"],
        "provider": "p",
        "model": "m",
        "modality": "text",
        "status": "ok",
        "input_tokens": 3,
        "output_tokens": 4,
        "cost_usd": 1.000001,
        "over_budget_usd": 0,
        "duration_ms": 5,
        "principal_id": "system",
        "principal_kind": "system",
        "workflow_id": "w",
        "workflow_run_id": "run",
        "node_key": "n",
        "job_id": None,
        "request_id": "r",
        "created_at": "2026-01-01T00:00:00.000Z",
    }


async def test_records_are_paged_and_ranged(served: Served) -> None:
    ids = []
    for _ in range(5):
        ids.append(await spend(served, 10))
        served.clock.advance(3_600_000)
    status, envelope, _headers = await served.ask("GET", path(served, "usage/records?limit=3"))
    assert (status, [one["id"] for one in envelope["data"]]) == (200, ids[:1:-1])
    rest = await served.data("GET", envelope["links"]["next"].removeprefix("/v1"))
    assert [one["id"] for one in rest] == ids[1::-1]
    ranged = "?from=2026-01-01T01:00:00Z&to=2026-01-01T03:00:00Z"
    assert [one["id"] for one in await served.data("GET", path(served, f"usage/records{ranged}"))] == ids[2:0:-1]
    assert (await served.data("GET", path(served, f"usage{ranged}")))["totals"]["calls"] == 2
    assert (await served.data("GET", path(served, "usage?from=2026-01-01&to=2026-01-02")))["totals"]["calls"] == 5


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-01-02&to=2026-01-01", "from"),
        ("from=2000-01-01&to=2026-01-01", "from"),
        ("to=2026-01-01T00:00:00", "to"),
    ],
)
@pytest.mark.parametrize("rest", ["usage", "usage/records", "usage/records.csv"])
async def test_bad_ranges(served: Served, rest: str, query: str, field: str) -> None:
    status, envelope, _headers = await served.ask("GET", path(served, f"{rest}?{query}"))
    assert (status, envelope["error"]["details"]) == (400, {"field": field})


async def test_csv_is_no_formula(served: Served) -> None:
    await spend(served, 1_500_000, "=cmd|'/c calc'!A1")
    await spend(served, 0, 'a "quoted", name')
    headers = {"Authorization": f"Bearer {await served.key('acme')}"}
    url = f"{served.url}/v1{path(served, 'usage/records.csv')}"
    async with served.session.get(url, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/csv")
        assert response.headers["Content-Disposition"] == 'attachment; filename="usage.csv"'
        lines = (await response.text()).split("\r\n")
    assert lines[0].startswith("created_at,id,provider,model,")
    assert ',p,"a ""quoted"", name",text,ok,3,4,0.000000,' in lines[1]
    assert ",p,'=cmd|'/c calc'!A1,text,ok,3,4,1.500000," in lines[2]
    assert lines[3:] == [""]


async def test_budget_bodies(served: Served) -> None:
    await spend(served, 1_250_000)
    default = {
        "organization_id": served.orgs["acme"],
        "limit_usd": 5,
        "period": "day",
        "source": "default",
        "spent_usd": 1.25,
        "reserved_usd": 0,
        "remaining_usd": 3.75,
        "period_start": "2026-01-01T00:00:00.000Z",
        "period_end": "2026-01-02T00:00:00.000Z",
    }
    assert await served.data("GET", path(served, "budget")) == default
    own = await served.data("PUT", path(served, "budget"), {"limit_usd": 0.000001, "period": "month"})
    month = {"period": "month", "period_end": "2026-02-01T00:00:00.000Z"}
    assert own == default | {"limit_usd": 1e-6, "source": "organization", "remaining_usd": 0} | month
    assert (await served.data("PUT", path(served, "budget"), {"limit_usd": "12.50"}))["limit_usd"] == 12.5
    none = await served.data("PUT", path(served, "budget"), {"limit_usd": None})
    assert (none["limit_usd"], none["remaining_usd"]) == (None, None)
    assert await served.data("DELETE", path(served, "budget")) == default
    assert (await served.kinds()).count("budget.updated") == 4


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "limit_usd"),
        ({"limit_usd": -1}, "limit_usd"),
        ({"limit_usd": 0.0000001}, "limit_usd"),
        ({"limit_usd": "a lot"}, "limit_usd"),
        ({"limit_usd": 1e30}, "limit_usd"),
        ({"limit_usd": "NaN"}, "limit_usd"),
        ({"limit_usd": 1, "period": "year"}, "period"),
    ],
)
async def test_bad_budgets(served: Served, body: dict[str, Any], field: str) -> None:
    status, envelope, _headers = await served.ask("PUT", path(served, "budget"), body)
    assert (status, envelope["error"]["details"]) == (400, {"field": field})


async def test_who_may_what(served: Served) -> None:
    for key, may_read, may_set in (("acme viewer", 200, 403), ("acme admin", 200, 403), ("other", 404, 404)):
        assert (await served.ask("GET", path(served, "usage"), key=key))[0] == may_read
        assert (await served.ask("GET", path(served, "budget"), key=key))[0] == may_read
        assert (await served.ask("PUT", path(served, "budget"), {"limit_usd": 1}, key=key))[0] == may_set
        assert (await served.ask("DELETE", path(served, "budget"), key=key))[0] == may_set
