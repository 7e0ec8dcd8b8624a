"""Child runs: the output of a foreach whose items have all ended, and the end of those that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from alloyd.db import Database
from alloyd.domain.operations.model import Done, OperationError, Outcome
from alloyd.domain.runs import store_waits
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import RunState
from alloyd.domain.runs.waits import ForeachWait
from alloyd.log import get_logger

log = get_logger("alloyd.runs")

PAGE_ITEMS = 500
PAGE_RUNS = 100
RETRY_S = 1.0


async def gather_outputs(database: Database, run: Run, key: str, bytes_max: int) -> Outcome | OperationError:
    """The outputs in the items' order, a failed one as ``{error}``; or only how many there were.

    An OperationError ``output_too_large`` when they have more than ``bytes_max`` bytes.
    """
    wait = run.steps[key].wait
    assert isinstance(wait, ForeachWait)
    if not wait.collect:
        return Done({"total": wait.total, "completed": wait.completed, "failed": wait.failed})
    org_id, run_id = run.org_id, run.id
    size = await database.read(lambda conn: store_waits.count_output_bytes(conn, org_id, run_id, key))
    if size > bytes_max:
        told = f"the items' outputs have {size} bytes, more than {bytes_max}; `collect: false` only counts them"
        return OperationError("output_too_large", told)
    outputs: list[Any] = []
    while len(outputs) < wait.total:
        page = await _read_page(database, run, key, len(outputs))
        if not page:
            break  # the run has ended meanwhile, and what belongs to it is deleted
        outputs.extend(page)
    return Done(outputs)


async def _read_page(database: Database, run: Run, key: str, first_index: int) -> list[Any]:
    rows = await database.read(
        lambda conn: store_waits.list_item_ends(conn, run.org_id, run.id, key, first_index, PAGE_ITEMS)
    )
    decode = msgspec.json.decode
    return [
        (None if output is None else decode(output))
        if state == RunState.COMPLETED
        else {"error": None if error is None else decode(error)}
        for state, output, error in rows
    ]


async def end_all(
    database: Database,
    end: Callable[[str, str], Awaitable[None]],
    org_id: str,
    parent_id: str,
    step_key: str | None,
) -> None:
    """``end(org_id, run_id)`` every unfinished run that a step, or the whole run ``parent_id``, waited for.

    What fails is tried again; after a crash the engine's start finds what is left.
    """
    while True:
        try:
            found = await database.read(
                lambda conn: store_waits.list_children_to_end(conn, org_id, parent_id, step_key, PAGE_RUNS)
            )
            for run_id in found:
                await end(org_id, run_id)
            if not found:
                return
        except Exception as error:
            log.error("child runs can't be ended; will be tried again", run_id=parent_id, exc_info=error)
            await asyncio.sleep(RETRY_S)
