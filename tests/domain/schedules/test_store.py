"""The loop's queries find their rows by an index, however many schedules there are."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.domain.schedules import store
from tests.domain.schedules.conftest import World


@pytest.mark.parametrize(("sql", "values"), [(store.LIST_DUE, (0, 10)), (store.FIND_NEXT_DUE, ())])
async def test_plans(world: World, sql: str, values: tuple[Any, ...]) -> None:
    def explain(conn: Any) -> list[str]:
        return [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", values)]

    steps = await world.bench.database.read(explain)
    assert any("schedules_due" in step for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
    assert not any(step == "SCAN schedules" for step in steps), steps
