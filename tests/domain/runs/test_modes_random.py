"""Whatever is started, ended and restarted in whatever order: never more than the limit, in order, and all end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alloyd.domain.runs.model import ENDED, RunState
from tests.engine import Bench, open_bench
from tests.machine import node

ASK = node("a", operation="test.ask")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 1)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("crash"), st.just(0)),
    ),
    max_size=14,
)


class World:
    """The runs by key in the order of their starts, and what has to hold of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.keys: dict[int, list[str]] = {0: [], 1: []}

    @property
    def open(self) -> list[str]:
        return [run_id for ids in self.keys.values() for run_id in ids]

    async def check(self, bench: Bench) -> list[str]:
        """Who runs: the first ``limit`` of each key that have not ended."""
        await bench.database.write(lambda tx: None)
        running: list[str] = []
        for key, ids in self.keys.items():
            states = {run_id: await bench.state(run_id) for run_id in ids}
            self.keys[key] = [run_id for run_id in ids if RunState(states[run_id]) not in ENDED]
            running.extend(self.keys[key][: self.limit])
        async with asyncio.timeout(30):
            while set(bench.engine._active) != set(running) or bench.database.queue_length:
                await asyncio.sleep(0)
        await bench.database.write(lambda tx: None)
        assert set(bench.engine._active) == set(running)
        held_back = len(self.open) - len(running)
        assert sum(bench.engine.held_back.values()) == held_back
        return running


async def play(directory: Path, limit: int, script: list[tuple[str, int]]) -> None:
    world, clock = World(limit), None
    lives: list[list[tuple[str, int]]] = [[]]
    for step in script:
        if step[0] == "crash":
            lives.append([])
        else:
            lives[-1].append(step)
    for life in lives:
        async with open_bench(directory, clock=clock) as bench:
            clock = bench.clock
            workflow_id = await bench.publish(ASK, mode="queue", concurrency_key="trigger.key", concurrency_limit=limit)
            for what, number in life:
                await move(bench, world, workflow_id, what, number)
    async with open_bench(directory, clock=clock) as bench:
        for _ in range(len(script) + 1):
            for run_id in await world.check(bench):
                await finish(bench, run_id)
        assert world.open == []
        left: Any = await bench.database.read(lambda conn: conn.execute("SELECT count(*) FROM run_slots").fetchone())
        assert left == (0,)


async def move(bench: Bench, world: World, workflow_id: str, what: str, number: int) -> None:
    running = await world.check(bench)
    if what == "start":
        world.keys[number].append(await bench.start(workflow_id, {"key": number}))
    elif what == "end" and running:
        await finish(bench, running[number % len(running)])
    elif what == "cancel" and world.open:
        await bench.runs.cancel(await bench.org(), world.open[number % len(world.open)])
    await world.check(bench)


async def finish(bench: Bench, run_id: str) -> None:
    async with asyncio.timeout(30):
        while not [asked for asked in bench.outside.all if asked.context.run_id == run_id and not asked.outcome.done()]:
            await bench.outside.next()
    next(asked for asked in bench.outside.all if asked.context.run_id == run_id and not asked.outcome.done()).answer()
    await bench.end(run_id)


@settings(max_examples=12, deadline=None)
@given(limit=st.integers(1, 2), script=STEPS)
def test_never_more_than_the_limit_and_in_order(limit: int, script: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory), limit, script))
