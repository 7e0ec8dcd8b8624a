"""Child runs: the output of a foreach whose items have all ended, and the end of those that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from alloyd.db import Database
from alloyd.domain.operations.model import Done, OperationError, Outcome, Services
from alloyd.domain.runs import store_waits
from alloyd.domain.runs.large_outputs import keep
from alloyd.domain.runs.machine import Run
from alloyd.domain.runs.model import RunState
from alloyd.domain.runs.waits import ForeachWait
from alloyd.errors import AlloydError, Code, conflict
from alloyd.log import get_logger

log = get_logger("alloyd.runs")

PAGE_ITEMS = 500
PAGE_BYTES = 1024 * 1024
PAGE_RUNS = 100
RETRY_S = 1.0


async def gather_outputs(
    database: Database, run: Run, key: str, bytes_max: int, services: Services
) -> Outcome | OperationError:
    """The outputs in the items' order, a failed one as ``{error}``; or only how many there were.

    As JSON of more than ``bytes_max`` bytes they become an object, written page by page, whose reference is the output.
    An OperationError ``output_too_large`` when they have more than an object may, or there is no place for objects;
    others when it can't be stored.
    """
    wait = run.steps[key].wait
    assert isinstance(wait, ForeachWait)
    if not wait.collect:
        return Done({"total": wait.total, "completed": wait.completed, "failed": wait.failed})
    org_id, run_id = run.org_id, run.id
    size = await database.read(lambda conn: store_waits.count_end_bytes(conn, org_id, run_id, key))
    if size <= bytes_max:
        return await _gather_list(database, run, key, wait.total)
    object_bytes_max = services.object_bytes_max or 0
    if services.objects is None or size > object_bytes_max:
        told = f"the items' outputs have {size} bytes, more than {max(bytes_max, object_bytes_max)}"
        return OperationError("output_too_large", f"{told}; `collect: false` only counts them")
    stored = await keep(run, key, lambda: _write_list(_read_pages(database, run, key, wait.total)), services)
    return stored if isinstance(stored, OperationError) else Done(dict(stored))


async def _gather_list(database: Database, run: Run, key: str, total: int) -> Outcome | OperationError:
    try:
        pages = [page async for page in _read_pages(database, run, key, total)]
    except AlloydError as error:
        if error.code is not Code.CONFLICT:
            raise
        return OperationError(error.code.value, error.message)
    return Done([msgspec.json.decode(output) for page in pages for output in page])


async def _read_pages(database: Database, run: Run, key: str, total: int) -> AsyncIterator[list[bytes]]:
    """The items' outputs as JSON, in their order; a page has one, or as many as :data:`PAGE_BYTES` hold."""
    index = 0
    while index < total:
        rows = await database.read(
            lambda conn, index=index: store_waits.list_item_ends(  # type: ignore[misc]
                conn, run.org_id, run.id, key, index, PAGE_ITEMS, PAGE_BYTES
            )
        )
        if not rows:  # the run has ended meanwhile, and what belongs to it is deleted: nobody asks for the output
            raise conflict("the run has ended")
        index += len(rows)
        yield [
            (output or "null").encode() if state == RunState.COMPLETED else b'{"error":%s}' % (error or "null").encode()
            for state, output, error in rows
        ]


async def _write_list(pages: AsyncIterator[list[bytes]]) -> AsyncIterator[bytes]:
    before = b"["
    async for page in pages:
        yield before + b",".join(page)
        before = b","
    yield b"]"


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
