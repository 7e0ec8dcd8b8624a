"""Places for steps: who gets the next one, and that none is lost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from alloyd.domain.runs.model import RunState
from alloyd.domain.runs.step_slots import StepSlots
from alloyd.domain.runs.worker import EngineSettings
from tests.engine import open_bench
from tests.machine import node


class Steps:
    """Steps that hold a place until the test ends them."""

    def __init__(self, slots: StepSlots) -> None:
        self.slots = slots
        self.running: list[str] = []
        self._ends: dict[str, asyncio.Future[None]] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, *names: str) -> None:
        """Steps ask for a place; a name begins with its organization."""
        for name in names:
            self._ends[name] = asyncio.get_running_loop().create_future()
            self.tasks[name] = asyncio.create_task(self._live(name))
        await self.settle()

    async def end(self, name: str) -> None:
        self._ends[name].set_result(None)
        await self.tasks[name]
        await self.settle()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks[name], return_exceptions=True)
        await self.settle()

    async def _live(self, name: str) -> None:
        async with self.slots.of(name[0]):
            self.running.append(name)
            try:
                await self._ends[name]
            finally:
                self.running.remove(name)

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_one_organization_does_not_take_all():
    steps = Steps(StepSlots(4, 3))
    await steps.begin("a1", "a2", "a3", "a4", "a5")
    assert steps.running == ["a1", "a2", "a3"]
    await steps.begin("b1", "b2")
    assert steps.running == ["a1", "a2", "a3", "b1"]


async def test_a_free_place_goes_to_the_next_organization():
    steps = Steps(StepSlots(3, 3))
    await steps.begin("a1", "a2", "a3", "a4", "a5", "a6")
    await steps.begin("b1", "b2")
    await steps.begin("c1")
    taken = []
    for ended in ("a1", "a2", "a3"):
        before = set(steps.running)
        await steps.end(ended)
        taken += sorted(set(steps.running) - before)
    assert taken == ["a4", "b1", "c1"]
    await steps.end("c1")
    assert steps.running == ["a4", "b1", "a5"]


async def test_within_an_organization_the_oldest_is_next():
    steps = Steps(StepSlots(1, 1))
    await steps.begin("a1", "a2", "a3")
    await steps.end("a1")
    assert steps.running == ["a2"]


async def test_who_stops_waiting_keeps_nobody_from_a_place():
    steps = Steps(StepSlots(1, 1))
    await steps.begin("a1", "a2", "b1")
    await steps.cancel("a2")
    await steps.end("a1")
    assert steps.running == ["b1"]


async def test_a_place_that_comes_together_with_a_cancel_goes_on():
    steps = Steps(StepSlots(1, 1))
    async with steps.slots.of("a"):
        await steps.begin("a2", "b1")
    await steps.cancel("a2")  # which has been given its place just now, and has not run since
    assert steps.running == ["b1"]


@pytest.mark.parametrize("seed", range(5))
async def test_no_place_is_lost_or_given_twice(seed: int):
    rng, slots = random.Random(seed), StepSlots(5, 2)
    steps = Steps(slots)
    for number in range(300):
        await steps.begin(f"{rng.choice('abcd')}{number}")
        while len(steps.running) > rng.randrange(6):
            await steps.end(rng.choice(steps.running))
        waiting = [name for name, task in steps.tasks.items() if not task.done() and name not in steps.running]
        if waiting and rng.random() < 0.2:
            await steps.cancel(rng.choice(waiting))
        held = {org: sum(name[0] == org for name in steps.running) for org in "abcd"}
        assert all(slots.held_by(org) == count <= 2 for org, count in held.items())
        assert len(steps.running) <= 5
        if len(steps.running) < 5:  # a place is free: only those wait who have all that they may
            waiting = [name for name, task in steps.tasks.items() if not task.done() and name not in steps.running]
            assert all(held[name[0]] == 2 for name in waiting)
    while unfinished := [name for name, task in steps.tasks.items() if not task.done()]:
        await steps.end(next(name for name in unfinished if name in steps.running))
    assert all(slots.held_by(org) == 0 for org in "abcd")


async def test_steps_of_one_organization_leave_places_to_others(tmp_path: Path) -> None:
    async with open_bench(tmp_path, EngineSettings(steps_running_max=3, steps_running_per_org_max=2)) as bench:
        mine = await bench.start(await bench.publish(*(node(key, operation="test.ask") for key in "abcd")))
        first, second = await bench.outside.next(), await bench.outside.next()
        theirs = await bench.start(await bench.publish(node("x", operation="test.ask"), org="globex"), org="globex")
        other = await bench.outside.next()
        assert other.context.principal.org_id == (await bench.org("globex")).org_id
        assert bench.outside.waiting == 0
        other.answer()
        await bench.end(theirs, "globex")
        for asked in (first, second):
            asked.answer()
            (await bench.outside.next()).answer()
        assert (await bench.end(mine)).state is RunState.COMPLETED
