"""The loop of retention."""

from __future__ import annotations

import asyncio

from alloyd.domain.retention import worker as module
from alloyd.domain.retention.model import RetentionSettings, Swept
from alloyd.domain.retention.worker import RetentionWorker
from alloyd.errors import AlloydError, Code


class Rounds:
    """Stands for the service: counts, and fails when told."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.done = asyncio.Queue()

    async def sweep(self):
        outcome = self.outcomes.pop(0) if self.outcomes else Swept()
        self.done.put_nowait(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def run_until(worker, rounds, count):
    task = asyncio.create_task(worker.run())
    for _ in range(count):
        await asyncio.wait_for(rounds.done.get(), 30)
    return task


async def test_a_round_at_the_start_then_one_every_interval():
    rounds = Rounds()
    worker = RetentionWorker(rounds, lambda: RetentionSettings(sweep_interval_s=0))
    task = await run_until(worker, rounds, 5)
    task.cancel()


async def test_it_waits_for_the_interval_unless_it_is_woken():
    rounds = Rounds()
    worker = RetentionWorker(rounds, lambda: RetentionSettings(sweep_interval_s=3600))
    task = await run_until(worker, rounds, 1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert rounds.done.empty()
    worker.wake()
    await asyncio.wait_for(rounds.done.get(), 30)
    task.cancel()


class Lines:
    """Stands for the log."""

    def __init__(self):
        self.told = []

    def __getattr__(self, level):
        return lambda event, **fields: self.told.append((level, event, fields))


async def test_a_failing_disk_does_not_end_it(monkeypatch):
    rounds = Rounds(AlloydError(Code.UNAVAILABLE, "nothing was stored: the disk is full"), Swept(runs=3))
    worker = RetentionWorker(rounds, lambda: RetentionSettings(sweep_interval_s=0))
    lines = Lines()
    monkeypatch.setattr(module, "log", lines)
    task = await run_until(worker, rounds, 3)
    task.cancel()
    assert [(level, event) for level, event, _fields in lines.told] == [
        ("error", "retention failed"),
        ("info", "deleted what was too old"),
    ]
    assert lines.told[1][2]["runs"] == 3


async def test_a_fault_of_the_program_is_told_and_does_not_end_it(monkeypatch):
    lines = Lines()
    monkeypatch.setattr(module, "log", lines)
    rounds = Rounds(KeyError("x"))
    worker = RetentionWorker(rounds, lambda: RetentionSettings(sweep_interval_s=0))
    task = await run_until(worker, rounds, 2)
    task.cancel()
    assert [(level, event) for level, event, _fields in lines.told] == [("exception", "retention failed")]
