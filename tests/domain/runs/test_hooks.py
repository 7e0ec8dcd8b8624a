"""What other capabilities do in the transaction that records a run's beginning or end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alloyd.db import Tx
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import Ended, StartRun
from tests.engine import open_bench
from tests.machine import node


@pytest.mark.parametrize("ending", ["completes", "fails", "is cancelled"])
async def test_hooks_see_each_beginning_and_each_end_once(tmp_path: Path, ending: str) -> None:
    seen: list[tuple[Any, ...]] = []

    def begin(tx: Tx, run: Run) -> None:
        state = tx.execute("SELECT state FROM runs WHERE id = ? AND org_id = ?", (run.id, run.org_id)).fetchone()[0]
        seen.append(("begin", run.id, state, run.trigger_kind))

    def end(tx: Tx, run: Run, ended: Ended) -> None:
        state = tx.execute("SELECT state FROM runs WHERE id = ? AND org_id = ?", (run.id, run.org_id)).fetchone()[0]
        seen.append(("end", run.id, state, run.trigger_kind))
        assert ended.state.value == state

    async with open_bench(tmp_path) as bench:
        workflow_id = await bench.publish(node("a", operation="test.ask"))
        bench.engine.on_begin(begin)
        bench.engine.on_end(end)
        run_id = (await bench.runs.start(await bench.org(), StartRun(workflow_id, b"{}", "job"))).run_id
        asked = await bench.outside.next()
        assert (asked.context.trigger_kind, asked.context.started_by) == ("job", (await bench.org()).id)
        if ending == "is cancelled":
            await bench.runs.cancel(await bench.org(), run_id)
        elif ending == "fails":
            asked.fail()
        else:
            asked.answer()
        ended = await bench.end(run_id)
    assert seen == [("begin", run_id, "running", "job"), ("end", run_id, ended.state.value, "job")]


async def test_a_resumed_run_has_begun_before_and_still_knows_who_started_it(tmp_path: Path) -> None:
    began: list[str] = []
    async with open_bench(tmp_path) as bench:
        workflow_id = await bench.publish(node("a", operation="test.ask"))
        bench.engine.on_begin(lambda _tx, run: began.append(run.id))
        run_id = (await bench.runs.start(await bench.org(), StartRun(workflow_id, b"{}", "job"))).run_id
        await bench.outside.next()
    async with open_bench(tmp_path, clock=bench.clock) as after:
        after.engine.on_begin(lambda _tx, run: began.append(run.id))
        asked = await after.outside.next()
        assert (asked.context.trigger_kind, asked.context.started_by) == ("job", (await after.org()).id)
        asked.answer()
        await after.end(run_id)
    assert began == [run_id]
