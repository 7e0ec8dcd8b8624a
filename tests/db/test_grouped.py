"""Many callers' items in one write function."""

from __future__ import annotations

import asyncio

import pytest

from alloyd.db import GroupedWrite
from alloyd.errors import AlloydError, Code


class Held:
    """Stands for a busy writer: runs what was submitted only when told."""

    def __init__(self):
        self.submitted = []

    def submit(self, fn):
        future = asyncio.get_running_loop().create_future()
        self.submitted.append((fn, future))
        return future

    def run(self, place, error=None):
        fn, future = self.submitted[place]
        fn.seal()
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(fn(None))


def doubled(_tx, items):
    return [item * 2 for item in items]


async def test_items_gather_until_the_writer_takes_them():
    held = Held()
    grouped = GroupedWrite(held, doubled)
    early = [grouped.submit(number) for number in range(3)]
    held.run(0)
    late = [grouped.submit(number) for number in (10, 11)]
    assert len(held.submitted) == 2
    held.run(1)
    assert await asyncio.gather(*early, *late) == [0, 2, 4, 20, 22]


async def test_what_comes_between_seal_and_answer_is_in_the_next_group():
    held = Held()
    grouped = GroupedWrite(held, doubled)
    early = grouped.submit(1)
    held.submitted[0][0].seal()
    late = grouped.submit(2)
    assert len(held.submitted) == 2
    held.run(1)
    held.run(0)
    assert (await early, await late) == (2, 4)


async def test_a_failed_commit_fails_every_item_of_its_group_alone():
    held = Held()
    grouped = GroupedWrite(held, doubled)
    lost = [grouped.submit(1), grouped.submit(2)]
    held.run(0, AlloydError(Code.UNAVAILABLE, "nothing was stored"))
    kept = grouped.submit(3)
    held.run(1)
    for future in lost:
        with pytest.raises(AlloydError, match="nothing was stored"):
            await future
    assert await kept == 6


async def test_a_cancelled_caller_does_not_disturb_the_others():
    held = Held()
    grouped = GroupedWrite(held, doubled)
    futures = [grouped.submit(number) for number in range(3)]
    futures[1].cancel()
    held.run(0)
    assert (await futures[0], await futures[2]) == (0, 4)


async def test_on_the_database(database):
    def write_all(tx, items):
        tx.executemany("INSERT INTO meta (key, value) VALUES (?, '')", [(item,) for item in items])
        return [len(items)] * len(items)

    grouped = GroupedWrite(database, write_all)
    writes = database.stats.writes
    sizes = await asyncio.gather(*(grouped.submit(f"k{number}") for number in range(20)))
    assert sizes == [20] * 20
    assert database.stats.writes == writes + 1
    assert await database.read(lambda conn: conn.execute("SELECT count(*) FROM meta").fetchone()) == (20,)


async def test_a_failing_group_undoes_all_of_it(database):
    def write_all(tx, items):
        tx.executemany("INSERT INTO meta (key, value) VALUES (?, '')", [(item,) for item in items])
        raise ValueError("too late")

    grouped = GroupedWrite(database, write_all)
    futures = [grouped.submit(key) for key in "ab"]
    for future in futures:
        with pytest.raises(ValueError, match="too late"):
            await future
    assert await database.read(lambda conn: conn.execute("SELECT count(*) FROM meta").fetchone()) == (0,)
